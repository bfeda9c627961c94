using Conclave.Model.Kernels;

namespace Conclave.Grains;

/// <summary>
/// Rows as they travel to experts. A row stands for itself: its elements, then for FP8 zeros up to a multiple of four bytes and one float scale per
/// <see cref="Fp8.ActivationBlock"/> columns. Scalar code, so that every host rounds alike.
/// </summary>
public static unsafe class RowFormat
{
    /// <summary>Bytes of one row of <paramref name="columns"/> elements; a multiple of two.</summary>
    public static int RowSizeBytes(DispatchType type, int columns) => type switch
    {
        DispatchType.F32 => columns * sizeof(float),
        DispatchType.BF16 => columns * sizeof(ushort),
        _ => ScaleOffset(columns) + (ScaleCount(columns) * sizeof(float)),
    };

    /// <summary>Rounds <paramref name="columns"/> floats at <paramref name="row"/> into a row at <paramref name="wire"/>, aligned to four bytes.</summary>
    public static void Encode(DispatchType type, float* row, int columns, byte* wire)
    {
        switch (type)
        {
            case DispatchType.F32:
                new ReadOnlySpan<float>(row, columns).CopyTo(new Span<float>(wire, columns));
                break;
            case DispatchType.BF16:
                for (int i = 0; i < columns; i++) ((ushort*)wire)[i] = Bf16.Encode(row[i]);
                break;
            default:
                new Span<byte>(wire + columns, ScaleOffset(columns) - columns).Clear();
                Fp8.QuantizeRow(row, columns, wire, (float*)(wire + ScaleOffset(columns)), powerOfTwoScales: false);
                break;
        }
    }

    /// <summary>The values that the row at <paramref name="wire"/> stands for: what experts compute with.</summary>
    public static void Decode(DispatchType type, byte* wire, int columns, float* row)
    {
        switch (type)
        {
            case DispatchType.F32:
                new ReadOnlySpan<float>(wire, columns).CopyTo(new Span<float>(row, columns));
                break;
            case DispatchType.BF16:
                for (int i = 0; i < columns; i++) row[i] = Bf16.Decode(((ushort*)wire)[i]);
                break;
            default:
                Fp8.DequantizeRow(wire, (float*)(wire + ScaleOffset(columns)), columns, row);
                break;
        }
    }

    private static int ScaleCount(int columns) => (columns + Fp8.ActivationBlock - 1) / Fp8.ActivationBlock;

    private static int ScaleOffset(int columns) => (columns + 3) & ~3;
}
