namespace Conclave.Grains.Tests.Placement;

public sealed class ExpertLoadsTests
{
    [Fact]
    public void The_counter_counts_where_tokens_go_and_allocates_nothing()
    {
        var counter = new ExpertCounter(2, 4);
        int[] rows = [0, 3, 1, 3];
        counter.Add(1, rows);
        long before = GC.GetAllocatedBytesForCurrentThread();
        for (int i = 0; i < 100; i++) counter.Add(0, rows);
        Assert.Equal(before, GC.GetAllocatedBytesForCurrentThread());
        Assert.Equal([100, 100, 0, 200, 1, 1, 0, 2], counter.Totals());
        Assert.Throws<ArgumentOutOfRangeException>(() => counter.Add(2, rows));
        Assert.Throws<IndexOutOfRangeException>(() => counter.Add(0, [4]));
    }

    [Fact]
    public void Loads_of_ranks_add_up_and_fade()
    {
        var clock = new Clock();
        var loads = new ExpertLoads(2, TimeSpan.FromMinutes(1), clock);
        loads.Report("a", [100, 0]);
        loads.Report("b", [0, 40]);
        Assert.Equal([100, 40], loads.Current());
        clock.Advance(TimeSpan.FromMinutes(1));
        Assert.Equal([50, 20], loads.Current());
        // Totals: only what came since the last report counts, and a repeated report counts once.
        loads.Report("a", [110, 0]);
        loads.Report("a", [110, 0]);
        Assert.Equal([60, 20], loads.Current());
        clock.Advance(TimeSpan.FromMinutes(2));
        Assert.Equal([15, 5], loads.Current());
    }

    [Fact]
    public void A_rank_that_starts_anew_or_goes_takes_nothing_away()
    {
        var loads = new ExpertLoads(2, TimeSpan.FromMinutes(1), new Clock());
        loads.Report("a", [100, 7]);
        loads.Report("a", [3, 9]);
        Assert.Equal([103, 16], loads.Current());
        loads.Forget("a");
        Assert.Equal([103, 16], loads.Current());
        loads.Report("a", [4, 9]);
        Assert.Equal([107, 25], loads.Current());
    }

    [Fact]
    public void Wrong_sizes_are_errors()
    {
        Assert.Throws<ArgumentOutOfRangeException>(() => new ExpertLoads(2, TimeSpan.Zero, TimeProvider.System));
        var loads = new ExpertLoads(2, TimeSpan.FromMinutes(1), TimeProvider.System);
        Assert.Contains("rank a", Assert.Throws<ArgumentException>(() => loads.Report("a", [1])).Message);
        var map = new ExpertMap { Version = 1, SlotKeys = ["a"], ExpertCount = 2, Replicas = [[0], [0]] };
        Assert.Contains("loads", Assert.Throws<ArgumentException>(() => MapBalance.Of(map, [1])).Message);
    }

    [Fact]
    public void Balance_is_that_of_the_heaviest_slot_in_each_layer()
    {
        var map = new ExpertMap { Version = 1, SlotKeys = ["a", "b"], ExpertCount = 2, Replicas = [[], [], [0], [1], [1], [0, 1]] };
        MapBalance balance = MapBalance.Of(map, [9, 9, 30, 10, 6, 8]);
        // Layer 0 is dense; then 30 and 10; then 4 and 6 + 4.
        Assert.Equal(30 + 10, balance.MaxLoad);
        Assert.Equal(20 + 7, balance.MeanLoad);
        Assert.Equal([34.0, 20.0], balance.SlotLoads);
        Assert.Equal(40 / 27.0, balance.Ratio);
        Assert.Equal(1, MapBalance.Of(ExpertMap.Empty, null).Ratio);
        Assert.Equal(1, MapBalance.Of(map, new double[6]).Ratio);
    }

    [Theory]
    [InlineData(150, 100, null, true)]
    [InlineData(150, 140, null, false)]
    [InlineData(150, 100, 30, false)]
    [InlineData(150, 100, 90, true)]
    [InlineData(100, 100, 90, false)]
    [InlineData(1, 0.5, null, false)]
    public void A_rebalance_is_worth_a_gain_now_and_then(double current, double planned, int? secondsSinceLast, bool expected)
    {
        var policy = new RebalancePolicy { MinGain = 0.1, MinInterval = TimeSpan.FromMinutes(1), MinRows = 100 };
        TimeSpan? sinceLast = secondsSinceLast is { } seconds ? TimeSpan.FromSeconds(seconds) : null;
        Assert.Equal(expected, policy.IsWorthwhile(Balance(current), Balance(planned), sinceLast));
    }

    private static MapBalance Balance(double max) => new(max, max / 2, [max, 0]);

    private sealed class Clock : TimeProvider
    {
        private long _now;

        public void Advance(TimeSpan time) => _now += time.Ticks;

        public override long TimestampFrequency => TimeSpan.TicksPerSecond;

        public override long GetTimestamp() => _now;
    }
}
