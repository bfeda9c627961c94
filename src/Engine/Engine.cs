using System.Diagnostics;
using Conclave.Engine.Grammars;
using Conclave.Engine.Pages;
using Conclave.Engine.Scheduling;
using Conclave.Engine.Speculation;
using Conclave.Model;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;

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
    private readonly TokenChooser _chooser;
    private readonly Speculator? _speculator;
    private readonly StepRows[] _rows;
    private readonly List<Sequence> _retired;

    // Guards the scheduler, the KV memory and everything below. Never held while the model runs.
    private readonly Lock _gate = new();
    private readonly Scheduler _scheduler;
    private readonly DepartureRate _departures = new();
    private readonly long _started;
    private bool _isClosed;
    private Exception? _fault;
    private long _stepCount;
    private long _failedSteps;
    private long _promptTokens;
    private long _generatedTokens;
    private long _draftedTokens;
    private long _acceptedTokens;
    private long _stepStarted;

    // Requests refused since the queue had room last.
    private int _refused;

    /// <summary>Starts the step loop's thread. <paramref name="model"/> stays the caller's and must outlive the engine.</summary>
    /// <exception cref="ArgumentOutOfRangeException">An option is out of range.</exception>
    /// <exception cref="ArgumentException">The directory of the second KV tier cannot be used.</exception>
    public Engine(Transformer model, EngineOptions options, TimeProvider clock, ILogger? log = null)
        : this(model, options, clock, NewDrafter, log)
    {
    }

    /// <summary>As the other constructor, with drafts from elsewhere.</summary>
    internal Engine(Transformer model, EngineOptions options, TimeProvider clock, Func<Transformer, EngineOptions, IDrafter?> newDrafter, ILogger? log = null)
    {
        options.Validate();
        if (options.MaxStepRows > model.MaxRows)
            throw new ArgumentOutOfRangeException(nameof(options), options.MaxStepRows, $"Engine option {nameof(options.MaxStepRows)} exceeds the {model.MaxRows} rows that the model was made for.");
        _model = model;
        _options = options;
        _clock = clock;
        _log = log ?? NullLogger.Instance;
        _memory = CreateMemory(options);
        if (options.Speculation.Drafts > 0 && newDrafter(model, options) is { } drafter)
            _speculator = new Speculator(drafter, new DraftPolicy(options.Speculation, options.MaxBatch), clock);
        _batch = new StepBatch(model.Config, options.MaxStepRows, Math.Min(options.MaxStepRows, options.MaxBatch * (1 + options.Speculation.Drafts)));
        _chooser = new TokenChooser(model.Config.VocabularySize);
        _rows = new StepRows[options.MaxBatch];
        _retired = new List<Sequence>(options.MaxBatch);
        _onCancelled = OnCancelled;
        _scheduler = new Scheduler(options, _memory, waitMs => _metrics!.RecordQueueWait(waitMs));
        _started = clock.GetTimestamp();
        _metrics = new EngineMetrics(() => Status);
        _thread = new Thread(Run) { Name = "conclave-engine", IsBackground = true };
        _thread.Start();
    }

    /// <summary>Grammars for sequences that ask for one; without it they are refused.</summary>
    public GrammarCache? Grammars { get; init; }

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
                    KernelTime = Stopwatch.GetElapsedTime(0, _model.KernelTicks),
                    FailedSteps = _failedSteps,
                    DraftedTokens = _draftedTokens,
                    AcceptedTokens = _acceptedTokens,
                    Preempted = _scheduler.PreemptedCount,
                    Preemptions = _scheduler.Preemptions,
                    RecomputedTokens = _scheduler.RecomputedTokens,
                    RestoredTokens = _scheduler.RestoredTokens,
                    StepTokens = _scheduler.StepTokens,
                    Fault = _fault,
                    ParkedSequences = _parked.Count,
                    CachedPages = _memory.CachedCount,
                    PrefixHits = _memory.HitCount,
                    PrefixMisses = _memory.MissCount,
                    Evictions = _memory.EvictionCount,
                    MemoryChecks = _memoryChecks,
                    MemoryFaults = _memoryFaults,
                    Disk = _memory.DiskStatus,
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
        long kvTokens = (long)_memory.PageCount * _memory.PageTokens;
        request = request.FittedTo(kvTokens) with
        {
            PromptIds = [.. request.PromptIds],
            StopTokenIds = request.StopTokenIds.ToArray(),
            Sampling = request.Sampling with { LogitBias = [.. request.Sampling.LogitBias] },
        };
        request.Validate(_model.Config.VocabularySize, _model.Config.MaxPositions, kvTokens);
        var sequence = new Sequence(request, _memory.PageTokens, _onCancelled) { Grammar = Matcher(request) };
        lock (_gate)
        {
            if (_isClosed)
                throw Closed(_fault);
            if (parkedId is { } id && Adopt(request, id) is { } pages)
                sequence.Adopt(pages);
            else if (_scheduler.WaitingCount >= _options.MaxQueue)
                throw Overloaded();
            else
                _refused = 0;
            _scheduler.Enqueue(sequence, NowMs);
            _wake.Set();
        }

        return sequence;
    }

    /// <summary>Where the sequence of <paramref name="request"/> is in its grammar after the tokens of its earlier life; null without grammar.</summary>
    private GrammarMatcher? Matcher(GenerationRequest request)
    {
        if (request.Grammar is not { } spec)
            return null;
        if (Grammars is null)
            throw new OperatingException(OperatingError.InvalidRequest, "grammar: this server has no tokenizer to constrain its output with");
        var matcher = new GrammarMatcher(Grammars.Get(spec), request.StopTokenIds);
        foreach (int id in request.PromptIds.AsSpan(request.PromptTokens))
        {
            if (!matcher.Accept(id))
                throw new OperatingException(OperatingError.InvalidRequest, $"grammar: token {id} of the resumed output does not fit it");
        }

        return matcher;
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
        SaveMemory();
        _metrics.Dispose();
        lock (_gate)
        {
            if (_isDisposed)
                return;
            _batch.Dispose();
            _speculator?.Dispose();
            EndParking();
            _wake.Dispose();
        }
    }

    private static MtpDrafter? NewDrafter(Transformer model, EngineOptions options) =>
        model.Config.NextTokenPredictLayers > 0 ? new MtpDrafter(model, options.MaxStepRows, options.MaxBatch) : null;

    private static OperatingException Closed(Exception? fault) => fault is null
        ? new OperatingException(OperatingError.Unavailable, "The engine is shutting down.")
        : new OperatingException(OperatingError.Unavailable, "The engine has failed and serves nothing more.", fault);

    /// <summary>Time since the engine began.</summary>
    private long NowMs => (long)_clock.GetElapsedTime(_started).TotalMilliseconds;

    private OperatingException Overloaded()
    {
        // Whoever was refused before comes back as well: each is told to come when there should be a place for it too.
        int seconds = _departures.SecondsUntil(++_refused);
        return new OperatingException(OperatingError.Overloaded, $"The server is overloaded: {_scheduler.WaitingCount} requests are waiting. Please retry in {seconds} s.") { RetryAfterSeconds = seconds };
    }

    private void Run()
    {
        try
        {
            while (!Volatile.Read(ref _isClosed))
            {
                if (!Step())
                    Sleep(UntilDeadlineMs());
            }
        }
        catch (Exception fault)
        {
            lock (_gate)
                _fault = fault;
        }

        EndAll();
    }

    /// <summary>How long an idle loop may sleep, in ms: for ever, or until a waiting sequence is to be given up.</summary>
    private int UntilDeadlineMs()
    {
        lock (_gate)
            return _scheduler.UntilDeadlineMs(NowMs) is { } left ? (int)Math.Min(left + 1, int.MaxValue) : Timeout.Infinite;
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
        // In the batch it is retired at the end of the step under way, or by a loop that has found nothing else to do and sleeps; a waiting one need not wait for that.
        lock (_gate)
        {
            if (!_scheduler.RemoveWaiting(sequence) && !_isClosed)
                _wake.Set();
        }
    }
}
