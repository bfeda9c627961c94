using System.Collections.Concurrent;
using Conclave.Engine;
using Conclave.Model;
using Conclave.Model.Checkpoints;

namespace Conclave.Grains;

/// <summary>What an attention silo serves with: its engine, and the sequences whose pages it holds. The grains beside it find both here.</summary>
public sealed class Rank(Checkpoint checkpoint, SiloExperts experts, WorkerPool workers, EngineOptions options, TimeProvider clock) : IDisposable
{
    private readonly ConcurrentDictionary<Guid, Sequence> _sequences = new();
    private Transformer? _model;
    private Engine.Engine? _engine;

    /// <summary>Binds the weights and starts the step loop; the experts' map must be in use.</summary>
    /// <exception cref="CheckpointException">A tensor is missing or has another shape.</exception>
    public void Start()
    {
        _model = new Transformer(checkpoint, experts, workers, options.MaxStepRows);
        _engine = new Engine.Engine(_model, options, clock);
    }

    /// <summary>The running engine.</summary>
    /// <exception cref="OperatingException">Not started yet.</exception>
    public Engine.Engine Engine => _engine ?? throw new OperatingException(OperatingError.Unavailable, "this silo is still starting; try again in a moment");

    /// <summary>Sequences open on this rank.</summary>
    public int SequenceCount => _sequences.Count;

    /// <summary>Reserves pages for a sequence and queues it.</summary>
    /// <exception cref="OperatingException">Refused.</exception>
    public void Open(GenerateCommand command)
    {
        Sequence sequence = Engine.Submit(command.ToRequest());
        if (_sequences.TryAdd(command.SequenceId, sequence)) return;
        sequence.Dispose();
        throw new OperatingException(OperatingError.InvalidRequest, $"sequence {command.SequenceId} is open already");
    }

    /// <summary>An open sequence.</summary>
    /// <exception cref="OperatingException">Closed, or never opened here.</exception>
    public Sequence Find(Guid sequenceId) => _sequences.TryGetValue(sequenceId, out Sequence? sequence)
        ? sequence
        : throw new OperatingException(OperatingError.Internal, $"sequence {sequenceId} is not open on this rank");

    /// <summary>Cancels the sequence if it still runs and frees its pages.</summary>
    public void Close(Guid sequenceId)
    {
        if (_sequences.TryRemove(sequenceId, out Sequence? sequence)) sequence.Dispose();
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        _engine?.Dispose();
        foreach (Guid id in _sequences.Keys) Close(id);
        _model?.Dispose();
    }
}
