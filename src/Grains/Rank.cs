using System.Collections.Concurrent;
using Conclave.Engine;
using Conclave.Engine.Grammars;
using Conclave.Grains.Migration;
using Conclave.Grains.Transport;
using Conclave.Model;
using Conclave.Model.Checkpoints;
using Conclave.Model.Tokenization;
using Microsoft.Extensions.Logging;

namespace Conclave.Grains;

/// <summary>What an attention silo serves with: its engine, and the sequences whose pages it holds. The grains beside it find both here.</summary>
public sealed partial class Rank : IDisposable
{
    private static readonly TimeSpan LeaseCheckPeriod = TimeSpan.FromSeconds(1);

    private readonly ConcurrentDictionary<Guid, OpenSequence> _sequences = new();
    private readonly Checkpoint _checkpoint;
    private readonly ClusterExpertDispatch _experts;
    private readonly WorkerPool _workers;
    private readonly EngineOptions _engineOptions;
    private readonly TimeProvider _clock;
    private readonly ILogger<Rank> _logger;
    private readonly TensorTransport? _transport;
    private readonly ITimer _leases;
    private readonly CancellationTokenSource _ending = new();
    private KvSender? _sender;
    private KvReceiver? _receiver;
    private Transformer? _model;
    private Engine.Engine? _engine;
    private volatile bool _isDraining;

    /// <summary>A rank that does not serve yet. Without a transport it hands sequences over without their pages.</summary>
    public Rank(
        Checkpoint checkpoint, ClusterExpertDispatch experts, WorkerPool workers, EngineOptions engineOptions, RankOptions options, TimeProvider clock, ILogger<Rank> logger,
        TensorTransport? transport = null)
    {
        options.Validate();
        (_checkpoint, _experts, _workers, _engineOptions, Options, _clock, _logger, _transport) = (checkpoint, experts, workers, engineOptions, options, clock, logger, transport);
        _leases = clock.CreateTimer(_ => EndUnread(), null, LeaseCheckPeriod, LeaseCheckPeriod);
    }

    /// <summary>The times it keeps.</summary>
    public RankOptions Options { get; }

    /// <summary>The running engine.</summary>
    /// <exception cref="OperatingException">Not started yet.</exception>
    public Engine.Engine Engine => _engine ?? throw new OperatingException(OperatingError.Unavailable, "this silo is still starting; try again in a moment");

    /// <summary>Sequences open on this rank.</summary>
    public int SequenceCount => _sequences.Count;

    /// <summary>It takes no new sequences.</summary>
    public bool IsDraining => _isDraining;

    /// <summary>The step under way takes unusually long.</summary>
    public bool IsStalled => Engine.StepAge.TotalMilliseconds >= Options.StallMs;

    /// <summary>Why it cannot serve: the step loop has failed, or hangs. Null while it can.</summary>
    public string? Fault => Engine.Status.Fault is { } fault ? fault.Message
        : Engine.StepAge is var age && age.TotalMilliseconds >= Options.StepDeadlineMs ? $"the step loop hangs: its step has lasted {age.TotalSeconds:F0} s"
        : null;

    /// <summary>Binds the weights and starts the step loop; the experts' map must be in use.</summary>
    /// <exception cref="CheckpointException">A tensor is missing or has another shape.</exception>
    public void Start()
    {
        _model = new Transformer(_checkpoint, _experts, _workers, _engineOptions.MaxStepRows, kv: _engineOptions.Kv);
        var config = _model.Config;
        _engine = new Engine.Engine(_model, _engineOptions, _clock, _logger)
        {
            Grammars = new GrammarCache(() => TokenVocabulary.From(Tokenizer.Load(_checkpoint.Directory), config.VocabularySize)),
        };
        _ = WarmUp(_engine.Grammars);
        if (_transport is not null) Receive(_transport, _engine, _model.KvLayout);
    }

    /// <summary>Compiles the grammar of a sequence, which may take long, on another thread; <see cref="Open"/> then has it at hand.</summary>
    /// <exception cref="OperatingException">It cannot be used.</exception>
    public Task Prepare(GenerateCommand command) =>
        command.ToRequest().Grammar is { } grammar && Engine.Grammars is { } grammars ? Task.Run(() => grammars.Get(grammar)) : Task.CompletedTask;

    /// <summary>Reserves pages for a sequence and queues it; pages that another rank sent under its id are used.</summary>
    /// <exception cref="OperatingException">Refused.</exception>
    public void Open(GenerateCommand command)
    {
        if (_isDraining) throw new OperatingException(OperatingError.Unavailable, "this silo is draining; another one takes new sequences");
        Sequence sequence = Engine.Submit(command.ToRequest(), command.SequenceId);
        if (_sequences.TryAdd(command.SequenceId, new OpenSequence(sequence, _clock))) return;
        sequence.Dispose();
        throw new OperatingException(OperatingError.InvalidRequest, $"sequence {command.SequenceId} is open already");
    }

    /// <summary>An open sequence.</summary>
    /// <exception cref="OperatingException">Closed, or never opened here.</exception>
    public OpenSequence Find(Guid sequenceId) => _sequences.TryGetValue(sequenceId, out OpenSequence? sequence)
        ? sequence
        : throw new OperatingException(OperatingError.Unavailable, $"sequence {sequenceId} is not open on this rank any more");

    /// <summary>Cancels the sequence if it still runs and frees its pages.</summary>
    public void Close(Guid sequenceId)
    {
        if (_sequences.TryRemove(sequenceId, out OpenSequence? open)) open.Sequence.Dispose();
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        _leases.Dispose();
        _ending.Cancel();
        // A step that waits for another silo must not hold up the end.
        _experts.Close();
        _engine?.Dispose();
        foreach (Guid id in _sequences.Keys) Close(id);
        _model?.Dispose();
    }

    /// <summary>Does in the background what the first grammar would wait for. Where it fails, as for a model without tokenizer, so will that.</summary>
    private async Task WarmUp(GrammarCache grammars)
    {
        try
        {
            await grammars.WarmUp(_clock, _ending.Token).ConfigureAwait(false);
        }
        catch (Exception error)
        {
            LogNotWarm(error.Message);
        }
    }

    private void EndUnread()
    {
        foreach ((Guid id, OpenSequence open) in _sequences)
        {
            if (open.Unread.TotalMilliseconds < Options.LeaseMs) continue;
            LogUnread(id, open.Unread.TotalMilliseconds);
            Close(id);
        }
    }

    [LoggerMessage(Level = LogLevel.Debug, Message = "grammars have not been warmed up: {Reason}")]
    private partial void LogNotWarm(string reason);

    [LoggerMessage(Level = LogLevel.Warning, Message = "sequence {SequenceId} is cancelled: nobody has read it for {UnreadMs:F0} ms, so its gateway must be gone")]
    private partial void LogUnread(Guid sequenceId, double unreadMs);
}
