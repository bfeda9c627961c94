using Conclave.Engine.Scheduling;

namespace Conclave.Engine.Tests.Scheduling;

public sealed class QueueOrderTests
{
    private const long AgingMs = 10_000;

    private readonly FairAccount _account = new("");

    /// <summary>The worked example: one level is worth ten seconds.</summary>
    [Theory]
    [InlineData(0, 0, 1, 9_999, false)]
    [InlineData(0, 0, 1, 10_000, true)]
    [InlineData(0, 0, 3, 29_000, false)]
    [InlineData(-2, 0, 0, 20_001, true)]
    [InlineData(0, 5, 0, 6, true)]
    public void Waiting_makes_up_for_priority(int priority, long arrivalMs, int otherPriority, long otherArrivalMs, bool isSenior)
    {
        Standing standing = new(priority, arrivalMs, 0, _account), other = new(otherPriority, otherArrivalMs, 1, _account);
        Assert.Equal(isSenior, QueueOrder.IsSenior(standing, other, AgingMs));
        Assert.Equal(!isSenior, QueueOrder.IsSenior(other, standing, AgingMs));
        Assert.Equal(otherPriority > priority && !isSenior, QueueOrder.MayReplace(other, standing, AgingMs));
        Assert.False(QueueOrder.MayReplace(standing, other, AgingMs));
    }

    [Fact]
    public void Rank_is_a_strict_order()
    {
        var random = new Random(1);
        Standing[] all = [.. Enumerable.Range(0, 60).Select(i => new Standing(random.Next(-3, 4), random.Next(0, 8) * 5_000, i, _account))];
        foreach (Standing a in all)
        {
            foreach (Standing b in all)
            {
                Assert.Equal(a != b, QueueOrder.IsSenior(a, b, AgingMs) ^ QueueOrder.IsSenior(b, a, AgingMs));
                foreach (Standing c in all)
                    Assert.True(!QueueOrder.IsSenior(a, b, AgingMs) || !QueueOrder.IsSenior(b, c, AgingMs) || QueueOrder.IsSenior(a, c, AgingMs));
            }
        }
    }
}
