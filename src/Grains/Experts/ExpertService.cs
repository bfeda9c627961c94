using Conclave.Grains.Transport;
using Conclave.Model;
using Conclave.Model.Experts;

namespace Conclave.Grains;

/// <summary>
/// Computes rows of other silos with the experts that this silo holds, on threads of its own. Requests of several silos take turns. What an expert gives depends on
/// the row alone, so the map's version does not matter: whoever holds the expert may answer.
/// </summary>
public sealed unsafe class ExpertService : IRequestHandler, IDisposable
{
    private readonly ModelConfig _config;
    private readonly SiloExperts _experts;
    private readonly WorkerPool _workers;
    private readonly LocalExpertDispatch _local;
    private readonly Lock _gate = new();
    private Arena _arena = new();
    private float* _rows;
    private int _rowCapacity;
    private long _answeredRows;

    /// <summary>Answers from <paramref name="experts"/> with <paramref name="threads"/> threads, the calling one included; the transport must end before this is disposed.</summary>
    public ExpertService(ModelConfig config, SiloExperts experts, int threads)
    {
        (_config, _experts) = (config, experts);
        _workers = new WorkerPool(threads);
        _local = new LocalExpertDispatch(config, experts.Table, _workers);
    }

    /// <summary>The kind under which the transport must know it.</summary>
    public static ushort RequestKind => ExpertRequest.Kind;

    /// <summary>Where its activities are noted; null for nowhere. Set it, and read what was noted, while no request is under way.</summary>
    public StepTimeline? Timeline { get; set; }

    /// <summary>(row, expert) pairs answered since the start.</summary>
    public long AnsweredRows => Volatile.Read(ref _answeredRows);

    /// <inheritdoc/>
    public void Handle(TensorRequest request, TensorReply reply)
    {
        if (ExpertRequest.TypeOf(request.ElementType) is not { } type)
        {
            reply.Reject($"rows of type {request.ElementType} are not understood");
            return;
        }

        if (ExpertRequest.Read(request, _config.HiddenSize, type, out string? fault) is not { } parts)
        {
            reply.Reject(fault!);
            return;
        }

        lock (_gate)
        {
            _local.Table = _experts.Table;
            foreach (int expert in new ReadOnlySpan<int>(parts.PairExperts, parts.PairCount))
            {
                if (_local.Table.Holds(request.Layer, expert)) continue;
                reply.Reject($"expert {expert} of layer {request.Layer} is not held here");
                return;
            }

            int width = _config.HiddenSize;
            Timeline?.Mark(StepActivity.RoutedExperts, request.Layer, 0);
            _local.Complete(request.Layer, new RoutedRows
            {
                RowCount = parts.PairCount,
                ExpertsPerToken = 1,
                Input = type == DispatchType.F32 ? (float*)parts.Rows : Decode(type, parts.Rows, request.Rows),
                InputRows = parts.PairRows,
                ExpertIds = parts.PairExperts,
                Output = (float*)reply.Reserve(checked(parts.PairCount * width * sizeof(float))),
            });
            Timeline?.Mark(StepActivity.Done, request.Layer, 0);
            (reply.Rows, reply.Columns, reply.ElementType) = (parts.PairCount, width, ElementType.F32);
            _answeredRows += parts.PairCount;
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        _local.Dispose();
        _workers.Dispose();
        _arena.Dispose();
    }

    private float* Decode(DispatchType type, byte* rows, int count)
    {
        int width = _config.HiddenSize, size = RowFormat.RowSizeBytes(type, width);
        if (count > _rowCapacity)
        {
            _arena.Dispose();
            _arena = new Arena();
            _rows = _arena.Floats((long)count * width);
            _rowCapacity = count;
        }

        for (long row = 0; row < count; row++) RowFormat.Decode(type, rows + (row * size), width, _rows + (row * width));
        return _rows;
    }
}
