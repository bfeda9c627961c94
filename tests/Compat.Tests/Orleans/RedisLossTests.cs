using Orleans;
using Orleans.Runtime;
using OrleansSample;

namespace Conclave.Compat.Tests.Orleans;

/// <summary>Redis goes away and comes back, with its data or without.</summary>
[Collection(ProcessTestGroup.Name)]
public sealed class RedisLossTests
{
    [Theory, InlineData(true), InlineData(false)]
    public async Task Serving_goes_on_without_Redis_and_joining_waits_for_it(bool dataAreSaved)
    {
        await using ProcessCluster cluster = await ProcessCluster.StartAsync(Meeting.Redis, 2);
        ISequenceGrain known = await cluster.GrainOnAsync(cluster.Silos[0], "known");
        await cluster.Redis!.StopAsync(dataAreSaved);
        Assert.Equal(1, await known.Append(new ImmutableTokens([1])));
        await Task.WhenAll(Enumerable.Range(0, 40).Select(i => cluster.Grains.GetGrain<ISequenceGrain>($"new{i}@{i}").Append(new ImmutableTokens([i]))));

        SiloProcess joining = cluster.Launch();
        await TestCluster.UntilAsync(() => Task.FromResult(joining.Log.Contains("waits with joining", StringComparison.Ordinal)), "the new silo says that it waits");
        SiloProcess leaving = cluster.Silos[1];
        leaving.Signal("TERM");
        await TestCluster.UntilAsync(() => Task.FromResult(leaving.Log.Contains("waits with leaving", StringComparison.Ordinal)), "the silo that leaves says that it waits");
        Assert.Equal(2, await known.Append(new ImmutableTokens([2])));

        await cluster.Redis.RestartAsync();
        Assert.Equal(0, await leaving.ExitAsync());
        await joining.ReadyAsync();
        Assert.Equal(3, await known.Append(new ImmutableTokens([3])));
        // All silos know each other again: a grain moves to the new one and back.
        foreach (SiloProcess silo in new[] { joining, cluster.Silos[0] })
        {
            // The silo that holds the grain may hear of the new one a moment later than this test: until then a move leads nowhere.
            await TestCluster.UntilAsync(
                async () =>
                {
                    if (silo.Address.Equals(await known.Where())) return true;
                    await known.MoveTo(silo.Address);
                    return false;
                },
                $"the grain has moved to {silo.Address}");
        }
        Assert.Equal(4, await known.Append(new ImmutableTokens([4])));
    }
}
