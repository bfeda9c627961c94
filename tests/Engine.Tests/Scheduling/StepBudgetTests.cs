using Conclave.Engine.Scheduling;

namespace Conclave.Engine.Tests.Scheduling;

public sealed class StepBudgetTests
{
    [Theory]
    [InlineData(256, 500, 128)]
    [InlineData(256, 10_000, 64)]
    [InlineData(64, 10_000, 48)]
    [InlineData(128, 200, 160)]
    [InlineData(128, 1, 192)]
    [InlineData(256, 1, 256)]
    public void The_next_step_is_as_large_as_the_last_one_allows(int rows, double tookMs, int expected) =>
        Assert.Equal(expected, StepBudget.Next(rows, tookMs, targetMs: 250, leastRows: 48, mostRows: 256));

    /// <summary>On a machine that needs <c>fixed + row * rows</c> ms the budget settles where a step takes about the target.</summary>
    [Theory]
    [InlineData(20, 1, 224)]
    [InlineData(90, 2, 80)]
    [InlineData(5, 0.1, 256)]
    [InlineData(900, 30, 48)]
    public void It_settles_at_the_target(double fixedMs, double rowMs, int expected)
    {
        var budget = new StepBudget(0, leastRows: 48, mostRows: 256, targetMs: 250);
        for (int i = 0; i < 50; i++)
            budget.Record(budget.Rows, fixedMs + (rowMs * budget.Rows));
        Assert.InRange(budget.Rows, expected - 16, expected + 16);
    }

    [Fact]
    public void Where_decoding_alone_takes_longer_prompts_take_as_much_again()
    {
        var budget = new StepBudget(0, leastRows: 48, mostRows: 256, targetMs: 250);
        for (int i = 0; i < 100; i++)
        {
            budget.RecordDecode(900);
            budget.Record(budget.Rows, 900 + (5 * budget.Rows));
        }

        Assert.InRange(budget.Rows, 160, 192);
    }

    [Fact]
    public void A_fixed_budget_stays()
    {
        var budget = new StepBudget(100, leastRows: 48, mostRows: 256, targetMs: 250);
        budget.Record(100, 9_000);
        Assert.Equal(100, budget.Rows);
    }

    /// <summary>The worked example: ten sequences ended in twenty seconds of steps, so a place is free every two.</summary>
    [Fact]
    public void Who_is_refused_is_told_when_there_should_be_a_place()
    {
        var departures = new DepartureRate();
        Assert.Equal(1, departures.SecondsUntil(1));
        for (int i = 0; i < 160; i++)
            departures.Record(i % 16 == 15 ? 1 : 0, 0.125);
        Assert.Equal((2, 6, 60), (departures.SecondsUntil(1), departures.SecondsUntil(3), departures.SecondsUntil(1000)));

        // Nothing has ended for long: that is what is known now.
        departures.Record(0, 9);
        Assert.Equal(9, departures.SecondsUntil(1));
    }
}
