using System.Diagnostics;
using System.Text.Json.Nodes;
using Conclave.Cli.Admin;
using Conclave.Cli.Chaos;
using Conclave.Cli.Local;

namespace Conclave.Cli.Tests;

/// <summary>The pure parts of chaos and of the local cluster.</summary>
public sealed class ChaosTests
{
    [Theory]
    [InlineData(2, 1)]
    [InlineData(3, 2)]
    [InlineData(5, 2)]
    public void A_schedule_repeats_itself_and_leaves_enough_silos(int silos, int gateways)
    {
        const int DurationMs = 300_000;
        for (int seed = 0; seed < 50; seed++)
        {
            IReadOnlyList<ChaosEvent> events = ChaosPlan.Create(seed, DurationMs, silos, gateways);
            Assert.Equal(events, ChaosPlan.Create(seed, DurationMs, silos, gateways));
            int alive = silos;
            foreach (ChaosEvent next in events)
            {
                Assert.InRange(next.AtMs, ChaosPlan.MarginMs, DurationMs - ChaosPlan.MarginMs);
                Assert.True(next.Kind != ChaosKind.Gateway || gateways > 1);
                alive += next.Kind switch { ChaosKind.Join => 1, ChaosKind.Gateway => 0, _ => -1 };
                Assert.InRange(alive, ChaosPlan.Least(silos), silos + 1);
            }

            Assert.True(events.Count(next => next.Kind is ChaosKind.Kill or ChaosKind.Stop) >= 10, $"seed {seed}");
        }

        Assert.NotEqual(ChaosPlan.Create(1, DurationMs, silos, gateways), ChaosPlan.Create(2, DurationMs, silos, gateways));
    }

    [Fact]
    public void Requests_repeat_themselves_and_differ()
    {
        string[] Bodies(int seed) => [.. ChaosLoad.Create(seed, 40).Select(c => c.Body.ToJsonString())];
        Assert.Equal(Bodies(3), Bodies(3));
        Assert.Equal(40, Bodies(3).Distinct().Count());
        Assert.NotEqual(Bodies(3), Bodies(4));
    }

    [Fact]
    public void A_pause_is_the_longest_gap_at_the_event_less_the_normal_one()
    {
        long Ms(double ms) => (long)(ms * Stopwatch.Frequency / 1000);
        Exchange Stream(params double[] arrivals) => new(new ChaosCase(0, [], Streams: true), new Answer("", "", "", "stop", 0), 0, [.. arrivals.Select(Ms)]);
        Exchange[] exchanges = [Stream(0, 10, 20, 30, 530, 540, 550), Stream(0, 10, 110, 120, 130), Stream(600, 610, 620), Stream(5, 15)];
        double normal = Pauses.NormalGapMs(exchanges);
        Assert.Equal(10, normal, 3);
        Assert.Equal(490, Pauses.LongestMs(new Disturbance(ChaosKind.Kill, "", Ms(35), Ms(700)), exchanges, normal)!.Value, 3);
        // Gaps that were over before it, or began after the cluster was whole again, are not its own.
        Assert.Equal(0, Pauses.LongestMs(new Disturbance(ChaosKind.Kill, "", Ms(535), Ms(545)), exchanges, normal)!.Value, 3);
        Assert.Null(Pauses.LongestMs(new Disturbance(ChaosKind.Kill, "", Ms(5_000), Ms(6_000)), exchanges, normal));
        Assert.Equal((3, 20.0, 30.0, 30.0), PauseSummary.Of([30, 10, 20]) is var s ? (s.Count, s.P50Ms, s.P99Ms, s.MaxMs) : default);
    }

    [Fact]
    public void A_difference_names_the_field_and_the_place()
    {
        var due = new Answer("the cow sleeps", "", "abc", "stop", 3);
        Assert.Contains("content at character 5 of 14", (due with { Content = "the cat" }).Difference(due));
        Assert.Contains("completion_tokens", (due with { CompletionTokens = 4 }).Difference(due));
    }

    [Fact]
    public async Task A_process_is_known_by_its_start_too()
    {
        using Process sleeper = Process.Start("sleep", "3600")!;
        try
        {
            ProcessIdentity identity = ProcessIdentity.Of(sleeper.Id)!.Value;
            Assert.True(identity.IsAlive);
            // The same id with another start is another process: it gets no signal.
            Assert.False((identity with { StartTicks = identity.StartTicks - 1 }).Send(Signal.Kill));
            Assert.False(await identity.WaitForExit(TimeSpan.FromMilliseconds(50)));
            Assert.True(identity.Send(Signal.Kill));
            Assert.True(await identity.WaitForExit(TimeSpan.FromMinutes(2)));
            Assert.Null(ProcessIdentity.Of(int.MaxValue));
        }
        finally
        {
            sleeper.Kill();
        }
    }

    [Fact]
    public void A_directory_that_holds_something_else_is_left_alone()
    {
        DirectoryInfo folder = Directory.CreateTempSubdirectory("conclave-other-");
        try
        {
            File.WriteAllText(Path.Combine(folder.FullName, "precious"), "");
            var directory = new LocalClusterDirectory(folder.FullName);
            Assert.Throws<IOException>(directory.Create);
            Assert.Throws<ArgumentException>(() => LocalClusterDirectory.Named("../up"));
            Assert.Null(directory.Read());
        }
        finally
        {
            folder.Delete(recursive: true);
        }
    }

    [Fact]
    public void Names_with_numbers_are_in_their_natural_order() =>
        Assert.Equal(["a", "silo-2", "silo-10"], new[] { "silo-10", "a", "silo-2" }.Order(NaturalOrder.Instance));
}
