namespace Conclave.Engine;

/// <summary>Where the rows of one sequence are in the batch of a step.</summary>
/// <param name="Sequence">Whose.</param>
/// <param name="FirstRow">The first of them in the batch.</param>
/// <param name="Start">Its position in the sequence.</param>
/// <param name="Count">How many; once drafts are verified, how many of them were right.</param>
/// <param name="LogitRow">The first that has logits, counted in logit rows.</param>
/// <param name="LogitCount">How many have.</param>
internal readonly record struct StepRows(Sequence Sequence, int FirstRow, int Start, int Count, int LogitRow, int LogitCount)
{
    /// <summary>Rows of known tokens, prompt or lost pages, and not of a decode step.</summary>
    public required bool IsPrefill { get; init; }
}
