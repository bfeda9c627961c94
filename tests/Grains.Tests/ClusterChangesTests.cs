namespace Conclave.Grains.Tests;

/// <summary>What happens to a view when silos come and go.</summary>
public sealed class ClusterChangesTests
{
    private const string A = "127.0.0.1:11111@1", AnewA = "127.0.0.1:11111@2", B = "127.0.0.1:11112@1";
    private static readonly long[] Sizes = [0, 100];

    private static readonly ClusterView View = new()
    {
        Map = new ExpertMap { Version = 4, LoadedAs = 4, SlotKeys = [SiloKey.Slot(0, A), SiloKey.Slot(0, B), SiloKey.Slot(1, B)], ExpertCount = 3, Replicas = [[], [], [], [0], [0, 1], [2]] },
        Ranks = [A, B],
        Silos = [new SiloOffer { Silo = A, Slots = 1 }, new SiloOffer { Silo = B, Slots = 2 }],
        Draining = [A],
    };

    [Fact]
    public void A_silo_that_is_gone_takes_its_slots_and_rank_along()
    {
        ClusterView rest = View.Without(silo => silo == A, Sizes, version: 9);
        Assert.Equal([B], rest.Ranks);
        Assert.Equal([B], rest.Silos.Select(o => o.Silo));
        Assert.Empty(rest.Draining);
        Assert.Equal((9, 4), (rest.Map.Version, rest.Map.LoadedAs));
        Assert.Equal([SiloKey.Slot(0, B), SiloKey.Slot(1, B)], rest.Map.SlotKeys);
        Assert.Equal([[], [], [], [], [0], [1]], rest.Map.Replicas);
        Assert.Equal(1, rest.MissingExperts);
        Assert.False(rest.IsComplete);
        Assert.False(rest.Map.Names(A));
    }

    [Fact]
    public void A_map_without_the_silo_stays_the_map() => Assert.Same(View.Map, View.Map.Without(silo => silo == "127.0.0.1:1@1", version: 9));

    [Fact]
    public void A_silo_that_comes_back_is_a_new_one()
    {
        ClusterView after = View.With(new SiloOffer { Silo = AnewA, Slots = 1 }, Sizes, version: 9);
        Assert.Equal([B, AnewA], after.Silos.Select(o => o.Silo));
        Assert.Equal([B], after.Ranks);
        Assert.Empty(after.Draining);
        Assert.False(after.Map.Names(A));
        // The same offer again changes it, and nothing else.
        Assert.Equal(2, after.With(new SiloOffer { Silo = AnewA, Slots = 3 }, Sizes, version: 10).Silos.Length);
    }

    [Fact]
    public void Wishes_add_up_and_are_checked()
    {
        PlacementWishes merged = MapPlanner.Merge(new PlacementWishes { Replicas = 2, MinGain = 0.2 }, new PlacementWishes { MinGain = 0.5, Automatic = false });
        Assert.Equal(new PlacementWishes { Replicas = 2, MinGain = 0.5, Automatic = false }, merged);
        foreach (PlacementWishes fault in new PlacementWishes[] { new() { Replicas = 0 }, new() { RedundantExperts = -1 }, new() { MinGain = double.NaN }, new() { MinGain = 1 }, new() { MinIntervalSeconds = 0 } })
            Assert.Throws<ClusterException>(() => MapPlanner.Merge(new PlacementWishes(), fault));
        Assert.Equal(3, MapPlanner.Effective(View with { Silos = [View.Silos[0] with { MinReplicas = 3 }] }).Replicas);
        Assert.Equal(1, MapPlanner.Effective(View with { Silos = [View.Silos[0] with { MinReplicas = 3 }], Wishes = new PlacementWishes { Replicas = 1 } }).Replicas);
    }
}
