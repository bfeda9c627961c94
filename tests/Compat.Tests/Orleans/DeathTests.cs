using System.Diagnostics;
using Orleans;
using Orleans.Runtime;
using OrleansSample;
using Xunit.Abstractions;

namespace Conclave.Compat.Tests.Orleans;

/// <summary>Silo processes that crash, hang, come back or are cut off.</summary>
[Collection(ProcessTestGroup.Name)]
public sealed class DeathTests(ITestOutputHelper output)
{
    /// <summary>After so long a call runs in its grain, however busy the machine is.</summary>
    private static readonly TimeSpan Underway = TimeSpan.FromSeconds(2);

    [Theory, InlineData(Meeting.Localhost), InlineData(Meeting.Redis)]
    public async Task A_crashed_silo_fails_its_calls_at_once_and_its_grains_answer_elsewhere_after_the_verdict(Meeting meeting)
    {
        await using ProcessCluster cluster = await ProcessCluster.StartAsync(meeting, 3);
        SiloProcess victim = cluster.Silos[2];
        ISequenceGrain there = await cluster.GrainOnAsync(victim, "crash");
        Task<int> slow = there.Slow(60000, CancellationToken.None).AsTask();
        await Task.Delay(Underway);
        victim.Signal("KILL");
        await Assert.ThrowsAsync<SiloUnavailableException>(() => slow.WaitAsync(TimeSpan.FromMinutes(2)));
        await AnswersElsewhereAsync(cluster, victim, there);
        await AllAnswerAsync(cluster);
    }

    [Theory, InlineData(Meeting.Localhost), InlineData(Meeting.Redis)]
    public async Task A_silo_that_hung_ends_itself_when_it_wakes_up_dead(Meeting meeting)
    {
        await using ProcessCluster cluster = await ProcessCluster.StartAsync(meeting, 3);
        SiloProcess victim = cluster.Silos[2];
        ISequenceGrain there = await cluster.GrainOnAsync(victim, "hang");
        Task<int> slow = there.Slow(60000, CancellationToken.None).AsTask();
        await Task.Delay(Underway);
        victim.Signal("STOP");
        await AnswersElsewhereAsync(cluster, victim, there);
        await Assert.ThrowsAsync<SiloUnavailableException>(() => slow.WaitAsync(TimeSpan.FromMinutes(2)));
        victim.Signal("CONT");
        Assert.NotEqual(0, await victim.ExitAsync());
        Assert.Contains("declared dead", victim.Log, StringComparison.Ordinal);
        await AllAnswerAsync(cluster);
    }

    [Theory, InlineData("KILL", 2), InlineData("STOP", 3)]
    public async Task Probes_find_a_dead_silo(string signal, int silos)
    {
        await using ProcessCluster cluster = await ProcessCluster.StartAsync(Meeting.Redis, silos, "--probe-ms", "500");
        SiloProcess victim = cluster.Silos[^1];
        ISequenceGrain there = await cluster.GrainOnAsync(victim, "probed");
        victim.Signal(signal);
        await TestCluster.UntilAsync(
            async () =>
            {
                try
                {
                    return !victim.Address.Equals(await there.Where().WaitAsync(TimeSpan.FromSeconds(2)));
                }
                catch (Exception e) when (e is SiloUnavailableException or TimeoutException)
                {
                    return false;
                }
            },
            "the grain answers elsewhere");
        if (signal != "STOP") return;
        victim.Signal("CONT");
        Assert.NotEqual(0, await victim.ExitAsync());
    }

    [Fact]
    public async Task A_silo_that_starts_again_at_its_endpoint_takes_the_place_of_the_dead_one()
    {
        await using ProcessCluster cluster = await ProcessCluster.StartAsync(Meeting.Redis, 2);
        SiloProcess victim = cluster.Silos[1];
        ISequenceGrain there = await cluster.GrainOnAsync(victim, "again");
        victim.Signal("KILL");
        await victim.ExitAsync();
        // A generation is the second of a silo's start: all this may have taken less than one.
        await Task.Delay(TimeSpan.FromSeconds(1.5));
        SiloProcess next = await cluster.AddAsync(victim.Port);
        Assert.True(next.Address.Generation > victim.Address.Generation);
        Assert.NotEqual(victim.Address, await there.Where());
        await AllAnswerAsync(cluster);
    }

    [Fact]
    public async Task A_grain_whose_new_silo_hangs_during_its_migration_answers_again()
    {
        await using ProcessCluster cluster = await ProcessCluster.StartAsync(Meeting.Redis, 2);
        ISequenceGrain grain = await cluster.GrainOnAsync(cluster.Silos[0], "moving");
        await grain.Append(new ImmutableTokens([1]));
        cluster.Silos[1].Signal("STOP");
        await grain.MoveTo(cluster.Silos[1].Address);
        Task<SiloAddress> where = grain.Where();
        await Task.Delay(300);
        Assert.True(await cluster.Silos[0].KillAsync(cluster.Silos[1].Address));
        Assert.Equal(cluster.Silos[0].Address, await where.WaitAsync(TimeSpan.FromMinutes(2)));
    }

    /// <summary>After the verdict a grain of the dead silo answers from another one, through whichever gateway is left.</summary>
    private async Task AnswersElsewhereAsync(ProcessCluster cluster, SiloProcess victim, ISequenceGrain grain)
    {
        long start = Stopwatch.GetTimestamp();
        Assert.True(await cluster.Silos[1].KillAsync(victim.Address));
        TimeSpan verdict = Stopwatch.GetElapsedTime(start);
        SiloAddress? where = null;
        while (where is null)
        {
            try
            {
                where = await grain.Where().WaitAsync(TimeSpan.FromMinutes(2));
            }
            catch (SiloUnavailableException) when (Stopwatch.GetElapsedTime(start) < TimeSpan.FromMinutes(1))
            {
                // The client has not heard of the verdict yet.
                await Task.Delay(5);
            }
        }
        output.WriteLine($"verdict after {verdict.TotalMilliseconds:F0} ms, answer after {Stopwatch.GetElapsedTime(start).TotalMilliseconds:F0} ms");
        Assert.NotEqual(victim.Address, where);
        // It takes some 30 ms, the first time some 100; far more on a machine that is busy with other things.
        Assert.True(Stopwatch.GetElapsedTime(start) < TimeSpan.FromMinutes(1), "The answer took too long.");
    }

    private static Task AllAnswerAsync(ProcessCluster cluster) =>
        Task.WhenAll(Enumerable.Range(0, 60).Select(i => cluster.Grains.GetGrain<ISequenceGrain>($"after{i}@{i}").Append(new ImmutableTokens([i])))).WaitAsync(TimeSpan.FromMinutes(2));
}
