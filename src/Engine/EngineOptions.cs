namespace Conclave.Engine;

/// <summary>Limits of one engine; validated when it starts.</summary>
public sealed record EngineOptions
{
    /// <summary>Most sequences in one step.</summary>
    public int MaxBatch { get; init; } = 32;

    /// <summary>Most token rows in one step; decode rows first, prefill chunks fill up.</summary>
    public int MaxStepRows { get; init; } = 256;

    /// <summary>Native memory for KV pages.</summary>
    public long KvMemorySizeBytes { get; init; } = 1L << 30;

    /// <summary>Most sequences that wait for room; more are refused as overloaded.</summary>
    public int MaxQueue { get; init; } = 1024;
}
