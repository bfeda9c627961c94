using Conclave.Engine.Scheduling;

namespace Conclave.Engine.Tests.Scheduling;

public sealed class FairShareTests
{
    /// <summary>The worked example: three sequences of "a" wait, then one of "b" comes; prompts of 10 tokens, 5 generated.</summary>
    [Fact]
    public void Keys_take_turns_by_what_they_were_served()
    {
        var shares = new FairShare();
        FairAccount a = Waits(shares, "a");
        Waits(shares, "a");
        Waits(shares, "a");

        // The first of "a" runs: 10 + 2 * 5 = 20.
        shares.EndWait(a);
        FairShare.Charge(a, promptTokens: 10, outputTokens: 5);
        Assert.Equal(20, a.Served);

        // "b" has never been served, yet saved up no claim: it begins with what "a", the least served that waits, has. Its next tokens decide.
        FairAccount b = Waits(shares, "b");
        Assert.Equal(20, b.Served);
        Standing next = new(0, 3, 3, b), earlier = new(0, 1, 1, a);
        Assert.False(QueueOrder.IsFairer(next, earlier));
        shares.EndWait(a);
        FairShare.Charge(a, promptTokens: 10, outputTokens: 0);
        Assert.True(QueueOrder.IsFairer(next, earlier));
    }

    [Fact]
    public void Who_comes_when_nobody_waits_begins_where_the_last_one_is()
    {
        var shares = new FairShare();
        FairAccount a = Waits(shares, "a");
        shares.EndWait(a);
        FairShare.Charge(a, 100, 0);
        Assert.Equal(100, Waits(shares, "b").Served);
    }

    [Fact]
    public void Who_was_served_more_than_others_keeps_its_debt_and_is_remembered_for_it()
    {
        var shares = new FairShare();
        FairAccount a = Waits(shares, "a"), b = Waits(shares, "b");
        shares.EndWait(a);
        FairShare.Charge(a, 0, 50);
        shares.Close(a);
        Assert.Equal(2, shares.AccountCount);
        Assert.Same(a, Waits(shares, "a"));
        Assert.Equal((100, 0), (a.Served, b.Served));
    }

    [Fact]
    public void Keys_that_are_gone_are_forgotten()
    {
        var shares = new FairShare();
        for (int i = 0; i < 20_000; i++)
        {
            FairAccount account = Waits(shares, $"key {i}");
            shares.EndWait(account);
            FairShare.Charge(account, i % 7, i % 5);
            shares.Close(account);
        }

        Assert.InRange(shares.AccountCount, 0, 4097);
    }

    private static FairAccount Waits(FairShare shares, string key)
    {
        FairAccount account = shares.Open(key);
        shares.BeginWait(account);
        return account;
    }
}
