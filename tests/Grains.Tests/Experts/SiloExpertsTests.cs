namespace Conclave.Grains.Tests.Experts;

/// <summary>What slots hold: old weights stay until they are let go of, faults are told.</summary>
public sealed class SiloExpertsTests(ExpertModel model) : IClassFixture<ExpertModel>
{
    [Fact]
    public void Old_weights_stay_until_let_go_of()
    {
        using var experts = new SiloExperts(model.Checkpoint, TimeProvider.System);
        int changes = 0;
        experts.Changed += () => Interlocked.Increment(ref changes);
        Assert.Equal(0, experts.Status("a").MapVersion);
        Hold(experts, "a", 1, (1, 3), (1, 4));
        Hold(experts, "b", 1, (2, 3));
        Assert.True(experts.Table.Holds(1, 3) && experts.Table.Holds(1, 4) && experts.Table.Holds(2, 3));
        Assert.False(experts.Table.Holds(1, 5) || experts.Table.Holds(0, 0) || experts.Table.Holds(9, 0) || experts.Table.Holds(1, 16) || experts.Table.Holds(1, -1));
        Hold(experts, "a", 3, (1, 4), (1, 5));
        Assert.True(experts.Table.Holds(1, 3) && experts.Table.Holds(1, 5));
        long one = ExpertSizes.Of(model.Checkpoint)[1];
        Assert.Equal((3L, 3L, 2, 3 * one), (experts.Status("a").MapVersion, experts.Status("a").LoadingVersion, experts.Status("a").ExpertCount, experts.Status("a").HeldBytes));
        experts.Hold("a", new ShardLoad { MapVersion = 2, Layers = [3], Experts = [3] });
        experts.Retain("a", 3);
        Assert.False(experts.Table.Holds(1, 3) || experts.Table.Holds(3, 3));
        Assert.True(experts.Table.Holds(1, 5) && experts.Table.Holds(2, 3));
        experts.Retain("a", 9);
        Assert.True(experts.Table.Holds(1, 5), "what is ready serves until something newer is");
        // That of a load is told a moment after its status shows.
        Assert.True(SpinWait.SpinUntil(() => Volatile.Read(ref changes) >= 4, TimeSpan.FromMinutes(4)));
        Assert.Equal(4, changes);
    }

    [Fact]
    public void What_cannot_be_loaded_is_a_fault_and_a_newer_load_mends_it()
    {
        using var experts = new SiloExperts(model.Checkpoint, TimeProvider.System);
        experts.Hold("a", new ShardLoad { MapVersion = 1, Layers = [0], Experts = [3] });
        Assert.True(SpinWait.SpinUntil(() => experts.Status("a").Fault is not null, TimeSpan.FromMinutes(2)));
        Assert.Contains("model.layers.0.mlp.experts.3", experts.Status("a").Fault, StringComparison.Ordinal);
        Assert.Equal((0L, 1L), (experts.Status("a").MapVersion, experts.Status("a").LoadingVersion));
        Hold(experts, "a", 2, (1, 3));
        Assert.Null(experts.Status("a").Fault);
    }

    private static void Hold(SiloExperts experts, string slot, long version, params (int Layer, int Expert)[] pairs)
    {
        experts.Hold(slot, new ShardLoad { MapVersion = version, Layers = [.. pairs.Select(p => p.Layer)], Experts = [.. pairs.Select(p => p.Expert)] });
        Assert.True(SpinWait.SpinUntil(() => experts.Status(slot).MapVersion == version, TimeSpan.FromMinutes(2)));
    }
}
