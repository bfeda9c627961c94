using Conclave.Engine.Pages;
using Conclave.Engine.Speculation;
using Conclave.Model;

namespace Conclave.Engine;

/// <summary>Limits of one engine; validated when it starts.</summary>
public sealed record EngineOptions
{
    /// <summary>Most sequences in one step.</summary>
    public int MaxBatch { get; init; } = 32;

    /// <summary>Most token rows in one step, at least <see cref="MaxBatch"/>; decode rows first, prefill chunks fill up.</summary>
    public int MaxStepRows { get; init; } = 256;

    /// <summary>Most token rows in a step in which streams decode, <see cref="MaxBatch"/> to <see cref="MaxStepRows"/>: bounds the time between two of their tokens. 0: found by measuring, for <see cref="StepTargetMs"/>.</summary>
    public int StepTokens { get; init; }

    /// <summary>With <see cref="StepTokens"/> 0: how long a step in which streams decode should take at most, as far as prompts are the reason.</summary>
    public int StepTargetMs { get; init; } = 250;

    /// <summary>
    /// How long a step in which no stream decodes should take at most. Whoever comes meanwhile waits for its end, and one of many seconds could not be told from one that hangs: behind a long context a
    /// row may take a quarter of a second.
    /// </summary>
    public int PromptStepTargetMs { get; init; } = 1500;

    /// <summary>Waiting for this long is worth one level of priority.</summary>
    public int AgingMs { get; init; } = 10_000;

    /// <summary>Native memory for KV pages.</summary>
    public long KvMemorySizeBytes { get; init; } = 1L << 30;

    /// <summary>Type and size of KV pages: the model that the engine runs must have been made with them.</summary>
    public KvOptions Kv { get; init; } = new();

    /// <summary>Where evicted KV pages are kept and found again, also after a restart; null: nowhere.</summary>
    public KvDiskOptions? KvDisk { get; init; }

    /// <summary>Most sequences that wait for room; more are refused as overloaded.</summary>
    public int MaxQueue { get; init; } = 1024;

    /// <summary>Tokens drafted ahead, for models with an MTP module.</summary>
    public SpeculationOptions Speculation { get; init; } = SpeculationOptions.Auto;

    /// <summary>Test option: called on the step loop's thread before each step, with no lock held; the step begins when it returns.</summary>
    public Action? BeforeStep { get; init; }

    /// <summary>Checks every limit that does not depend on the model.</summary>
    /// <exception cref="ArgumentOutOfRangeException">Naming the option and its range.</exception>
    public void Validate()
    {
        Require(MaxBatch is >= 1 and <= 4096, nameof(MaxBatch), "between 1 and 4096", MaxBatch);
        Require(MaxStepRows >= MaxBatch && MaxStepRows <= 65536, nameof(MaxStepRows), $"between {nameof(MaxBatch)} ({MaxBatch}) and 65536", MaxStepRows);
        Require(StepTokens == 0 || (StepTokens >= MaxBatch && StepTokens <= MaxStepRows), nameof(StepTokens), $"0, or between {nameof(MaxBatch)} ({MaxBatch}) and {nameof(MaxStepRows)} ({MaxStepRows})", StepTokens);
        Require(StepTargetMs >= 1, nameof(StepTargetMs), "at least 1", StepTargetMs);
        Require(PromptStepTargetMs >= 1, nameof(PromptStepTargetMs), "at least 1", PromptStepTargetMs);
        Require(AgingMs is >= 1 and <= 86_400_000, nameof(AgingMs), "between 1 and 86400000 (a day)", AgingMs);
        Require(KvMemorySizeBytes >= 1, nameof(KvMemorySizeBytes), "at least one KV page", KvMemorySizeBytes);
        Require(Speculation.Drafts is >= 0 and <= SpeculationOptions.MaxDrafts, nameof(Speculation), $"between 0 and {SpeculationOptions.MaxDrafts} drafts", Speculation.Drafts);
        Kv.Validate();
        Require(MaxQueue >= 1, nameof(MaxQueue), "at least 1", MaxQueue);
    }

    private static void Require(bool holds, string name, string range, long value)
    {
        if (!holds)
            throw new ArgumentOutOfRangeException(name, value, $"Engine option {name} must be {range}.");
    }
}
