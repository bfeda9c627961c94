using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace Conclave.Model.Kernels;

/// <summary>
/// E4M3FN codes to bfloat16, which holds all of them exactly, 64 at a time and in the order of <see cref="InputOrder.Scaled"/>: first the lower eight of each sixteen, then
/// the upper eight. Nearly all of a code's bits keep their places: below the sign, the exponent is rebiased by 120 (its lowest bit begins the lower byte).
/// </summary>
internal static unsafe class E4M3Codes
{
    /// <summary>Codes at a time.</summary>
    public const int Group = 64;

    private static readonly ushort[] Bf16 = [.. Enumerable.Range(0, 256).Select(code => (ushort)(BitConverter.SingleToUInt32Bits(Fp8.Decode((byte)code)) >> 16))];

    /// <summary>Upper bytes of the codes below 128.</summary>
    private static ReadOnlySpan<byte> Upper =>
    [
        0x00, 0x3B, 0x3B, 0x3B, 0x3C, 0x3C, 0x3C, 0x3C, 0x3C, 0x3C, 0x3C, 0x3C, 0x3C, 0x3C, 0x3C, 0x3C,
        0x3D, 0x3D, 0x3D, 0x3D, 0x3D, 0x3D, 0x3D, 0x3D, 0x3D, 0x3D, 0x3D, 0x3D, 0x3D, 0x3D, 0x3D, 0x3D,
        0x3E, 0x3E, 0x3E, 0x3E, 0x3E, 0x3E, 0x3E, 0x3E, 0x3E, 0x3E, 0x3E, 0x3E, 0x3E, 0x3E, 0x3E, 0x3E,
        0x3F, 0x3F, 0x3F, 0x3F, 0x3F, 0x3F, 0x3F, 0x3F, 0x3F, 0x3F, 0x3F, 0x3F, 0x3F, 0x3F, 0x3F, 0x3F,
        0x40, 0x40, 0x40, 0x40, 0x40, 0x40, 0x40, 0x40, 0x40, 0x40, 0x40, 0x40, 0x40, 0x40, 0x40, 0x40,
        0x41, 0x41, 0x41, 0x41, 0x41, 0x41, 0x41, 0x41, 0x41, 0x41, 0x41, 0x41, 0x41, 0x41, 0x41, 0x41,
        0x42, 0x42, 0x42, 0x42, 0x42, 0x42, 0x42, 0x42, 0x42, 0x42, 0x42, 0x42, 0x42, 0x42, 0x42, 0x42,
        0x43, 0x43, 0x43, 0x43, 0x43, 0x43, 0x43, 0x43, 0x43, 0x43, 0x43, 0x43, 0x43, 0x43, 0x43, 0x7F,
    ];

    /// <summary>Lower bytes of the codes below 128.</summary>
    private static ReadOnlySpan<byte> Lower =>
    [
        0x00, 0x00, 0x80, 0xC0, 0x00, 0x20, 0x40, 0x60, 0x80, 0x90, 0xA0, 0xB0, 0xC0, 0xD0, 0xE0, 0xF0,
        0x00, 0x10, 0x20, 0x30, 0x40, 0x50, 0x60, 0x70, 0x80, 0x90, 0xA0, 0xB0, 0xC0, 0xD0, 0xE0, 0xF0,
        0x00, 0x10, 0x20, 0x30, 0x40, 0x50, 0x60, 0x70, 0x80, 0x90, 0xA0, 0xB0, 0xC0, 0xD0, 0xE0, 0xF0,
        0x00, 0x10, 0x20, 0x30, 0x40, 0x50, 0x60, 0x70, 0x80, 0x90, 0xA0, 0xB0, 0xC0, 0xD0, 0xE0, 0xF0,
        0x00, 0x10, 0x20, 0x30, 0x40, 0x50, 0x60, 0x70, 0x80, 0x90, 0xA0, 0xB0, 0xC0, 0xD0, 0xE0, 0xF0,
        0x00, 0x10, 0x20, 0x30, 0x40, 0x50, 0x60, 0x70, 0x80, 0x90, 0xA0, 0xB0, 0xC0, 0xD0, 0xE0, 0xF0,
        0x00, 0x10, 0x20, 0x30, 0x40, 0x50, 0x60, 0x70, 0x80, 0x90, 0xA0, 0xB0, 0xC0, 0xD0, 0xE0, 0xF0,
        0x00, 0x10, 0x20, 0x30, 0x40, 0x50, 0x60, 0x70, 0x80, 0x90, 0xA0, 0xB0, 0xC0, 0xD0, 0xE0, 0xC0,
    ];

