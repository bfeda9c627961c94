using Conclave.Engine.Pages;
using Conclave.Engine.Sampling;
using Conclave.Model;

namespace Conclave.Engine;

/// <summary>Serving on one machine: one thread runs step after step; sequences join and leave between steps.</summary>
public sealed partial class Engine : IDisposable
{
    private readonly Transformer _model;
    private readonly EngineOptions _options;
    private readonly TimeProvider _clock;
    private readonly KvMemory _memory;
    private readonly StepBatch _batch;
    private readonly EngineMetrics _metrics;
    private readonly Thread _thread;
    private readonly AutoResetEvent _wake = new(false);
    private readonly Action<Sequence> _onCancelled;
    private readonly SamplerScratch _scratch;
    private readonly int[] _logitRows;
    private readonly List<Sequence> _retired;

    // Guards the scheduler, the pool and everything below. Never held while the model runs.
    private readonly Lock _gate = new();
    private readonly Scheduler _scheduler;
    private bool _isClosed;
    private Exception? _fault;
    private long _stepCount;
    private long _failedSteps;
    private long _promptTokens;
    private long _generatedTokens;
    private long _stepStarted;

    /// <summary>Starts the step loop's thread. <paramref name="model"/> stays the caller's and must outlive the engine.</summary>
    /// <exception cref="ArgumentOutOfRangeException">An option is out of range.</exception>
    public Engine(Transformer model, EngineOptions options, TimeProvider clock)
    {
        options.Validate();
        if (options.MaxStepRows > model.MaxRows)
            throw new ArgumentOutOfRangeException(nameof(options), options.MaxStepRows, $"Engine option {nameof(options.MaxStepRows)} exceeds the {model.MaxRows} rows that the model was made for.");
        _model = model;
        _options = options;
        _clock = clock;
        _memory = new KvMemory(model.KvLayout, options.KvMemorySizeBytes);
        _batch = new StepBatch(model.Config, options.MaxStepRows, options.MaxBatch);
        _scheduler = new Scheduler(options.MaxBatch, options.MaxStepRows, _memory);
        _scratch = new SamplerScratch(model.Config.VocabularySize);
        _logitRows = new int[options.MaxBatch];
        _retired = new List<Sequence>(options.MaxBatch);
        _onCancelled = OnCancelled;
        _metrics = new EngineMetrics(() => Status);
        _thread = new Thread(Run) { Name = "conclave-engine", IsBackground = true };
        _thread.Start();
    }

    /// <summary>A snapshot for health, metrics and tests.</summary>
    public EngineStatus Status
    {
        get
        {
            lock (_gate)
            {
                return new EngineStatus(
                    _scheduler.RunningCount, _scheduler.WaitingCount, _memory.HeldCount, _memory.PageCount, _stepCount, _promptTokens, _generatedTokens)
                {
                    FailedSteps = _failedSteps,
                    Fault = _fault,
                    ParkedSequences = _parked.Count,
                    CachedPages = _memory.CachedCount,
                    PrefixHits = _memory.HitCount,
                    PrefixMisses = _memory.MissCount,
                    Evictions = _memory.EvictionCount,
                };
            }
        }
    }

    /// <summary>How long the step under way has run; zero between steps. One that never ends shows here.</summary>
    public TimeSpan StepAge => Volatile.Read(ref _stepStarted) is var started and not 0 ? _clock.GetElapsedTime(started) : TimeSpan.Zero;

    /// <summary>Queues a sequence. From any thread.</summary>
    /// <param name="request">What to generate.</param>
    /// <param name="parkedId">Where pages of it may be parked (<see cref="TryPark"/>): what they hold is not computed again.</param>
    /// <exception cref="OperatingException">Invalid, too long for the context or for all KV memory, the queue is full, or the engine has ended.</exception>
    public Sequence Submit(GenerationRequest request, Guid? parkedId = null)
    {
        // A copy: what was validated must be what runs, whatever the caller does with its arrays.
        request = request with
        {
            PromptIds = [.. request.PromptIds],
            StopTokenIds = request.StopTokenIds.ToArray(),
            Sampling = request.Sampling with { LogitBias = [.. request.Sampling.LogitBias] },
        };
        request.Validate(_model.Config.VocabularySize, _model.Config.MaxPositions, _memory.PageCount);
        var sequence = new Sequence(request, _onCancelled);
        lock (_gate)
        {
            if (_isClosed)
                throw Closed(_fault);
            if (parkedId is { } id && Adopt(request, id) is { } pages)
                sequence.Adopt(pages);
            else if (_scheduler.WaitingCount >= _options.MaxQueue)
                throw new OperatingException(OperatingError.Overloaded, $"The server is overloaded: {_scheduler.WaitingCount} requests are waiting. Please retry later.");
            _scheduler.Enqueue(sequence);
            _wake.Set();
        }

        return sequence;
    }

