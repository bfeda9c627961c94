using Conclave.Engine.Sampling;

namespace Conclave.Engine.Tests.Sampling;

public sealed class PhiloxTests
{
    /// <summary>The known-answer vectors of the Random123 distribution for philox4x32, 10 rounds.</summary>
    [Theory]
    [InlineData(
        new[] { 0u, 0u, 0u, 0u }, new[] { 0u, 0u },
        new[] { 0x6627e8d5u, 0xe169c58du, 0xbc57ac4cu, 0x9b00dbd8u })]
    [InlineData(
        new[] { 0xffffffffu, 0xffffffffu, 0xffffffffu, 0xffffffffu }, new[] { 0xffffffffu, 0xffffffffu },
        new[] { 0x408f276du, 0x41c83b0eu, 0xa20bc7c6u, 0x6d5451fdu })]
    [InlineData(
        new[] { 0x243f6a88u, 0x85a308d3u, 0x13198a2eu, 0x03707344u }, new[] { 0xa4093822u, 0x299f31d0u },
        new[] { 0xd16cfe09u, 0x94fdccebu, 0x5001e420u, 0x24126ea1u })]
    public void Published_vectors(uint[] counter, uint[] key, uint[] expected)
    {
        (uint x0, uint x1, uint x2, uint x3) = Philox.Block((counter[0], counter[1], counter[2], counter[3]), (key[0], key[1]));
        Assert.Equal(expected, new[] { x0, x1, x2, x3 });
    }

    [Fact]
    public void Uniform_numbers_fill_the_unit_interval_evenly()
    {
        const int Draws = 100_000;
        const int Bins = 100;
        var counts = new int[Bins];
        for (int i = 0; i < Draws; i++)
        {
            double u = Philox.Uniform(seed: 42, position: i);
            Assert.InRange(u, 0, Math.BitDecrement(1.0));
            counts[(int)(u * Bins)]++;
        }

        double chiSquared = counts.Sum(count => Math.Pow(count - (Draws / Bins), 2) / (Draws / Bins));
        Assert.InRange(chiSquared, 50, 160);
    }

    [Fact]
    public void Every_bit_of_seed_and_position_matters()
    {
        HashSet<double> seen = [Philox.Uniform(0, 0)];
        for (int bit = 0; bit < 64; bit++)
            Assert.True(seen.Add(Philox.Uniform(1UL << bit, 0)));
        for (int bit = 0; bit < 63; bit++)
            Assert.True(seen.Add(Philox.Uniform(0, 1L << bit)));
    }
}
