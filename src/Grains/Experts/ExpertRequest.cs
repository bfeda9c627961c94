using Conclave.Grains.Transport;

namespace Conclave.Grains;

/// <summary>
/// Payload of a request for expert rows: <c>[rows]</c> token rows as <see cref="RowFormat"/> writes them, up to a multiple of 64 bytes, then for each wanted
/// (row, expert) pair its row and then for each its expert, 32 bits each. The reply has one F32 row per pair, in the same order. Rows, columns, layer and element type are in
/// the frame's header.
/// </summary>
internal readonly unsafe struct ExpertRequest
{
    private const int Alignment = 64;

    private ExpertRequest(byte* rows, int* pairRows, int pairCount)
    {
        Rows = rows;
        PairRows = pairRows;
        PairCount = pairCount;
    }

    /// <summary>The request's kind on the transport.</summary>
    public const ushort Kind = 1;

    /// <summary>Token rows.</summary>
    public byte* Rows { get; }

    /// <summary>Row of each pair.</summary>
    public int* PairRows { get; }

    /// <summary>Expert of each pair.</summary>
    public int* PairExperts => PairRows + PairCount;

    /// <summary>Pairs.</summary>
    public int PairCount { get; }

    /// <summary>Bytes of the payload.</summary>
    public static int SizeBytes(DispatchType type, int rows, int columns, int pairs) => checked((int)(RowsSizeBytes(type, rows, columns) + (2L * sizeof(int) * pairs)));

    /// <summary>The parts of a payload that is to be filled.</summary>
    public static ExpertRequest In(byte* payload, DispatchType type, int rows, int columns, int pairs) =>
        new(payload, (int*)(payload + RowsSizeBytes(type, rows, columns)), pairs);

    /// <summary>The parts of a payload that has arrived; null and the reason if it cannot be right for a model of <paramref name="hiddenSize"/>.</summary>
    public static ExpertRequest? Read(TensorRequest request, int hiddenSize, DispatchType type, out string? fault)
    {
        fault = null;
        long pairBytes = request.Rows < 1 || request.Columns != hiddenSize ? -1 : request.SizeBytes - RowsSizeBytes(type, request.Rows, hiddenSize);
        if (pairBytes < 0 || pairBytes % (2 * sizeof(int)) != 0)
        {
            fault = $"{request.SizeBytes} bytes are no request for {request.Rows} rows of {request.Columns} {type} columns; this model has {hiddenSize}. Do all silos serve the same model?";
            return null;
        }

        ExpertRequest parts = In(request.Data, type, request.Rows, hiddenSize, (int)(pairBytes / (2 * sizeof(int))));
        foreach (int row in new ReadOnlySpan<int>(parts.PairRows, parts.PairCount))
        {
            if ((uint)row < (uint)request.Rows) continue;
            fault = $"row {row} of {request.Rows} is wanted";
            return null;
        }

        return parts;
    }

    /// <summary>The transport's name for a type of rows.</summary>
    public static ElementType ElementType(DispatchType type) => type switch
    {
        DispatchType.F32 => Transport.ElementType.F32,
        DispatchType.BF16 => Transport.ElementType.BF16,
        _ => Transport.ElementType.F8E4M3,
    };

    /// <summary>The reverse of <see cref="ElementType"/>; null if rows are not sent as that.</summary>
    public static DispatchType? TypeOf(ElementType element) => element switch
    {
        Transport.ElementType.F32 => DispatchType.F32,
        Transport.ElementType.BF16 => DispatchType.BF16,
        Transport.ElementType.F8E4M3 => DispatchType.FP8,
        _ => null,
    };

    private static long RowsSizeBytes(DispatchType type, int rows, int columns) =>
        (((long)rows * RowFormat.RowSizeBytes(type, columns)) + Alignment - 1) / Alignment * Alignment;
}
