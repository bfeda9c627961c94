using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Orleans;
using Orleans.Configuration;
using Orleans.Hosting;
using Orleans.Runtime;

namespace Conclave.Compat.Tests.Orleans;

/// <summary>Several silos: one activation a grain, migration, state, silos that leave or die.</summary>
public sealed class ClusterTests
{
    private static Task<TestCluster> Cluster(int silos, Action<ISiloBuilder>? configure = null) => TestCluster.StartAsync(silos, silo =>
    {
        silo.AddPlacementDirector<HintedPlacement, HintedDirector>();
        configure?.Invoke(silo);
    });

    [Fact]
    public async Task Many_first_calls_from_everywhere_make_one_activation()
    {
        await using TestCluster cluster = await Cluster(3);
        for (int round = 0; round < 20; round++)
        {
            string key = $"race-{round}";
            IGrainFactory[] callers = [cluster.Client, cluster.Inside(0), cluster.Inside(1), cluster.Inside(2)];
            SiloAddress[] places = await Task.WhenAll(Enumerable.Range(0, 40).Select(i => Task.Run(() => callers[i % 4].GetGrain<IWorkGrain>(key).Where())));
            Assert.Single(places.Distinct());
            Assert.Equal(["activate"], Journal.Of(key));
        }
    }

    [Fact]
    public async Task A_grain_moves_with_its_state_and_back()
    {
        await using TestCluster cluster = await Cluster(2);
        var grain = cluster.Client.GetGrain<IKeeperGrain>("mover");
        await grain.Add(5);
        await grain.Save();
        await grain.Add(6);
        for (int round = 0; round < 4; round++)
        {
            SiloAddress target = cluster.Address(round % 2);
            if (target.Equals(await grain.Where())) continue;
            await grain.MoveTo(target);
            // Calls during the move wait for its end.
            Assert.All(await Task.WhenAll(Enumerable.Range(0, 20).Select(_ => grain.Add(0))), sum => Assert.Equal(11, sum));
            Assert.Equal(target, await grain.Where());
            Assert.Equal(5, await grain.Saved());
        }
        await grain.MoveTo(await grain.Where());
        Assert.Equal(11, await grain.Add(0));
        string[] journal = Journal.Of("mover");
        Assert.Equal(["deactivate Migrating", "dehydrate"], journal[..2]);
    }

    [Fact]
    public async Task State_outlives_activations()
    {
        await using TestCluster cluster = await Cluster(2);
        var grain = cluster.Client.GetGrain<IKeeperGrain>("state");
        Assert.Equal(-1, await grain.Saved());
        await grain.Add(3);
        await grain.Save();
        await grain.End();
        Assert.Equal(3, await grain.Saved());
        Assert.Equal(1, await grain.Add(1));
        await grain.Forget();
        await grain.End();
        Assert.Equal(-1, await grain.Saved());
        Assert.Equal("deactivate ApplicationRequested", Journal.Of("state")[0]);
    }

    [Theory, InlineData(true), InlineData(false)]
    public async Task Timers_tick_in_turns(bool interleave)
    {
        await using TestCluster cluster = await Cluster(1);
        var grain = cluster.Client.GetGrain<IKeeperGrain>($"timer-{interleave}");
        await grain.StartTimer(5, interleave);
        await TestCluster.UntilAsync(async () => await grain.Ticks() >= 3, "three ticks");
        if (interleave) Assert.InRange(await grain.Busy(0, ticks: 3), 3, int.MaxValue);
        else Assert.InRange(await grain.Busy(300, ticks: 0), 0, 1);
    }

    [Fact]
    public async Task Idle_grains_are_collected()
    {
        await using TestCluster cluster = await Cluster(1, silo => silo.Configure<GrainCollectionOptions>(o =>
        {
            o.CollectionAge = TimeSpan.FromMilliseconds(200);
            o.CollectionQuantum = TimeSpan.FromMilliseconds(50);
        }));
        await cluster.Client.GetGrain<IWorkGrain>("idle").Nothing();
        await TestCluster.UntilAsync(() => Task.FromResult(Journal.Of("idle").Contains("deactivate ActivationIdle")), "the idle grain ends");
        await cluster.Client.GetGrain<IWorkGrain>("idle").Nothing();
        Assert.Equal(2, Journal.Of("idle").Count(entry => entry == "activate"));
    }

