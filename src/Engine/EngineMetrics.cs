using System.Diagnostics.Metrics;

namespace Conclave.Engine;

/// <summary>Instruments of one engine, of the meter <see cref="MeterName"/>. Recording allocates nothing.</summary>
internal sealed class EngineMetrics : IDisposable
{
    /// <summary>The meter's name.</summary>
    public const string MeterName = "Conclave.Engine";

    private readonly Meter _meter = new(MeterName);
    private readonly Counter<long> _promptTokens;
    private readonly Counter<long> _generatedTokens;
    private readonly Counter<long> _draftedTokens;
    private readonly Counter<long> _acceptedTokens;
    private readonly Counter<long> _failedSteps;
    private readonly Histogram<double> _stepDurationMs;
    private readonly Histogram<double> _queueWaitMs;

    public EngineMetrics(Func<EngineStatus> status)
    {
        _promptTokens = _meter.CreateCounter<long>("conclave.engine.prompt_tokens", "{token}", "Prompt tokens computed.");
        _generatedTokens = _meter.CreateCounter<long>("conclave.engine.generated_tokens", "{token}", "Tokens generated.");
        _draftedTokens = _meter.CreateCounter<long>("conclave.engine.drafted_tokens", "{token}", "Drafts verified.");
        _acceptedTokens = _meter.CreateCounter<long>("conclave.engine.accepted_tokens", "{token}", "Drafts that were right.");
        _failedSteps = _meter.CreateCounter<long>("conclave.engine.failed_steps", "{step}", "Steps that failed their sequences.");
        _stepDurationMs = _meter.CreateHistogram<double>("conclave.engine.step_duration", "ms", "Time of one step of the batch.");
        _queueWaitMs = _meter.CreateHistogram<double>("conclave.engine.queue_wait", "ms", "Time that a sequence waited for its first place in the batch.");
        _meter.CreateObservableCounter("conclave.engine.kernel_time", () => status().KernelTime.TotalMilliseconds, "ms", "Of all steps' time what their thread spent inside kernels.");
        _meter.CreateObservableGauge("conclave.engine.running", () => status().Running, "{sequence}", "Sequences in the batch.");
        _meter.CreateObservableGauge("conclave.engine.waiting", () => status().Waiting, "{sequence}", "Sequences that wait for room.");
        _meter.CreateObservableGauge("conclave.engine.preempted", () => status().Preempted, "{sequence}", "Waiting sequences that ran before and gave way.");
        _meter.CreateObservableGauge("conclave.engine.step_tokens", () => status().StepTokens, "{token}", "Most rows of a step in which streams decode.");
        _meter.CreateObservableCounter("conclave.engine.preemptions", () => status().Preemptions, "{sequence}", "How often a sequence gave way when KV pages or places ran out.");
        _meter.CreateObservableCounter("conclave.engine.recomputed_tokens", () => status().RecomputedTokens, "{token}", "Tokens computed once more because their sequence had given way.");
        _meter.CreateObservableCounter("conclave.engine.restored_tokens", () => status().RestoredTokens, "{token}", "Tokens of sequences that had given way and whose pages were still cached.");
        _meter.CreateObservableGauge("conclave.engine.kv_pages_in_use", () => status().PagesInUse, "{page}", "KV pages held by sequences.");
        _meter.CreateObservableGauge("conclave.engine.kv_pages", () => status().PagesTotal, "{page}", "KV pages in all.");
        _meter.CreateObservableGauge("conclave.engine.kv_pages_cached", () => status().CachedPages, "{page}", "KV pages that no sequence holds, kept for those that begin alike.");
        _meter.CreateObservableCounter("conclave.engine.prefix_hits", () => status().PrefixHits, "{page}", "KV pages found instead of computed.");
        _meter.CreateObservableCounter("conclave.engine.prefix_misses", () => status().PrefixMisses, "{page}", "Full KV pages of prompts that were not found.");
        _meter.CreateObservableCounter("conclave.engine.kv_evictions", () => status().Evictions, "{page}", "Cached KV pages dropped to make room.");
        _meter.CreateObservableCounter("conclave.engine.kv_memory_faults", () => status().MemoryFaults, "{fault}", "Times that the KV memory was found in disorder and begun anew.");
        _meter.CreateObservableGauge("conclave.engine.kv_disk_pages", () => status().Disk?.Pages ?? 0, "{page}", "KV pages on disk.");
        _meter.CreateObservableGauge("conclave.engine.kv_disk_size", () => status().Disk?.SizeBytes ?? 0, "By", "Bytes of KV pages on disk.");
        _meter.CreateObservableCounter("conclave.engine.kv_disk_reads", () => status().Disk?.Reads ?? 0, "{page}", "KV pages read back from disk.");
        _meter.CreateObservableCounter("conclave.engine.kv_disk_writes", () => status().Disk?.Writes ?? 0, "{page}", "Evicted KV pages written to disk.");
        _meter.CreateObservableCounter("conclave.engine.kv_disk_dropped", () => status().Disk?.Dropped ?? 0, "{page}", "Evicted KV pages not written: the disk was behind or failing.");
        _meter.CreateObservableCounter("conclave.engine.kv_disk_damaged", () => status().Disk?.Damaged ?? 0, "{file}", "Files of KV pages discarded: damaged, or of another model.");
        _meter.CreateObservableCounter("conclave.engine.kv_disk_failures", () => status().Disk?.Failures ?? 0, "{write}", "Writes of KV pages that failed.");
    }

    public void RecordStep(in StepTally tally, double durationMs)
    {
        _promptTokens.Add(tally.PromptTokens);
        _generatedTokens.Add(tally.GeneratedTokens);
        if (tally.DraftedTokens > 0)
        {
            _draftedTokens.Add(tally.DraftedTokens);
            _acceptedTokens.Add(tally.AcceptedTokens);
        }

        if (tally.Failed)
            _failedSteps.Add(1);
        _stepDurationMs.Record(durationMs);
    }

    public void RecordQueueWait(double waitMs) => _queueWaitMs.Record(waitMs);

    public void Dispose() => _meter.Dispose();
}
