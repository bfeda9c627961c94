namespace Conclave.Grains;

/// <summary>What the rows that go to experts are rounded to, whether the expert is local or not.</summary>
public enum DispatchType
{
    /// <summary>Not rounded.</summary>
    F32,

    /// <summary>The upper half of a float, nearest, ties to even.</summary>
    BF16,

    /// <summary>E4M3 with one float scale per 128 columns.</summary>
    FP8,
}

/// <summary>Whether steps are cut into two micro-batches.</summary>
public enum MicroBatchMode
{
    /// <summary>By measured step times.</summary>
    Auto = 0,

    /// <summary>Never.</summary>
    One = 1,

    /// <summary>Whenever an expert is remote.</summary>
    Two = 2,
}

/// <summary>How a rank reaches its experts; validated when it starts.</summary>
public sealed record DispatchOptions
{
    /// <summary>Type of the rows on their way to experts. Tokens depend on it, so all ranks of a cluster must agree.</summary>
    public DispatchType Type { get; init; }

    /// <summary>Whether communication of one half of a step hides behind the computation of the other.</summary>
    public MicroBatchMode MicroBatches { get; init; }

    /// <summary>After this long without an answer rows go to another replica, though their silo seems alive.</summary>
    public int RequestTimeoutMs { get; init; } = 10_000;

    /// <summary>How long a step waits for an expert that nobody can answer for, before its sequences fail as unavailable.</summary>
    public int MissingTimeoutMs { get; init; } = 30_000;

    /// <summary>Checks every value.</summary>
    /// <exception cref="ArgumentOutOfRangeException">Naming the option and its range.</exception>
    public void Validate()
    {
        Require(Enum.IsDefined(Type), nameof(Type), "f32, bf16 or fp8", (long)Type);
        Require(Enum.IsDefined(MicroBatches), nameof(MicroBatches), "auto, 1 or 2", (long)MicroBatches);
        Require(RequestTimeoutMs >= 1, nameof(RequestTimeoutMs), "at least 1", RequestTimeoutMs);
        Require(MissingTimeoutMs >= 0, nameof(MissingTimeoutMs), "at least 0", MissingTimeoutMs);
    }

    private static void Require(bool holds, string name, string range, long value)
    {
        if (!holds) throw new ArgumentOutOfRangeException(name, value, $"dispatch option {name} must be {range}");
    }
}
