using Conclave.Engine.Pages;

namespace Conclave.Engine;

/// <summary>What an engine is doing, a consistent snapshot.</summary>
/// <param name="Running">Sequences in the batch.</param>
/// <param name="Waiting">Sequences that wait for room.</param>
/// <param name="PagesInUse">KV pages held by sequences.</param>
/// <param name="PagesTotal">KV pages in all.</param>
/// <param name="StepCount">Steps since the start.</param>
/// <param name="PromptTokens">Prompt tokens computed since the start.</param>
/// <param name="GeneratedTokens">Tokens generated since the start.</param>
public sealed record EngineStatus(int Running, int Waiting, int PagesInUse, int PagesTotal, long StepCount, long PromptTokens, long GeneratedTokens)
{
    /// <summary>Of all steps' time what their thread spent inside kernels; the rest went into what lies between them and into waiting for other threads and silos.</summary>
    public TimeSpan KernelTime { get; init; }

    /// <summary>Sequences of other engines whose pages are here and wait for adoption.</summary>
    public int ParkedSequences { get; init; }

    /// <summary>Pages that no sequence holds, but whose content a sequence that begins alike would find. They count neither as in use nor as lost: they make room when needed.</summary>
    public int CachedPages { get; init; }

    /// <summary>Pages that sequences found instead of computing them, since the start.</summary>
    public long PrefixHits { get; init; }

    /// <summary>Full pages that sequences had to compute because they were not found, since the start.</summary>
    public long PrefixMisses { get; init; }

    /// <summary>Cached pages dropped to make room, since the start.</summary>
    public long Evictions { get; init; }
    /// <summary>Those of the waiting sequences that ran before, and gave way when KV pages or places ran out.</summary>
    public int Preempted { get; init; }

    /// <summary>How often a sequence gave way since the start.</summary>
    public long Preemptions { get; init; }

    /// <summary>Tokens computed once more since the start, because their sequence had given way.</summary>
    public long RecomputedTokens { get; init; }

    /// <summary>Tokens of sequences that had given way and whose pages were still cached when they came back.</summary>
    public long RestoredTokens { get; init; }

    /// <summary>Most token rows of a step in which streams decode, as it stands now.</summary>
    public int StepTokens { get; init; }

    /// <summary>How often the idle engine checked its KV memory.</summary>
    public long MemoryChecks { get; init; }

    /// <summary>How often that check found it in disorder and began it anew: a defect of this program.</summary>
    public long MemoryFaults { get; init; }

    /// <summary>The second KV tier; null without one.</summary>
    public KvDiskStatus? Disk { get; init; }

    /// <summary>Steps that failed their sequences; the engine went on.</summary>
    public long FailedSteps { get; init; }

    /// <summary>Drafts verified since the start.</summary>
    public long DraftedTokens { get; init; }

    /// <summary>Those of them that were right: tokens that needed no step of their own.</summary>
    public long AcceptedTokens { get; init; }

    /// <summary>What ended the step loop, though nobody disposed the engine: it is unhealthy and serves nothing more. Null while all is well.</summary>
    public Exception? Fault { get; init; }
}

/// <summary>What one step did.</summary>
internal record struct StepTally(int PromptTokens, int GeneratedTokens, int DraftedTokens, int AcceptedTokens, bool Failed);
