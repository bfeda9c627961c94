using Conclave.Silo;
using Orleans;

namespace Conclave.Grains.Tests;

/// <summary>Several silos serve one model: what comes out is what one silo gives, whatever comes and goes meanwhile.</summary>
public sealed class ClusterTests(TestModel model) : IClassFixture<TestModel>
{
    private const int Requests = 6, Tokens = 24;

    [Theory]
    [InlineData(2, 1)]
    [InlineData(3, 1)]
    [InlineData(5, 1)]
    public async Task Tokens_are_those_of_one_silo(int silos, int replicas)
    {
        int[][] expected = await model.ExpectedAsync(Requests, Tokens);
        await using var cluster = new TestCluster(model.Path, options => options with { Replicas = replicas });
        await cluster.StartAsync(silos);
        ClusterView view = await cluster.UntilAsync(view => view.Ranks.Length == silos && view.IsComplete && view.Map.SlotKeys.Length == 2 * silos && IsReplicated(view, replicas));
        foreach (TestCluster.Member member in cluster.Members)
        {
            int[][] actual = await Task.WhenAll(Enumerable.Range(0, Requests).Select(i => member.GenerateAsync(TestCluster.Command(i, Tokens))));
            Assert.Equal(expected, actual);
        }

        Assert.Equal(silos, view.Silos.Length);
    }

    [Fact]
    public async Task A_silo_joins_while_others_serve()
    {
        int[][] expected = await model.ExpectedAsync(Requests, 400);
        await using var cluster = new TestCluster(model.Path);
        TestCluster.Member first = await cluster.StartAsync();
        long before = (await first.Map.Current()).Map.Version;
        Task<int[][]> streams = Task.WhenAll(Enumerable.Range(0, Requests).Select(i => first.GenerateAsync(TestCluster.Command(i, 400))));
        TestCluster.Member second = await cluster.StartAsync();
        ClusterView view = await cluster.UntilAsync(view => view.Ranks.Length == 2 && view.Map.Names(second.Address));
        Assert.True(view.Map.Version > before);
        Assert.Equal(expected, await streams);
        Assert.Equal(expected[0], await second.GenerateAsync(TestCluster.Command(0, 400)));
    }

    [Fact]
    public async Task A_silo_leaves_while_others_serve()
    {
        int[][] expected = await model.ExpectedAsync(Requests, 400);
        await using var cluster = new TestCluster(model.Path);
        TestCluster.Member first = await cluster.StartAsync();
        TestCluster.Member second = await cluster.StartAsync();
        await cluster.UntilAsync(view => view.Map.Names(second.Address));
        Task<int[][]> streams = Task.WhenAll(Enumerable.Range(0, Requests).Select(i => first.GenerateAsync(TestCluster.Command(i, 400))));
        await cluster.StopAsync(second);
        ClusterView view = await cluster.Map.Current();
        Assert.Equal([first.Address], view.Ranks);
        Assert.Equal([first.Address], view.Silos.Select(o => o.Silo));
        Assert.True(view.IsComplete);
        Assert.False(view.Map.Names(second.Address));
        Assert.Equal(expected, await streams);
    }

    [Theory]
    [InlineData(1)]
    public async Task A_silo_dies_while_others_serve(int replicas)
    {
        int[][] expected = await model.ExpectedAsync(Requests, 400);
        await using var cluster = new TestCluster(model.Path, options => options with { Replicas = replicas });
        TestCluster.Member first = await cluster.StartAsync();
        await cluster.StartAsync(2);
        TestCluster.Member last = cluster.Members[^1];
        await cluster.UntilAsync(view => view.Map.Names(last.Address) && view.Ranks.Length == 3 && IsReplicated(view, replicas));
        Task<int[][]> streams = Task.WhenAll(Enumerable.Range(0, Requests).Select(i => first.GenerateAsync(TestCluster.Command(i, 400))));
        await cluster.KillAsync(last);
        Assert.Equal(expected, await streams);
        ClusterView view = await cluster.UntilAsync(view => view.Silos.Length == 2 && view.IsComplete && IsReplicated(view, replicas));
        Assert.DoesNotContain(last.Address, view.Ranks);
        Assert.False(view.Map.Names(last.Address));
    }

    private static bool IsReplicated(ClusterView view, int replicas) => view.Map.Replicas.Where((_, pair) => pair >= view.Map.ExpertCount)
        .All(slots => slots.Select(slot => SiloKey.Silo(view.Map.SlotKeys[slot])).Distinct().Count() >= Math.Min(replicas, view.Silos.Length));
}
