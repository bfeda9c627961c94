using Conclave.Grains.Transport;
using Conclave.Model;
using Conclave.Model.Experts;

namespace Conclave.Grains;

/// <summary>One request to another silo, for the pairs <see cref="First"/> to <see cref="First"/> + <see cref="Count"/> of the order in <see cref="RowsUnderWay.Order"/>.</summary>
/// <param name="Call">The request; null for pairs that nobody could be asked for.</param>
/// <param name="Peer">The silo; null like the request.</param>
/// <param name="First">First pair.</param>
/// <param name="Count">Pairs.</param>
/// <param name="Sent">Clock's timestamp of sending.</param>
internal readonly record struct RowsCall(TensorCall? Call, TransportPeer? Peer, int First, int Count, long Sent);

/// <summary>The rows of one micro-batch between <see cref="IExpertDispatch.Begin"/> and <see cref="IExpertDispatch.Complete"/>. Memory grows to what was needed and stays.</summary>
internal sealed unsafe class RowsUnderWay(ModelConfig config, DispatchType type) : IDisposable
{
    private readonly int _wireRowSizeBytes = RowFormat.RowSizeBytes(type, config.HiddenSize);
    private readonly List<RowsCall> _calls = [];
    private Arena _arena = new();
    private int _rowCapacity;
    private int _pairCapacity;
    private float* _rounded;

    /// <summary>Layer.</summary>
    public int Layer { get; private set; }

    /// <summary>The rows as experts see them: <see cref="RoutedRows.Input"/> is rounded.</summary>
    public RoutedRows Rows { get; private set; }

    /// <summary>(row, expert) pairs.</summary>
    public int PairCount => Rows.RowCount * Rows.ExpertsPerToken;

    /// <summary>The rows as they travel, <see cref="WireRow"/> apart; for F32 the input itself.</summary>
    public byte* Wire { get; private set; }

    /// <summary>Pairs (indexes of <see cref="RoutedRows.ExpertIds"/>), those of one request behind each other.</summary>
    public int* Order { get; private set; }

    /// <summary>Room for sorting <see cref="Order"/>.</summary>
    public int* Sorted { get; private set; }

    /// <summary>Experts to compute here, -1 for other pairs.</summary>
    public int* LocalIds { get; private set; }

    /// <summary>Requests, in the order in which they are to be waited for.</summary>
    public List<RowsCall> Calls => _calls;

    /// <summary>Takes the rows of a layer; <see cref="Round"/> must follow unless rows travel as F32.</summary>
    public void Take(int layer, in RoutedRows rows)
    {
        Reserve(rows.RowCount, rows.RowCount * rows.ExpertsPerToken);
        Layer = layer;
        Rows = type == DispatchType.F32 ? rows : rows with { Input = _rounded };
        if (type == DispatchType.F32) Wire = (byte*)rows.Input;
        for (int pair = 0; pair < PairCount; pair++) Order[pair] = pair;
    }

    /// <summary>Rounds row <paramref name="row"/> of <paramref name="input"/>; any thread, one row each.</summary>
    public void Round(float* input, long row)
    {
        byte* wire = Wire + (row * _wireRowSizeBytes);
        RowFormat.Encode(type, input + (row * config.HiddenSize), config.HiddenSize, wire);
        RowFormat.Decode(type, wire, config.HiddenSize, _rounded + (row * config.HiddenSize));
    }

    /// <summary>Bytes of row <paramref name="row"/> as it travels.</summary>
    public ReadOnlySpan<byte> WireRow(int row) => new(Wire + ((long)row * _wireRowSizeBytes), _wireRowSizeBytes);

    /// <summary>Copies the rows of a reply to the places of its pairs.</summary>
    public void Scatter(in RowsCall call, float* reply)
    {
        int width = config.HiddenSize;
        for (long i = 0; i < call.Count; i++)
            new ReadOnlySpan<float>(reply + (i * width), width).CopyTo(new Span<float>(Rows.Output + ((long)Order[call.First + i] * width), width));
    }

    /// <summary>Gives up every request: nothing is written to the rows' memory any more.</summary>
    public void Abandon()
    {
        foreach (RowsCall call in _calls) call.Call?.Dispose();
        _calls.Clear();
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        Abandon();
        _arena.Dispose();
    }

    private void Reserve(int rows, int pairs)
    {
        if (rows <= _rowCapacity && pairs <= _pairCapacity) return;
        _arena.Dispose();
        _arena = new Arena();
        (rows, pairs) = (_rowCapacity, _pairCapacity) = (Math.Max(rows, _rowCapacity), Math.Max(pairs, _pairCapacity));
        Order = _arena.Ints(pairs);
        Sorted = _arena.Ints(pairs);
        LocalIds = _arena.Ints(pairs);
        if (type == DispatchType.F32) return;
        _rounded = _arena.Floats((long)rows * config.HiddenSize);
        Wire = (byte*)_arena.Floats(((long)rows * _wireRowSizeBytes / sizeof(float)) + 1);
    }
}
