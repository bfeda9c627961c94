using System.Runtime.Intrinsics;

namespace Conclave.Engine.Sampling;

/// <summary>The exponential function from multiplications and additions alone: the same bits on every machine.</summary>
internal static class Exponential
{
    // Below this the result would be subnormal: it is 0.
    private const float Lowest = -87.33654f;

    // ln 2 in two parts, the first exact in products with small integers (Cephes, expf).
    private const float Ln2High = 0.693359375f;
    private const float Ln2Low = -2.12194440e-4f;

    /// <summary><c>exp(x)</c> of numbers up to 0, negative infinity included; relative error about 1e-7.</summary>
    public static Vector512<float> OfNegative(Vector512<float> x)
    {
        Vector512<float> clamped = Vector512.Max(x, Vector512.Create(Lowest));
        Vector512<float> power = Vector512.Floor((clamped * 1.44269504088896341f) + Vector512.Create(0.5f));
        Vector512<float> r = clamped - (power * Ln2High) - (power * Ln2Low);
        Vector512<float> polynomial = Vector512.Create(1.9875691500e-4f);
        polynomial = (polynomial * r) + Vector512.Create(1.3981999507e-3f);
        polynomial = (polynomial * r) + Vector512.Create(8.3334519073e-3f);
        polynomial = (polynomial * r) + Vector512.Create(4.1665795894e-2f);
        polynomial = (polynomial * r) + Vector512.Create(1.6666665459e-1f);
        polynomial = (polynomial * r) + Vector512.Create(5.0000001201e-1f);
        Vector512<float> fraction = (polynomial * r * r) + r + Vector512<float>.One;
        Vector512<float> scale = ((Vector512.ConvertToInt32(power) + Vector512.Create(127)) << 23).AsSingle();
        return Vector512.ConditionalSelect(Vector512.LessThan(x, Vector512.Create(Lowest)), Vector512<float>.Zero, fraction * scale);
    }
}
