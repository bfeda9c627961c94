using System.Runtime.CompilerServices;

namespace Conclave.Model.Kernels;

/// <summary>How a stored element becomes a float32 lane.</summary>
public unsafe interface IWeightFormat
{
    /// <summary>Bytes of one element.</summary>
    static abstract int SizeBytes { get; }

    /// <summary>Whether a scale per 128 x 128 block belongs to the elements.</summary>
    static abstract bool Scaled { get; }

    /// <summary>Sixteen elements, widened exactly, without their scale.</summary>
    static abstract TVector Load<TLanes, TVector>(byte* source)
        where TLanes : struct, ILanes<TVector>
        where TVector : unmanaged;
}

/// <summary>IEEE binary32.</summary>
public readonly unsafe struct F32Format : IWeightFormat
{
    /// <inheritdoc/>
    public static int SizeBytes => 4;

    /// <inheritdoc/>
    public static bool Scaled => false;

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static TVector Load<TLanes, TVector>(byte* source)
        where TLanes : struct, ILanes<TVector>
        where TVector : unmanaged =>
        TLanes.Load((float*)source);
}

/// <summary>bfloat16.</summary>
public readonly unsafe struct Bf16Format : IWeightFormat
{
    /// <inheritdoc/>
    public static int SizeBytes => 2;

    /// <inheritdoc/>
    public static bool Scaled => false;

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static TVector Load<TLanes, TVector>(byte* source)
        where TLanes : struct, ILanes<TVector>
        where TVector : unmanaged =>
        TLanes.LoadBf16((ushort*)source);
}

/// <summary>IEEE binary16.</summary>
public readonly unsafe struct F16Format : IWeightFormat
{
    /// <inheritdoc/>
    public static int SizeBytes => 2;

    /// <inheritdoc/>
    public static bool Scaled => false;

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static TVector Load<TLanes, TVector>(byte* source)
        where TLanes : struct, ILanes<TVector>
        where TVector : unmanaged =>
        TLanes.LoadF16((ushort*)source);
}

/// <summary>E4M3FN with a float32 scale per 128 x 128 block.</summary>
public readonly unsafe struct E4M3Format : IWeightFormat
{
    /// <inheritdoc/>
    public static int SizeBytes => 1;

    /// <inheritdoc/>
    public static bool Scaled => true;

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static TVector Load<TLanes, TVector>(byte* source)
        where TLanes : struct, ILanes<TVector>
        where TVector : unmanaged =>
        TLanes.LoadE4M3(source);
}
