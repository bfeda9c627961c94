using Conclave.Model.Checkpoints;

namespace Conclave.Model.Kernels;

/// <summary>
/// A matrix <c>[Rows, Columns]</c> as stored, row-major, in the checkpoint's map; or a block of consecutive rows of one. What kernels see
/// of it are float32 values: widened exactly, or E4M3 code times block scale, rounded once.
/// </summary>
public readonly unsafe struct Weight
{
    /// <summary>Side of an FP8 block.</summary>
    public const int BlockSize = 128;

    private readonly byte* _data;
    private readonly float* _scales;
    private readonly int _firstRow;
    private readonly Int8Matrix* _int8;

    /// <summary>Describes a stored matrix.</summary>
    /// <param name="data">First element; any alignment.</param>
    /// <param name="type">Element type.</param>
    /// <param name="rows">Output dimension.</param>
    /// <param name="columns">Inner dimension.</param>
    /// <param name="scales">Block scales <c>[ceil(rows / 128), ceil(columns / 128)]</c> of FP8; null otherwise.</param>
    public Weight(byte* data, DType type, int rows, int columns, float* scales = null)
        : this(data, type, rows, columns, scales, 0, null)
    {
    }

    private Weight(byte* data, DType type, int rows, int columns, float* scales, int firstRow, Int8Matrix* int8)
    {
        _data = data;
        _scales = scales;
        _firstRow = firstRow;
        _int8 = int8;
        Type = type;
        Rows = rows;
        Columns = columns;
        ElementSizeBytes = type switch { DType.F32 => 4, DType.F16 or DType.BF16 => 2, _ => 1 };
    }

    /// <summary>Element type.</summary>
    public DType Type { get; }

    /// <summary>Output dimension.</summary>
    public int Rows { get; }

    /// <summary>Inner dimension.</summary>
    public int Columns { get; }

    /// <summary>Bytes of one element.</summary>
    public int ElementSizeBytes { get; }

    /// <summary>The whole matrix in 8 bits, in which this one begins with row <see cref="FirstRow"/>; null if products are to use what is stored.</summary>
    internal Int8Matrix* Int8 => _int8;

    /// <summary>The first row's place in the stored matrix.</summary>
    internal int FirstRow => _firstRow;

    /// <summary>This matrix, with products in 8 bits.</summary>
    public Weight With(Int8Matrix* int8) => new(_data, Type, Rows, Columns, _scales, _firstRow, int8);

    /// <summary>First element of <paramref name="row"/>.</summary>
    public byte* Row(int row) => _data + ((long)(_firstRow + row) * Columns * ElementSizeBytes);

    /// <summary>Scales of the blocks that <paramref name="row"/> crosses; null unless FP8.</summary>
    public float* RowScales(int row) => _scales is null ? null : _scales + ((long)((_firstRow + row) / BlockSize) * ((Columns + BlockSize - 1) / BlockSize));

    /// <summary>Rows from <paramref name="row"/> on that share its scales; all rows of a matrix without scales.</summary>
    public int RowsOfSameScales(int row) => _scales is null ? int.MaxValue : BlockSize - ((_firstRow + row) % BlockSize);

    /// <summary>Rows <paramref name="start"/> to <paramref name="start"/> + <paramref name="count"/>; FP8 blocks stay those of the whole matrix.</summary>
    public Weight Slice(int start, int count) => new(_data, Type, count, Columns, _scales, _firstRow + start, _int8);

    /// <summary>Brings every memory page of the matrix in. Returns its size in bytes, scales not counted.</summary>
    internal long Touch()
    {
        var size = (long)Rows * Columns * ElementSizeBytes;
        if (_int8 != null)
            return Int8Matrix.SizeBytes(Rows, Columns);
        MappedPages.Touch(Row(0), size);
        return size;
    }

    /// <summary>Takes the matrix's pages out of this process's memory; scales, which are small, stay. Only for a matrix that was bound to a checkpoint.</summary>
    internal void Release() => MappedPages.Release(Row(0), (long)Rows * Columns * ElementSizeBytes);

    /// <summary>
    /// As <see cref="Bind"/>, for one of the large products: in 8 bits if the checkpoint was opened for <see cref="ComputeType.W8A8"/>. What is stored then leaves memory again.
    /// </summary>
    /// <exception cref="CheckpointException">Missing, of another shape or type.</exception>
    public static Weight BindProduct(Checkpoint checkpoint, string name, int rows, int columns)
    {
        var stored = Bind(checkpoint, name, rows, columns);
        if (checkpoint.Int8 is not { } int8)
            return stored;
        var weight = stored.With(int8.Of(name, stored));
        if (checkpoint.IsMapped)
            stored.Release();
        return weight;
    }

    /// <summary>
    /// The matrix <paramref name="name"/> of <paramref name="checkpoint"/>, with its <c>weight_scale_inv</c> (float32, edge blocks cut short) if it is FP8.
    /// </summary>
    /// <exception cref="CheckpointException">Missing, of another shape or type.</exception>
    public static Weight Bind(Checkpoint checkpoint, string name, int rows, int columns)
    {
        var tensor = checkpoint.Require(name, rows, columns);
        if (tensor.DType is not (DType.F32 or DType.F16 or DType.BF16 or DType.F8E4M3))
            throw new CheckpointException($"{name}: weights of type {tensor.DType} are not supported; expected F32, F16, BF16 or F8_E4M3");
        if (tensor.DType != DType.F8E4M3)
            return new((byte*)tensor.Data, tensor.DType, rows, columns);
        var scales = checkpoint.Require(name + "_scale_inv", (rows + BlockSize - 1) / BlockSize, (columns + BlockSize - 1) / BlockSize);
        if (scales.DType != DType.F32)
            throw new CheckpointException($"{scales.Name}: block scales must be F32, found {scales.DType}");
        return new((byte*)tensor.Data, tensor.DType, rows, columns, (float*)scales.Data);
    }
}

/// <summary>Rows of floats in one buffer, possibly picked: row i is <c>Base + Index[i] * Stride</c>, or <c>Base + i * Stride</c> without an index.</summary>
/// <param name="Base">First float of row 0.</param>
/// <param name="Stride">Floats from one row to the next.</param>
/// <param name="Index">Rows picked, or null.</param>
public readonly unsafe record struct RowSet(nint Base, long Stride, nint Index = 0)
{
    /// <summary>Rows of <paramref name="data"/>, <paramref name="stride"/> floats apart.</summary>
    public RowSet(float* data, long stride, int* index = null)
        : this((nint)data, stride, (nint)index)
    {
    }

    /// <summary>The rows from <paramref name="first"/> on.</summary>
    public RowSet From(int first) => Index == 0 ? this with { Base = Base + ((nint)first * (nint)Stride * sizeof(float)) } : this with { Index = Index + ((nint)first * sizeof(int)) };

    /// <summary>First float of row <paramref name="i"/>.</summary>
    public float* Row(int i) => (float*)Base + ((Index == 0 ? i : ((int*)Index)[i]) * Stride);
}
