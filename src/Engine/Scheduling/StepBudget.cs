namespace Conclave.Engine.Scheduling;

/// <summary>
/// Most rows of a step: where streams decode it bounds the time between two of their tokens while prompts are computed, elsewhere the wait of whoever comes meanwhile. Fixed, or found by measuring: a step
/// that took longer than the target shrinks it in proportion, a quicker one lets it grow by half at most. The target is never less than twice the time of a step without prompts: on
/// a machine that needs longer than that for decoding alone, prompts would get on no more, and nobody be the better for it. Tokens do not depend on any of this.
/// </summary>
/// <param name="fixedRows">Rows; 0 to measure.</param>
/// <param name="leastRows">Never fewer, so that prompts get on.</param>
/// <param name="mostRows">Never more.</param>
/// <param name="targetMs">Time that a step should take at most.</param>
internal sealed class StepBudget(int fixedRows, int leastRows, int mostRows, double targetMs)
{
    /// <summary>Measured budgets are multiples of this, as far as their limits allow.</summary>
    public const int TileRows = 16;

    private double _decodeMs;

    /// <summary>The budget of the next step.</summary>
    public int Rows { get; private set; } = fixedRows > 0 ? fixedRows : Math.Clamp(256, leastRows, mostRows);

    /// <summary>Learns from a step of <paramref name="rows"/> rows in which the budget cut a prompt short.</summary>
    public void Record(int rows, double tookMs)
    {
        if (fixedRows == 0)
            Rows = Next(rows, tookMs, Math.Max(targetMs, 2 * _decodeMs), leastRows, mostRows);
    }

    /// <summary>Learns from a step in which streams decoded and no prompt was computed.</summary>
    public void RecordDecode(double tookMs) => _decodeMs += (tookMs - _decodeMs) / 8;

    /// <summary>The rows that would have taken <paramref name="targetMs"/>, half way from <paramref name="rows"/> if that is more, in whole tiles of 16.</summary>
    public static int Next(int rows, double tookMs, double targetMs, int leastRows, int mostRows)
    {
        double ratio = Math.Clamp(targetMs / Math.Max(tookMs, 0.001), 0.25, 1.5);
        return Math.Clamp((int)((rows * ratio) + (TileRows / 2)) / TileRows * TileRows, leastRows, mostRows);
    }
}
