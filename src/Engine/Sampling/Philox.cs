namespace Conclave.Engine.Sampling;

/// <summary>
/// Philox4x32-10, the counter-based generator of Salmon et al., "Parallel random numbers: as easy as 1, 2, 3" (SC 2011): a pure function
/// from key and counter to 128 random bits. A draw thus depends on nothing that happened before it.
/// </summary>
public static class Philox
{
    private const int Rounds = 10;
    private const uint Multiplier0 = 0xD2511F53;
    private const uint Multiplier1 = 0xCD9E8D57;
    private const uint Weyl0 = 0x9E3779B9;
    private const uint Weyl1 = 0xBB67AE85;

    /// <summary>The block of <paramref name="counter"/> under <paramref name="key"/>; the first component is the lowest word.</summary>
    public static (uint X0, uint X1, uint X2, uint X3) Block((uint X0, uint X1, uint X2, uint X3) counter, (uint K0, uint K1) key)
    {
        (uint x0, uint x1, uint x2, uint x3) = counter;
        (uint k0, uint k1) = key;
        for (int round = 0; round < Rounds; round++)
        {
            ulong product0 = (ulong)Multiplier0 * x0;
            ulong product1 = (ulong)Multiplier1 * x2;
            (x0, x1, x2, x3) = ((uint)(product1 >> 32) ^ x1 ^ k0, (uint)product1, (uint)(product0 >> 32) ^ x3 ^ k1, (uint)product0);
            k0 += Weyl0;
            k1 += Weyl1;
        }

        return (x0, x1, x2, x3);
    }

    /// <summary>A uniform number of 53 bits in [0, 1) for the token at <paramref name="position"/> of the sequence.</summary>
    public static double Uniform(ulong seed, long position)
    {
        (uint x0, uint x1, _, _) = Block(((uint)position, (uint)(position >> 32), 0, 0), ((uint)seed, (uint)(seed >> 32)));
        return ((((ulong)x1 << 32) | x0) >> 11) * (1.0 / (1L << 53));
    }
}