    [Fact]
    public async Task A_stopped_silo_deactivates_its_grains_and_others_take_over()
    {
        await using TestCluster cluster = await Cluster(2);
        IWorkGrain[] grains = [.. Enumerable.Range(0, 40).Select(i => cluster.Client.GetGrain<IWorkGrain>($"leaver-{i}"))];
        SiloAddress[] places = await Task.WhenAll(grains.Select(grain => grain.Where()));
        Assert.Equal(2, places.Distinct().Count());
        SiloAddress leaver = cluster.Address(1);
        IWorkGrain there = grains[Array.IndexOf(places, leaver)];
        Task<int> longCall = there.Hold();
        await TestCluster.UntilAsync(async () => await there.Peek() == 1, "the long call is under way");
        Task stopping = cluster.Silos[1].StopAsync();
        await TestCluster.UntilAsync(() => Task.FromResult(cluster.Membership(0).CurrentSnapshot.GetSiloStatus(leaver) == SiloStatus.ShuttingDown), "the silo leaves");
        Doors.Open(there.GetPrimaryKeyString());
        Assert.Equal(1, await longCall);
        await stopping;
        for (int i = 0; i < grains.Length; i++)
        {
            Assert.Equal(cluster.Address(0), await grains[i].Where());
            Assert.Equal(places[i].Equals(leaver), Journal.Of($"leaver-{i}").Contains("deactivate ShuttingDown"));
        }
        await TestCluster.UntilAsync(() => Task.FromResult(cluster.Membership(0).CurrentSnapshot.GetSiloStatus(leaver) == SiloStatus.Dead), "the silo has left");
    }

    [Fact]
    public async Task A_killed_silo_fails_its_calls_at_once_and_stops()
    {
        await using TestCluster cluster = await Cluster(2);
        SiloAddress victim = cluster.Address(1);
        IWorkGrain[] grains = [.. Enumerable.Range(0, 40).Select(i => cluster.Client.GetGrain<IWorkGrain>($"killed-{i}"))];
        SiloAddress[] places = await Task.WhenAll(grains.Select(grain => grain.Where()));
        IWorkGrain there = grains[Array.IndexOf(places, victim)];
        Task fromClient = there.HoldBeside();
        Task fromSilo = cluster.Inside(0).GetGrain<IWorkGrain>(there.GetPrimaryKeyString()).HoldBeside();
        await TestCluster.UntilAsync(() => Task.FromResult(Journal.Of(there.GetPrimaryKeyString()).Count(entry => entry == "hold") == 2), "both calls are under way");
        Assert.True(await cluster.Membership(0).TryKill(victim));
        await Assert.ThrowsAsync<SiloUnavailableException>(() => fromClient);
        await Assert.ThrowsAsync<SiloUnavailableException>(() => fromSilo);
        Assert.Equal(cluster.Address(0), await there.Where());
        string? reason = await ((FatalErrors)cluster.Silos[1].Services.GetRequiredService<IFatalErrorHandler>()).Reason.WaitAsync(TimeSpan.FromMinutes(2));
        Assert.Contains($"{victim} was declared dead", reason, StringComparison.Ordinal);
        Assert.DoesNotContain(Journal.Of(there.GetPrimaryKeyString()), entry => entry.StartsWith("deactivate", StringComparison.Ordinal));
    }

    [Fact]
    public async Task Membership_tells_who_comes_and_goes()
    {
        await using TestCluster cluster = await Cluster(1);
        IClusterMembershipService membership = cluster.Membership(0);
        await using IAsyncEnumerator<ClusterMembershipSnapshot> updates = membership.MembershipUpdates.GetAsyncEnumerator();
        Assert.True(await updates.MoveNextAsync());
        Assert.Single(updates.Current.Members);
        MembershipVersion before = updates.Current.Version;
        await cluster.AddSiloAsync();
        do Assert.True(await updates.MoveNextAsync().AsTask().WaitAsync(TimeSpan.FromMinutes(2)));
        while (updates.Current.Members.Values.Count(member => member.Status == SiloStatus.Active) < 2);
        Assert.True(updates.Current.Version > before);
        await cluster.Silos[1].StopAsync();
        do Assert.True(await updates.MoveNextAsync().AsTask().WaitAsync(TimeSpan.FromMinutes(2)));
        while (updates.Current.GetSiloStatus(cluster.Address(1)) != SiloStatus.Dead);
        await membership.Refresh();
    }

    [Fact]
    public async Task Two_silos_cannot_have_the_same_port()
    {
        await using TestCluster cluster = await Cluster(1);
        var builder = Host.CreateApplicationBuilder();
        builder.UseOrleans(silo => silo.UseLocalhostClustering(cluster.Address(0).Endpoint.Port, 0));
        using IHost host = builder.Build();
        await Assert.ThrowsAsync<OrleansConfigurationException>(() => host.StartAsync());
    }

    [Fact]
    public void Silo_addresses_are_parsed_and_ordered()
    {
        SiloAddress address = SiloAddress.New(System.Net.IPAddress.Loopback, 11111, 42);
        Assert.Equal(address, SiloAddress.FromParsableString(address.ToParsableString()));
        Assert.True(address.CompareTo(SiloAddress.New(System.Net.IPAddress.Loopback, 11111, 43)) < 0);
        Assert.True(address.CompareTo(SiloAddress.New(System.Net.IPAddress.Loopback, 9999, 50)) > 0);
        Assert.False(SiloAddress.TryParse("nonsense", null, out _));
    }
}
