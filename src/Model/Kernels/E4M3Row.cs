using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace Conclave.Model.Kernels;

/// <summary>One input row by E4M3 weights on 512-bit vectors: codes are decoded in registers, with the bits of a tile of one row on unpacked weights.</summary>
internal static unsafe class E4M3Row
{
    private const int Group = E4M3Codes.Group;

    /// <summary>Whether this processor can.</summary>
    public static bool IsSupported => Avx512BW.IsSupported;

    /// <summary>Computes outputs <paramref name="start"/> to <paramref name="end"/>, all of the same scales, of one row.</summary>
    /// <param name="w">Weights.</param>
    /// <param name="start">First output.</param>
    /// <param name="end">Behind the last output.</param>
    /// <param name="x">The row as <see cref="InputOrder.Halved"/> arranges it, times the scales.</param>
    /// <param name="y">Receives the first output and those behind it.</param>
    public static void Run(in Weight w, int start, int end, float* x, float* y)
    {
        var sums = stackalloc float[LinearTiles.Outputs];
        for (var o = start; o < end; o += LinearTiles.Outputs, y += LinearTiles.Outputs)
        {
            var count = Math.Min(LinearTiles.Outputs, end - o);
            var result = count == LinearTiles.Outputs ? y : sums;
            Four(w.Row(o), w.Row(o + Math.Min(1, count - 1)), w.Row(o + Math.Min(2, count - 1)), w.Row(o + count - 1), w.Columns, x, result);
            for (var i = 0; i < count && result == sums; i++)
                y[i] = sums[i];
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Four(byte* w0, byte* w1, byte* w2, byte* w3, nint columns, float* x, float* sums)
    {
        var tables = E4M3Codes.Tables.Load();
        Vector512<float> a0 = default, a1 = default, a2 = default, a3 = default;
        var next = w0 + (LinearTiles.Outputs * columns);
        var whole = columns / Group * Group;
        for (nint i = 0; i < whole; i += Group, x += Group)
        {
            Sse.Prefetch0(next + (4 * i));
            Sse.Prefetch0(next + (4 * i) + 64);
            Sse.Prefetch0(next + (4 * i) + 128);
            Sse.Prefetch0(next + (4 * i) + 192);
            Vector512<float> x0 = Vector512.Load(x), x1 = Vector512.Load(x + 16), x2 = Vector512.Load(x + 32), x3 = Vector512.Load(x + 48);
            a0 = MultiplyAdd(Vector512.Load(w0 + i), tables, x0, x1, x2, x3, a0);
            a1 = MultiplyAdd(Vector512.Load(w1 + i), tables, x0, x1, x2, x3, a1);
            a2 = MultiplyAdd(Vector512.Load(w2 + i), tables, x0, x1, x2, x3, a2);
            a3 = MultiplyAdd(Vector512.Load(w3 + i), tables, x0, x1, x2, x3, a3);
        }

        if (whole < columns)
        {
            var count = (int)(columns - whole);
            Vector512<float> x0 = Vector512.Load(x), x1 = Vector512.Load(x + 16), x2 = Vector512.Load(x + 32), x3 = Vector512.Load(x + 48);
            a0 = MultiplyAdd(E4M3Codes.LoadPartial(w0 + whole, count), tables, x0, x1, x2, x3, a0);
            a1 = MultiplyAdd(E4M3Codes.LoadPartial(w1 + whole, count), tables, x0, x1, x2, x3, a1);
            a2 = MultiplyAdd(E4M3Codes.LoadPartial(w2 + whole, count), tables, x0, x1, x2, x3, a2);
            a3 = MultiplyAdd(E4M3Codes.LoadPartial(w3 + whole, count), tables, x0, x1, x2, x3, a3);
        }

        Vector512Lanes.Sum(a0, a1, a2, a3).Store(sums);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector512<float> MultiplyAdd(Vector512<byte> codes, in E4M3Codes.Tables tables, Vector512<float> x0, Vector512<float> x1, Vector512<float> x2, Vector512<float> x3, Vector512<float> sum)
    {
        var (lower, upper) = E4M3Codes.Unpack(codes, tables);
        var odd = Vector512.Create(0xFFFF0000);
        sum = Vector512.FusedMultiplyAdd((lower.AsUInt32() << 16).AsSingle(), x0, sum);
        sum = Vector512.FusedMultiplyAdd((lower.AsUInt32() & odd).AsSingle(), x1, sum);
        sum = Vector512.FusedMultiplyAdd((upper.AsUInt32() << 16).AsSingle(), x2, sum);
        return Vector512.FusedMultiplyAdd((upper.AsUInt32() & odd).AsSingle(), x3, sum);
    }
}
