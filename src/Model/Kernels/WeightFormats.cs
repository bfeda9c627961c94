using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace Conclave.Model.Kernels;

/// <summary>How a stored element becomes a float32 lane.</summary>
public unsafe interface IWeightFormat
{
    /// <summary>Bytes of one stored element.</summary>
    static abstract int SizeBytes { get; }

    /// <summary>Whether a scale per 128 x 128 block belongs to the elements.</summary>
    static abstract bool Scaled { get; }

    /// <summary>Bytes of one element as <see cref="First"/> and <see cref="Second"/> take it: stored rows are used in place if it is <see cref="SizeBytes"/>.</summary>
    static abstract int TileSizeBytes { get; }

    /// <summary>Elements that a row in a tile is filled up to a multiple of.</summary>
    static abstract int Multiple { get; }

    /// <summary>Sixteen elements, widened exactly, without their scale.</summary>
    static abstract TVector Load<TLanes, TVector>(byte* source)
        where TLanes : struct, ILanes<TVector>
        where TVector : unmanaged;

    /// <summary>Sixteen of 32 elements: the first half of what <see cref="Arrange"/> makes of them.</summary>
    static abstract TVector First<TLanes, TVector>(byte* source)
        where TLanes : struct, ILanes<TVector>
        where TVector : unmanaged;

    /// <summary>The other half.</summary>
    static abstract TVector Second<TLanes, TVector>(byte* source)
        where TLanes : struct, ILanes<TVector>
        where TVector : unmanaged;

    /// <summary>Makes a stored row of <paramref name="count"/> elements one that tiles take, filled up with zeros to a multiple of <see cref="Multiple"/>.</summary>
    static abstract void Unpack<TLanes, TVector>(byte* source, int count, byte* destination)
        where TLanes : struct, ILanes<TVector>
        where TVector : unmanaged;

    /// <summary>
    /// Puts an input row into the order of the weights, filled up with zeros. Each 32 elements go <paramref name="stride"/> floats behind the former.
    /// </summary>
    static abstract void Arrange(float* x, int count, float* destination, nint stride);
}

/// <summary>IEEE binary32.</summary>
public readonly unsafe struct F32Format : IWeightFormat
{
    /// <inheritdoc/>
    public static int SizeBytes => 4;

    /// <inheritdoc/>
    public static bool Scaled => false;

    /// <inheritdoc/>
    public static int TileSizeBytes => 4;

    /// <inheritdoc/>
    public static int Multiple => LinearTiles.Group;

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static TVector Load<TLanes, TVector>(byte* source)
        where TLanes : struct, ILanes<TVector>
        where TVector : unmanaged =>
        TLanes.Load((float*)source);

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static TVector First<TLanes, TVector>(byte* source)
        where TLanes : struct, ILanes<TVector>
        where TVector : unmanaged =>
        TLanes.Load((float*)source);

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static TVector Second<TLanes, TVector>(byte* source)
        where TLanes : struct, ILanes<TVector>
        where TVector : unmanaged =>
        TLanes.Load((float*)source + Lanes.Count);

    /// <inheritdoc/>
    public static void Unpack<TLanes, TVector>(byte* source, int count, byte* destination)
        where TLanes : struct, ILanes<TVector>
        where TVector : unmanaged =>
        Copy(source, count, SizeBytes, destination);

    /// <inheritdoc/>
    public static void Arrange(float* x, int count, float* destination, nint stride) => InputOrder.Natural(x, count, destination, stride);

    /// <summary>Copies <paramref name="count"/> elements and fills up with zeros to a multiple of <see cref="LinearTiles.Group"/>.</summary>
    internal static void Copy(byte* source, int count, int elementSizeBytes, byte* destination)
    {
        var padded = (count + LinearTiles.Group - 1) / LinearTiles.Group * LinearTiles.Group;
        NativeMemory.Copy(source, destination, (nuint)(count * elementSizeBytes));
        NativeMemory.Clear(destination + (count * (long)elementSizeBytes), (nuint)((padded - count) * elementSizeBytes));
    }
}

