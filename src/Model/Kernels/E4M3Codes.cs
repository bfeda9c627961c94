using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace Conclave.Model.Kernels;

/// <summary>
/// E4M3FN codes to bfloat16, which holds all of them exactly, 64 at a time and in the order of <see cref="InputOrder.Halved"/>: first the lower eight of each sixteen, then
/// the upper eight. Nearly all of a code's bits keep their places: below the sign, the exponent is rebiased by 120 (its lowest bit begins the lower byte).
/// </summary>
internal static unsafe class E4M3Codes
{
    /// <summary>Codes at a time.</summary>
    public const int Group = 64;

    private static readonly ushort[] Bf16 = [.. Enumerable.Range(0, 256).Select(code => (ushort)(BitConverter.SingleToUInt32Bits(Fp8.Decode((byte)code)) >> 16))];

    // Bytes of NaN, then of the codes 0 to 7.
    private static readonly Vector128<byte> SpecialHigh = Vector128.Create([.. Enumerable.Range(0, 16).Select(i => (byte)(Bf16[i == 0 ? 0x7F : i - 1] >> 8))]);
    private static readonly Vector128<byte> SpecialLow = Vector128.Create([.. Enumerable.Range(0, 16).Select(i => (byte)Bf16[i == 0 ? 0x7F : i - 1])]);

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

    /// <summary>As <see cref="Scalar"/>, on 128-bit vectors of bytes.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Short(byte* source, int count, ushort* destination)
    {
        const int Sixteen = 16;
        var padded = stackalloc byte[Sixteen];
        for (var i = 0; i < count; i += Group, destination += Group)
        {
            for (var quarter = 0; quarter < 4; quarter++)
            {
                var first = i + (quarter * Sixteen);
                var codes = Vector128<byte>.Zero;
                if (first + Sixteen <= count)
                {
                    codes = Vector128.Load(source + first);
                }
                else if (first < count)
                {
                    Vector128<byte>.Zero.Store(padded);
                    NativeMemory.Copy(source + first, padded, (nuint)(count - first));
                    codes = Vector128.Load(padded);
                }

                var (low, high) = Bytes(codes);
                (Vector128.WidenLower(low) | (Vector128.WidenLower(high) << 8)).Store(destination + (quarter * 8));
                (Vector128.WidenUpper(low) | (Vector128.WidenUpper(high) << 8)).Store(destination + (Group / 2) + (quarter * 8));
            }
        }
    }

    /// <summary>Lower and upper bytes of the bfloat16 of sixteen codes.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static (Vector128<byte> Low, Vector128<byte> High) Bytes(Vector128<byte> codes)
    {
        // A code that is subnormal, zero or NaN (which becomes 0 when 1 is added) is looked up by code + 1.
        var next = codes + Vector128<byte>.One;
        var special = Vector128.LessThanOrEqual(next & Vector128.Create((byte)0x7F), Vector128.Create((byte)8));
        var place = next & Vector128.Create((byte)0x0F);
        var high = ((codes.AsUInt16() >> 4).AsByte() & Vector128.Create((byte)7)) + Vector128.Create((byte)60);
        var low = (codes.AsUInt16() << 4).AsByte() & Vector128.Create((byte)0xF0);
        high = Vector128.ConditionalSelect(special, Vector128.Shuffle(SpecialHigh, place), high);
        low = Vector128.ConditionalSelect(special, Vector128.Shuffle(SpecialLow, place), low);
        return (low, high | (codes & Vector128.Create((byte)0x80)));
    }

    /// <summary>As <see cref="Scalar"/>, on 512-bit vectors of bytes.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Wide(byte* source, int count, ushort* destination)
    {
        var tables = Tables.Load();
        nint i = 0;
        for (; i + Group <= count; i += Group, destination += Group)
        {
            var (lower, upper) = Unpack(Vector512.Load(source + i), tables);
            lower.Store(destination);
            upper.Store(destination + (Group / 2));
        }

        if (i < count)
        {
            var (lower, upper) = Unpack(LoadPartial(source + i, (int)(count - i)), tables);
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
    public static (Vector512<ushort> Lower, Vector512<ushort> Upper) Unpack(Vector512<byte> codes, in Tables tables)
    {
        Vector512<byte> high, low;
        if (Avx512Vbmi.IsSupported)
        {
            high = Avx512Vbmi.PermuteVar64x8x2(tables.First, codes, tables.Second);
            low = Avx512Vbmi.PermuteVar64x8x2(tables.Third, codes, tables.Fourth);
        }
        else
        {
            // A code that is subnormal, zero or NaN (which becomes 0 when 1 is added) has its own table.
            var next = codes + Vector512<byte>.One;
            var special = Vector512.LessThanOrEqual(next & Vector512.Create((byte)0x7F), Vector512.Create((byte)8));
            var place = next & Vector512.Create((byte)0x0F);
            high = Avx512BW.Shuffle(tables.First, (codes.AsUInt16() >> 4).AsByte() & Vector512.Create((byte)0x0F));
            low = (codes.AsUInt16() << 4).AsByte() & Vector512.Create((byte)0xF0);
            high = Vector512.ConditionalSelect(special, Avx512BW.Shuffle(tables.Second, place), high);
            low = Vector512.ConditionalSelect(special, Avx512BW.Shuffle(tables.Third, place), low);
        }

        high |= codes & Vector512.Create((byte)0x80);
        return (Avx512BW.UnpackLow(low, high).AsUInt16(), Avx512BW.UnpackHigh(low, high).AsUInt16());
    }

    /// <summary>
    /// Bytes of bfloat16 by code, in registers. With VBMI: upper bytes of codes 0 to 63 and 64 to 127, then lower bytes. Otherwise, for each 128-bit lane: upper bytes of normal codes by
    /// the code's upper half, and upper and lower bytes by code + 1 of NaN (0) and of the codes 0 to 7.
    /// </summary>
    internal readonly struct Tables
    {
        private static readonly byte* Memory = Make();

        /// <summary>The tables.</summary>
        public readonly Vector512<byte> First, Second, Third, Fourth;

        private Tables(byte* memory)
        {
            First = Vector512.Load(memory);
            Second = Vector512.Load(memory + Group);
            Third = Vector512.Load(memory + (2 * Group));
            Fourth = Vector512.Load(memory + (3 * Group));
        }

        /// <summary>The tables of this processor.</summary>
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static Tables Load() => new(Memory);

        private static byte* Make()
        {
            var memory = (byte*)NativeMemory.AlignedAlloc(4 * Group, Group);
            for (var i = 0; i < Group; i++)
            {
                var special = Bf16[i % 16 == 0 ? 0x7F : (i % 16) - 1];
                memory[i] = (byte)(Avx512Vbmi.IsSupported ? Bf16[i] >> 8 : 60 + (i % 8));
                memory[Group + i] = (byte)((Avx512Vbmi.IsSupported ? Bf16[Group + i] : special) >> 8);
                memory[(2 * Group) + i] = (byte)(Avx512Vbmi.IsSupported ? Bf16[i] : special);
                memory[(3 * Group) + i] = (byte)Bf16[Group + i];
            }

            return memory;
        }
    }
}
