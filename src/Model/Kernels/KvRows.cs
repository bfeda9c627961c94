using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace Conclave.Model.Kernels;

/// <summary>
/// Latents and indexer keys as <see cref="KvLayout"/> stores them, and back to float32. Rounding is integer arithmetic and divisions, so that every host stores the same bytes; widening is exact
/// (FP8 scales are powers of two).
/// </summary>
public static unsafe class KvRows
{
    /// <summary>Rounds a latent and the rotated key behind it, <c>[layout.LatentWidth]</c>, into a latent row of a page.</summary>
    public static void StoreLatent(KvLayout layout, float* source, byte* row)
    {
        int rank = layout.LatentRank, width = layout.LatentWidth;
        switch (layout.Type)
        {
            case KvType.F32:
                NativeMemory.Copy(source, row, (nuint)(width * sizeof(float)));
                break;
            case KvType.BF16:
                Bf16.Encode(source, width, (ushort*)row);
                break;
            default:
                for (var i = rank; i < layout.LatentScaleOffset; i++)
                    row[i] = 0;
                Fp8.QuantizeRow(source, rank, row, (float*)(row + layout.LatentScaleOffset), powerOfTwoScales: true);
                Bf16.Encode(source + rank, layout.RopeWidth, (ushort*)(row + layout.RopeOffset));
                break;
        }
    }

    /// <summary>Rounds an indexer key <c>[layout.IndexKeyWidth]</c> into place <paramref name="slot"/> of its block.</summary>
    public static void StoreIndexKey(KvLayout layout, float* key, byte* block, int slot)
    {
        const int Stride = KvLayout.BlockTokens, Part = 64;
        var width = layout.IndexKeyWidth;
        var codes = stackalloc ushort[Part];
        switch (layout.Type)
        {
            case KvType.F32:
                for (var i = 0; i < width; i++)
                    ((float*)block)[(i * Stride) + slot] = key[i];
                break;
            case KvType.BF16:
                for (var start = 0; start < width; start += Part)
                {
                    var count = Math.Min(Part, width - start);
                    Bf16.Encode(key + start, count, codes);
                    for (var i = 0; i < count; i++)
                        ((ushort*)block)[((start + i) * Stride) + slot] = codes[i];
                }

                break;
            default:
                var scale = Fp8.Scale(key, width, powerOfTwo: true);
                for (var start = 0; start < width; start += Part)
                {
                    var count = Math.Min(Part, width - start);
                    Fp8.Encode(key + start, scale, count, (byte*)codes);
                    for (var i = 0; i < count; i++)
                        block[((start + i) * Stride) + slot] = ((byte*)codes)[i];
                }

                ((float*)(block + (width * Stride)))[slot] = scale;
                break;
        }
    }

    /// <summary>Makes the key in place <paramref name="slot"/> of a block zeros.</summary>
    public static void ClearIndexKey(KvLayout layout, byte* block, int slot)
    {
        var size = layout.Type switch { KvType.F32 => sizeof(float), KvType.BF16 => sizeof(ushort), _ => 1 };
        for (var i = 0; i < layout.IndexKeyWidth; i++)
            new Span<byte>(block + (((i * KvLayout.BlockTokens) + slot) * size), size).Clear();
        if (layout.Type == KvType.FP8 && layout.IndexKeyWidth > 0)
            ((float*)(block + (layout.IndexKeyWidth * KvLayout.BlockTokens)))[slot] = 0;
    }

    /// <summary>Writes a latent row's values <c>[layout.LatentWidth]</c>; nothing behind them.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void WidenLatent<TLanes, TVector>(KvLayout layout, byte* row, float* destination)
        where TLanes : struct, ILanes<TVector>
        where TVector : unmanaged
    {
        int rank = layout.LatentRank, width = layout.LatentWidth;
        switch (layout.Type)
        {
            case KvType.F32:
                NativeMemory.Copy(row, destination, (nuint)(width * sizeof(float)));
                break;
            case KvType.BF16:
                Widen<TLanes, TVector, Bf16Format>(row, destination, width);
                break;
            default:
                var scales = (float*)(row + layout.LatentScaleOffset);
                for (var start = 0; start < rank; start += Fp8.ActivationBlock, scales++)
                    WidenScaled<TLanes, TVector>(row + start, *scales, destination + start, Math.Min(Fp8.ActivationBlock, rank - start));
                Widen<TLanes, TVector, Bf16Format>(row + layout.RopeOffset, destination + rank, layout.RopeWidth);
                break;
        }
    }

    /// <summary>The values of a block of indexer keys, <c>[layout.IndexKeyWidth, 64]</c>; without their scales, which are returned: null unless FP8. F32 blocks are used in place.</summary>
    public static float* WidenIndexBlock<TLanes, TVector>(KvLayout layout, byte* block, float* scratch, out float* keys)
        where TLanes : struct, ILanes<TVector>
        where TVector : unmanaged
    {
        var count = layout.IndexKeyWidth * KvLayout.BlockTokens;
        keys = scratch;
        switch (layout.Type)
        {
            case KvType.F32:
                keys = (float*)block;
                return null;
            case KvType.BF16:
                Widen<TLanes, TVector, Bf16Format>(block, scratch, count);
                return null;
            default:
                WidenScaled<TLanes, TVector>(block, 1, scratch, count);
                return (float*)(block + count);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Widen<TLanes, TVector, TFormat>(byte* source, float* destination, int count)
        where TLanes : struct, ILanes<TVector>
        where TVector : unmanaged
        where TFormat : struct, IWeightFormat
    {
        nint i = 0;
        for (; i + Lanes.Count <= count; i += Lanes.Count)
            TLanes.Store(TFormat.Load<TLanes, TVector>(source + (i * TFormat.SizeBytes)), destination + i);
        if (i < count)
            Lanes.StorePartial<TLanes, TVector>(Lanes.LoadPartial<TLanes, TVector, TFormat>(source + (i * TFormat.SizeBytes), (int)(count - i)), destination + i, (int)(count - i));
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void WidenScaled<TLanes, TVector>(byte* source, float scale, float* destination, int count)
        where TLanes : struct, ILanes<TVector>
        where TVector : unmanaged
    {
        var factor = TLanes.Broadcast(scale);
        nint i = 0;
        for (; i + Lanes.Count <= count; i += Lanes.Count)
            TLanes.Store(TLanes.Multiply(TLanes.LoadE4M3(source + i), factor), destination + i);
        if (i < count)
            Lanes.StorePartial<TLanes, TVector>(TLanes.Multiply(Lanes.LoadPartial<TLanes, TVector, E4M3Format>(source + i, (int)(count - i)), factor), destination + i, (int)(count - i));
    }
}