    /// <summary>Ends the loop after the step under way; sequences still running fail as unavailable.</summary>
    public void Dispose()
    {
        lock (_gate)
        {
            // Closed first: woken before it, the loop would find nothing to do and sleep again.
            bool isFirst = !_isClosed;
            _isClosed = true;
            if (isFirst)
                _wake.Set();
        }

        _thread.Join();
        _metrics.Dispose();
        lock (_gate)
        {
            if (_isDisposed)
                return;
            _batch.Dispose();
            EndParking();
            _wake.Dispose();
        }
    }

    private static OperatingException Closed(Exception? fault) => fault is null
        ? new OperatingException(OperatingError.Unavailable, "The engine is shutting down.")
        : new OperatingException(OperatingError.Unavailable, "The engine has failed and serves nothing more.", fault);

    private void Run()
    {
        try
        {
            while (!Volatile.Read(ref _isClosed))
            {
                if (!Step())
                    _wake.WaitOne();
            }
        }
        catch (Exception fault)
        {
            lock (_gate)
                _fault = fault;
        }

        EndAll();
    }

    /// <summary>One step of the whole batch: plan, forward, sample and emit, retire. False if there was nothing to do.</summary>
    private bool Step()
    {
        long start = _clock.GetTimestamp();
        ReadOnlySpan<StepSegment> segments;
        lock (_gate)
        {
            segments = _scheduler.Plan();
            _isStepping = !segments.IsEmpty;
        }

        if (segments.IsEmpty)
            return false;
        Volatile.Write(ref _stepStarted, start);

        var tally = default(StepTally);
        try
        {
            _batch.Clear();
            for (int i = 0; i < segments.Length; i++)
            {
                (Sequence sequence, int rowCount, bool needsLogits) = segments[i];
                if (!sequence.IsDecoding)
                    tally.PromptTokens += rowCount;
                _logitRows[i] = _batch.Add(sequence.Pages, sequence.NextRows(rowCount), needsLogits ? LogitRows.Last : LogitRows.None);
            }

            _model.Forward(_batch);
            for (int i = 0; i < segments.Length; i++)
            {
                if (segments[i].NeedsLogits && SampleAndEmit(segments[i].Sequence, _batch.Logits(_logitRows[i])))
                    tally.GeneratedTokens++;
            }
        }
        catch (Exception fault)
        {
            // The pages of every sequence of the batch may be half written; those that had no rows in it go on.
            tally.Failed = true;
            OperatingException failure = StepFailure(fault);
            foreach (StepSegment segment in segments)
                segment.Sequence.Fail(failure);
        }

        Retire(tally);
        _metrics.RecordStep(tally, _clock.GetElapsedTime(start).TotalMilliseconds);
        return true;
    }

    /// <summary>What a failed step is to its sequences: experts that cannot be reached are nobody's mistake, and another try may find them.</summary>
    private static OperatingException StepFailure(Exception fault)
    {
        for (Exception? cause = fault; cause is not null; cause = cause.InnerException)
        {
            if (cause is OperatingException { Error: OperatingError.Unavailable } unavailable)
                return new OperatingException(OperatingError.Unavailable, unavailable.Message, fault);
        }

        return new OperatingException(OperatingError.Internal, "The step that computed this sequence failed.", fault);
    }

    /// <summary>Chooses the next token of <paramref name="sequence"/> and hands it over; true if the consumer got one.</summary>
    private bool SampleAndEmit(Sequence sequence, ReadOnlySpan<float> logits)
    {
        SamplingParameters sampling = sequence.Request.Sampling;
        try
        {
            int id = Sampler.Choose(sequence.NextChoice(logits), sampling, _scratch);
            float logprob = 0;
            if (sampling.TopLogprobs >= 0)
            {
                float logSumExp = LogProbabilities.LogSumExp(logits, _scratch);
                LogProbabilities.Top(logits, logSumExp, sequence.NextAlternatives);
                logprob = logits[id] - logSumExp;
            }

            return sequence.Emit(new GeneratedToken(id, logprob));
        }
        catch (OperatingException unusable)
        {
            // Its own logits are bad; the other sequences of the step go on.
            sequence.Fail(unusable);
            return false;
        }
    }

    private void Retire(StepTally tally)
    {
        lock (_gate)
        {
            _stepCount++;
            _failedSteps += tally.Failed ? 1 : 0;
            _promptTokens += tally.PromptTokens;
            _generatedTokens += tally.GeneratedTokens;
            _scheduler.Retire(_retired);
            LetLeave();
        }

        Volatile.Write(ref _stepStarted, 0);

        // Only now, so that who sees the end of a sequence also sees its pages free.
        foreach (Sequence sequence in _retired)
            sequence.Complete();
        _retired.Clear();
    }

    private void EndAll()
    {
        lock (_gate)
        {
            _isClosed = true;
            _scheduler.Clear(_retired);
            LetLeave();
        }

        foreach (Sequence sequence in _retired)
        {
            sequence.Fail(Closed(_fault));
            sequence.Complete();
        }
    }

    private void OnCancelled(Sequence sequence)
    {
        // In the batch it is retired at the end of the step under way; a waiting one need not wait for that.
        lock (_gate)
            _scheduler.RemoveWaiting(sequence);
    }
}
