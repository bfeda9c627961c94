using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace Conclave.Model.Kernels;

/// <summary>
/// Puts an input row into the order in which weights of a type come out of their registers, so that widening them needs no shuffle. The order belongs to
/// the stored type: it decides which lane an element adds to, hence the bits of the sum.
/// </summary>
internal static unsafe class InputOrder
{
    private const int Group = LinearTiles.Group;

    /// <summary>Elements in their places. Group g of 32 goes to <c>destination + g * stride</c>; missing elements are zeros.</summary>
    public static void Natural(float* x, int count, float* destination, nint stride)
    {
        var padded = stackalloc float[Group];
        for (var i = 0; i < count; i += Group, destination += stride)
        {
            var source = count - i < Group ? Pad(x + i, count - i, padded, Group) : x + i;
            Vector512.Load(source).Store(destination);
            Vector512.Load(source + Lanes.Count).Store(destination + Lanes.Count);
        }
    }

    /// <summary>Of each 32 elements those of even place, then those of odd place: as two shifts widen bfloat16.</summary>
    public static void Paired(float* x, int count, float* destination, nint stride)
    {
        var padded = stackalloc float[Group];
        for (var i = 0; i < count; i += Group, destination += stride)
        {
            var source = count - i < Group ? Pad(x + i, count - i, padded, Group) : x + i;
            Separate(Vector512.Load(source), Vector512.Load(source + Lanes.Count), destination);
        }
    }

    /// <summary>
    /// Of each 64 elements the lower halves of the sixteens, then their upper halves, each 32 of them as in <see cref="Paired"/>: as the unpacking of bytes brings them.
    /// </summary>
    public static void Halved(float* x, int count, float* destination, nint stride)
    {
        var padded = stackalloc float[2 * Group];
        for (var i = 0; i < count; i += 2 * Group, destination += 2 * stride)
        {
            var source = count - i < 2 * Group ? Pad(x + i, count - i, padded, 2 * Group) : x + i;
            for (var half = 0; half < 2; half++, source += Lanes.Count / 2)
            {
                var first = Vector512.Create(Vector256.Load(source), Vector256.Load(source + Lanes.Count));
                var second = Vector512.Create(Vector256.Load(source + (2 * Lanes.Count)), Vector256.Load(source + (3 * Lanes.Count)));
                Separate(first, second, destination + (half * stride));
            }
        }
    }

    /// <summary>Multiplies <paramref name="count"/> elements of each of a tile's <paramref name="tileRows"/> arranged rows by the scale of their block of <see cref="Weight.BlockSize"/> columns.</summary>
    public static void Scale(float* x, float* scales, int count, int tileRows, float* destination)
    {
        var end = x + ((long)count * tileRows);
        while (x < end)
        {
            var scale = Vector512.Create(*scales++);
            for (var stop = (nint)Math.Min(Weight.BlockSize * tileRows, end - x); stop > 0; stop -= 2 * Lanes.Count, x += 2 * Lanes.Count, destination += 2 * Lanes.Count)
            {
                (Vector512.Load(x) * scale).Store(destination);
                (Vector512.Load(x + Lanes.Count) * scale).Store(destination + Lanes.Count);
            }
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Separate(Vector512<float> first, Vector512<float> second, float* destination)
    {
        if (Avx512F.IsSupported)
        {
            Avx512F.PermuteVar16x32x2(first, Vector512.Create(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30), second).Store(destination);
            Avx512F.PermuteVar16x32x2(first, Vector512.Create(1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31), second).Store(destination + Lanes.Count);
            return;
        }

        var source = stackalloc float[Group];
        first.Store(source);
        second.Store(source + Lanes.Count);
        for (var i = 0; i < Lanes.Count; i++)
        {
            destination[i] = source[2 * i];
            destination[Lanes.Count + i] = source[(2 * i) + 1];
        }
    }

    private static float* Pad(float* source, int count, float* destination, int padded)
    {
        new ReadOnlySpan<float>(source, count).CopyTo(new Span<float>(destination, count));
        new Span<float>(destination + count, padded - count).Clear();
        return destination;
    }
}