/// <summary>bfloat16.</summary>
public readonly unsafe struct Bf16Format : IWeightFormat
{
    /// <inheritdoc/>
    public static int SizeBytes => 2;

    /// <inheritdoc/>
    public static bool Scaled => false;

    /// <inheritdoc/>
    public static int TileSizeBytes => 2;

    /// <inheritdoc/>
    public static int Multiple => LinearTiles.Group;

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static TVector Load<TLanes, TVector>(byte* source)
        where TLanes : struct, ILanes<TVector>
        where TVector : unmanaged =>
        TLanes.LoadBf16((ushort*)source);

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static TVector First<TLanes, TVector>(byte* source)
        where TLanes : struct, ILanes<TVector>
        where TVector : unmanaged =>
        TLanes.LoadBf16Even((ushort*)source);

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static TVector Second<TLanes, TVector>(byte* source)
        where TLanes : struct, ILanes<TVector>
        where TVector : unmanaged =>
        TLanes.LoadBf16Odd((ushort*)source);

    /// <inheritdoc/>
    public static void Unpack<TLanes, TVector>(byte* source, int count, byte* destination)
        where TLanes : struct, ILanes<TVector>
        where TVector : unmanaged =>
        F32Format.Copy(source, count, SizeBytes, destination);

    /// <inheritdoc/>
    public static void Arrange(float* x, int count, float* destination, nint stride) => InputOrder.Paired(x, count, destination, stride);
}

/// <summary>IEEE binary16; tiles see it widened to binary32.</summary>
public readonly unsafe struct F16Format : IWeightFormat
{
    /// <inheritdoc/>
    public static int SizeBytes => 2;

    /// <inheritdoc/>
    public static bool Scaled => false;

    /// <inheritdoc/>
    public static int TileSizeBytes => 4;

    /// <inheritdoc/>
    public static int Multiple => LinearTiles.Group;

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static TVector Load<TLanes, TVector>(byte* source)
        where TLanes : struct, ILanes<TVector>
        where TVector : unmanaged =>
        TLanes.LoadF16((ushort*)source);

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static TVector First<TLanes, TVector>(byte* source)
        where TLanes : struct, ILanes<TVector>
        where TVector : unmanaged =>
        TLanes.Load((float*)source);

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static TVector Second<TLanes, TVector>(byte* source)
        where TLanes : struct, ILanes<TVector>
        where TVector : unmanaged =>
        TLanes.Load((float*)source + Lanes.Count);

    /// <inheritdoc/>
    public static void Unpack<TLanes, TVector>(byte* source, int count, byte* destination)
        where TLanes : struct, ILanes<TVector>
        where TVector : unmanaged
    {
        var whole = count / Lanes.Count * Lanes.Count;
        var floats = (float*)destination;
        for (var i = 0; i < whole; i += Lanes.Count)
            TLanes.Store(TLanes.LoadF16((ushort*)source + i), floats + i);
        var padded = (count + LinearTiles.Group - 1) / LinearTiles.Group * LinearTiles.Group;
        new Span<float>(floats + whole, padded - whole).Clear();
        if (whole < count)
            TLanes.Store(Lanes.LoadPartial<TLanes, TVector, F16Format>(source + (whole * SizeBytes), count - whole), floats + whole);
    }

    /// <inheritdoc/>
    public static void Arrange(float* x, int count, float* destination, nint stride) => InputOrder.Natural(x, count, destination, stride);
}

/// <summary>E4M3FN with a float32 scale per 128 x 128 block; tiles see it as bfloat16, which holds every code exactly, and inputs times scales.</summary>
public readonly unsafe struct E4M3Format : IWeightFormat
{
    /// <inheritdoc/>
    public static int SizeBytes => 1;

    /// <inheritdoc/>
    public static bool Scaled => true;

    /// <inheritdoc/>
    public static int TileSizeBytes => 2;

    /// <inheritdoc/>
    public static int Multiple => 2 * LinearTiles.Group;

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static TVector Load<TLanes, TVector>(byte* source)
        where TLanes : struct, ILanes<TVector>
        where TVector : unmanaged =>
        TLanes.LoadE4M3(source);

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static TVector First<TLanes, TVector>(byte* source)
        where TLanes : struct, ILanes<TVector>
        where TVector : unmanaged =>
        TLanes.LoadBf16Even((ushort*)source);

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static TVector Second<TLanes, TVector>(byte* source)
        where TLanes : struct, ILanes<TVector>
        where TVector : unmanaged =>
        TLanes.LoadBf16Odd((ushort*)source);

    /// <inheritdoc/>
    public static void Unpack<TLanes, TVector>(byte* source, int count, byte* destination)
        where TLanes : struct, ILanes<TVector>
        where TVector : unmanaged =>
        TLanes.UnpackE4M3(source, count, (ushort*)destination);

    /// <inheritdoc/>
    public static void Arrange(float* x, int count, float* destination, nint stride) => InputOrder.Halved(x, count, destination, stride);
}
