using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace Conclave.Model.Kernels;

/// <summary>Rows put side by side into the lanes of vectors: where each lane has a sum of its own, none has to cross lanes.</summary>
public static unsafe class LaneRows
{
    /// <summary><c>destination[i, lane] = rows[lane][i] * factor</c>.</summary>
    /// <param name="rows">Addresses of sixteen rows.</param>
    /// <param name="width">Floats of a row.</param>
    /// <param name="factor">Multiplies every float.</param>
    /// <param name="destination">Receives <c>[width, 16]</c>.</param>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Interleave(float** rows, int width, float factor, float* destination)
    {
        nint i = 0;
        if (Avx512F.IsSupported)
        {
            for (; i + 4 <= width; i += 4)
                FourColumns(rows, i, Vector512.Create(factor), destination + (i * Lanes.Count));
        }

        for (; i < width; i++)
        {
            for (var lane = 0; lane < Lanes.Count; lane++)
                destination[(i * Lanes.Count) + lane] = rows[lane][i] * factor;
        }
    }

    /// <summary>Every quarter of a register takes four columns of a row of its own, and is then transposed with those of three other registers.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void FourColumns(float** rows, nint column, Vector512<float> factor, float* destination)
    {
        Vector512<float> a0 = Quarters(rows, column) * factor, a1 = Quarters(rows + 1, column) * factor, a2 = Quarters(rows + 2, column) * factor, a3 = Quarters(rows + 3, column) * factor;
        Vector512<double> low01 = Avx512F.UnpackLow(a0, a1).AsDouble(), high01 = Avx512F.UnpackHigh(a0, a1).AsDouble();
        Vector512<double> low23 = Avx512F.UnpackLow(a2, a3).AsDouble(), high23 = Avx512F.UnpackHigh(a2, a3).AsDouble();
        Avx512F.UnpackLow(low01, low23).AsSingle().Store(destination);
        Avx512F.UnpackHigh(low01, low23).AsSingle().Store(destination + Lanes.Count);
        Avx512F.UnpackLow(high01, high23).AsSingle().Store(destination + (2 * Lanes.Count));
        Avx512F.UnpackHigh(high01, high23).AsSingle().Store(destination + (3 * Lanes.Count));
    }

    /// <summary>Four columns of the first row and of those four, eight and twelve behind it: output lane = 4 quarter + register.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector512<float> Quarters(float** rows, nint column) =>
        Vector512.WithUpper(
            Vector256.Create(Vector128.Load(rows[0] + column), Vector128.Load(rows[4] + column)).ToVector512Unsafe(),
            Vector256.Create(Vector128.Load(rows[8] + column), Vector128.Load(rows[12] + column)));
}
