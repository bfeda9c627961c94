using System.Runtime.CompilerServices;
using Conclave.Model.Checkpoints;

namespace Conclave.Model.Kernels;

/// <summary>Stored weights to float32: exact for F32, F16, BF16; E4M3 code times block scale, rounded once.</summary>
public static unsafe class Widen
{
    /// <summary>Writes rows <paramref name="start"/> to <paramref name="start"/> + <paramref name="count"/> as <c>[count, w.Columns]</c>.</summary>
    public static void Run<TLanes, TVector>(in Weight w, int start, int count, float* destination)
        where TLanes : struct, ILanes<TVector>
        where TVector : unmanaged
    {
        switch (w.Type)
        {
            case DType.F32: Rows<TLanes, TVector, F32Format>(w, start, count, destination, w.Columns); break;
            case DType.BF16: Rows<TLanes, TVector, Bf16Format>(w, start, count, destination, w.Columns); break;
            case DType.F16: Rows<TLanes, TVector, F16Format>(w, start, count, destination, w.Columns); break;
            default: Rows<TLanes, TVector, E4M3Format>(w, start, count, destination, w.Columns); break;
        }
    }

    /// <summary>As <see cref="Run"/>, rows <paramref name="stride"/> apart and filled up with zeros.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    internal static void Rows<TLanes, TVector, TFormat>(in Weight w, int start, int count, float* destination, int stride)
        where TLanes : struct, ILanes<TVector>
        where TVector : unmanaged
        where TFormat : struct, IWeightFormat
    {
        var columns = w.Columns;
        var blockSize = TFormat.Scaled ? Weight.BlockSize : columns;
        for (var row = start; row < start + count; row++, destination += stride)
        {
            var source = w.Row(row);
            var scales = w.RowScales(row);
            for (var block = 0; block < columns; block += blockSize)
            {
                var scale = TFormat.Scaled ? TLanes.Broadcast(*scales++) : default;
                var stop = Math.Min(block + blockSize, columns);
                nint i = block;
                for (; i + Lanes.Count <= stop; i += Lanes.Count)
                {
                    var value = TFormat.Load<TLanes, TVector>(source + (i * TFormat.SizeBytes));
                    TLanes.Store(TFormat.Scaled ? TLanes.Multiply(value, scale) : value, destination + i);
                }

                if (i < stop)
                {
                    var value = Lanes.LoadPartial<TLanes, TVector, TFormat>(source + (i * TFormat.SizeBytes), (int)(stop - i));
                    Lanes.StorePartial<TLanes, TVector>(TFormat.Scaled ? TLanes.Multiply(value, scale) : value, destination + i, (int)(stop - i));
                }
            }

            new Span<float>(destination + columns, stride - columns).Clear();
        }
    }
}