    /// <summary>One code after the other: the reference.</summary>
    public static void Scalar(byte* source, int count, ushort* destination)
    {
        for (var i = 0; i < count; i += Group)
        {
            for (var j = 0; j < Group; j++)
            {
                var place = i + (j % 32 / 8 * 16) + (j / 32 * 8) + (j % 8);
                *destination++ = place < count ? Bf16[source[place]] : (ushort)0;
            }
        }
    }

    /// <summary>As <see cref="Scalar"/>, on 512-bit vectors of bytes.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Wide(byte* source, int count, ushort* destination)
    {
        var i = 0;
        for (; i + Group <= count; i += Group, destination += Group)
        {
            var (lower, upper) = Unpack(Vector512.Load(source + i));
            lower.Store(destination);
            upper.Store(destination + (Group / 2));
        }

        if (i < count)
        {
            var (lower, upper) = Unpack(LoadPartial(source + i, count - i));
            lower.Store(destination);
            upper.Store(destination + (Group / 2));
        }
    }

    /// <summary>The first <paramref name="count"/> (1 to 63) codes, then zeros; reads nothing behind them.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<byte> LoadPartial(byte* source, int count) =>
        Avx512BW.MaskLoad(source, Vector512.LessThan(Vector512<byte>.Indices, Vector512.Create((byte)count)), Vector512<byte>.Zero);

    /// <summary>64 codes as two times 32 bfloat16.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static (Vector512<ushort> Lower, Vector512<ushort> Upper) Unpack(Vector512<byte> codes)
    {
        Vector512<byte> high, low;
        if (Avx512Vbmi.IsSupported)
        {
            high = Avx512Vbmi.PermuteVar64x8x2(Vector512.Create(Upper), codes, Vector512.Create(Upper[Group..]));
            low = Avx512Vbmi.PermuteVar64x8x2(Vector512.Create(Lower), codes, Vector512.Create(Lower[Group..]));
        }
        else
        {
            // A code that is subnormal, zero or NaN (which becomes 0 when 1 is added) has its own table.
            var next = codes + Vector512<byte>.One;
            var special = Vector512.LessThanOrEqual(next & Vector512.Create((byte)0x7F), Vector512.Create((byte)8));
            var place = next & Vector512.Create((byte)0x0F);
            high = Avx512BW.Shuffle(Vector512.Create(Vector128.Create((byte)60, 61, 62, 63, 64, 65, 66, 67, 60, 61, 62, 63, 64, 65, 66, 67)), (codes.AsUInt16() >> 4).AsByte() & Vector512.Create((byte)0x0F));
            low = (codes.AsUInt16() << 4).AsByte() & Vector512.Create((byte)0xF0);
            high = Vector512.ConditionalSelect(special, Avx512BW.Shuffle(Vector512.Create(Vector128.Create((byte)0x7F, 0x00, 0x3B, 0x3B, 0x3B, 0x3C, 0x3C, 0x3C, 0x3C, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00)), place), high);
            low = Vector512.ConditionalSelect(special, Avx512BW.Shuffle(Vector512.Create(Vector128.Create((byte)0xC0, 0x00, 0x00, 0x80, 0xC0, 0x00, 0x20, 0x40, 0x60, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00)), place), low);
        }

        high |= codes & Vector512.Create((byte)0x80);
        return (Avx512BW.UnpackLow(low, high).AsUInt16(), Avx512BW.UnpackHigh(low, high).AsUInt16());
    }
}
