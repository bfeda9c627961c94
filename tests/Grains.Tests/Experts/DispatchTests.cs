using Conclave.Engine;
using Conclave.Grains.Tests.Transport;
using Conclave.Grains.Transport;
using Conclave.Model;

namespace Conclave.Grains.Tests.Experts;

/// <summary>Experts on other silos: the same bits wherever they are and whatever happens to the silos.</summary>
public sealed class DispatchTests(ExpertModel model) : IClassFixture<ExpertModel>
{
    private static readonly Func<int, int, int[]> AllHere = (_, _) => [0], Dealt = (layer, expert) => [(layer + expert) % 3];

    [Theory]
    [InlineData(DispatchType.F32)]
    [InlineData(DispatchType.BF16)]
    [InlineData(DispatchType.FP8)]
    public void Where_experts_are_changes_no_bit(DispatchType type)
    {
        int[] expected;
        using (var cluster = new ExpertCluster(model, 1, AllHere, ExpertCluster.Patient with { Type = type })) expected = cluster.Run();
        (int Silos, Func<int, int, int[]> Holders)[] layouts =
        [
            (2, (_, expert) => [expert % 2]),
            (3, Dealt),
            (3, (_, expert) => [1 + (expert % 2)]),
            (5, (layer, expert) => [(layer + expert) % 5, (expert + 2) % 5]),
        ];
        foreach ((int silos, Func<int, int, int[]> holders) in layouts)
        {
            foreach (MicroBatchMode mode in new[] { MicroBatchMode.One, MicroBatchMode.Two })
            {
                using var cluster = new ExpertCluster(model, silos, holders, ExpertCluster.Patient with { Type = type, MicroBatches = mode });
                Assert.Equal(expected, cluster.Run());
                Assert.True(cluster.Silos[1].Service.AnsweredRows > 0);
            }
        }
    }

    [Fact]
    public void Rounding_changes_something()
    {
        int[][] results = [.. Enum.GetValues<DispatchType>().Select(type =>
        {
            using var cluster = new ExpertCluster(model, 1, AllHere, ExpertCluster.Patient with { Type = type });
            return cluster.Run();
        })];
        Assert.NotEqual(results[0], results[1]);
        Assert.NotEqual(results[1], results[2]);
    }

    [Fact]
    public void Rows_travel_once_a_silo()
    {
        using var cluster = new ExpertCluster(model, 2, (_, _) => [1], ExpertCluster.Patient with { MicroBatches = MicroBatchMode.One });
        cluster.Step(cluster.NewSequence(), new int[10]);
        DispatchStatistics step = cluster.Dispatch.LastStep;
        Assert.Equal(3, step.Requests);
        // 10 rows of 200 floats there in whole cache lines, 8 bytes for each of 40 pairs, and 40 rows back.
        Assert.Equal(3 * ((10 * 800) + (40 * 8) + (40 * 800)), step.Bytes);
        Assert.Equal(40 * 3, cluster.Dispatch.Counter.Totals().Sum());
        Assert.Equal(40, cluster.Dispatch.Counter.Totals().Skip(16).Take(16).Sum());
    }

    [Theory]
    [InlineData(MicroBatchMode.One)]
    [InlineData(MicroBatchMode.Two)]
    public void Rows_of_a_silo_that_dies_go_to_a_replica(MicroBatchMode mode)
    {
        using var cluster = new ExpertCluster(model, 3, (_, expert) => expert % 3 == 0 ? [0] : [1, 2], ExpertCluster.Patient with { MicroBatches = mode });
        int[] expected = cluster.Run();
        Assert.True(cluster.Silos[1].Service.AnsweredRows > 0 && cluster.Silos[2].Service.AnsweredRows > 0);
        int steps = 0;
        cluster.Transformer.Probe = new Killer(_ =>
        {
            // In the midst of a step, so that rows may be under way.
            if (++steps == 2) ThreadPool.QueueUserWorkItem(_ => cluster.Silos[1].Transport.Dispose());
        });
        Assert.Equal(expected, cluster.Run());
        long before = cluster.Silos[2].Service.AnsweredRows;
        Assert.Equal(expected, cluster.Run());
        Assert.True(cluster.Silos[2].Service.AnsweredRows > before);
    }

    [Fact]
    public void A_silo_that_lacks_an_expert_is_passed_over()
    {
        using var cluster = new ExpertCluster(model, 3, (_, _) => [1, 2]);
        int[] expected = cluster.Run();
        // Silo 1 lets go of half its experts while the map in use still names it.
        cluster.Load((_, expert) => expert < 8 ? [1, 2] : [2]);
        cluster.RetainNewest();
        Assert.Equal(expected, cluster.Run());
    }

    [Fact]
    public async Task A_step_without_anyone_to_ask_waits_for_a_new_map()
    {
        using var cluster = new ExpertCluster(model, 3, (_, expert) => [expert % 2]);
        int[] expected = cluster.Run();
        var missing = new TaskCompletionSource<ExpertsMissing>(TaskCreationOptions.RunContinuationsAsynchronously);
        cluster.Dispatch.Missing += what => missing.TrySetResult(what);
        cluster.Silos[1].Transport.Dispose();
        Task<int[]> run = Task.Factory.StartNew(cluster.Run, TaskCreationOptions.LongRunning);
        ExpertsMissing first = await missing.Task.WaitAsync(Pair.Long);
        Assert.Equal(1, first.MapVersion);
        Assert.All(first.Experts, expert => Assert.Equal(1, expert % 2));
        Assert.False(run.IsCompleted);
        ClusterView view = cluster.Load((_, expert) => [expert % 2 == 1 ? 2 : 0]);
        cluster.Dispatch.Use(view);
        Assert.Equal(expected, await run.WaitAsync(Pair.Long));
        Assert.Equal(view.Map.Version, cluster.Dispatch.MapVersion);
    }

    [Fact]
    public void A_step_that_waits_in_vain_fails_and_the_next_may_succeed()
    {
        using var cluster = new ExpertCluster(model, 2, (_, expert) => [expert % 2], ExpertCluster.Patient with { MissingTimeoutMs = 50 });
        int[] expected = cluster.Run();
        ClusterView good = cluster.Load((_, expert) => [expert % 2]);
        cluster.Dispatch.Use(cluster.Load((_, expert) => expert % 2 == 0 ? [0] : []));
        Assert.Contains("of layer 1 is on no silo", Assert.Throws<OperatingException>(() => cluster.Run()).Message, StringComparison.Ordinal);
        Assert.Equal(OperatingError.Unavailable, Assert.Throws<OperatingException>(() => cluster.Run()).Error);
        cluster.Dispatch.Use(good with { Epoch = 100 });
        Assert.Equal(expected, cluster.Run());
        cluster.Dispatch.Use(good with { Map = ExpertMap.Empty, Epoch = 99 });
        Assert.Equal(good.Map.Version, cluster.Dispatch.MapVersion);
    }

    [Fact]
    public async Task Closing_ends_a_step_that_waits()
    {
        using var cluster = new ExpertCluster(model, 2, (_, expert) => expert == 3 ? [] : [0]);
        var missing = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        cluster.Dispatch.Missing += _ => missing.TrySetResult();
        Task run = Task.Factory.StartNew(cluster.Run, TaskCreationOptions.LongRunning);
        await missing.Task.WaitAsync(Pair.Long);
        cluster.Dispatch.Close();
        Assert.Equal(OperatingError.Unavailable, (await Assert.ThrowsAsync<OperatingException>(() => run.WaitAsync(Pair.Long))).Error);
    }

    [Theory]
    [InlineData(DispatchType.F32, MicroBatchMode.One)]
    [InlineData(DispatchType.F32, MicroBatchMode.Auto)]
    [InlineData(DispatchType.FP8, MicroBatchMode.Two)]
    public void Decoding_allocates_nothing(DispatchType type, MicroBatchMode mode)
    {
        using var cluster = new ExpertCluster(model, 3, Dealt, ExpertCluster.Patient with { Type = type, MicroBatches = mode });
        KvPageTable[] sequences = [.. Enumerable.Range(0, 8).Select(_ => cluster.NewSequence())];
        for (int i = 0; i < 28; i++) cluster.Decode(sequences, i);
        // A lock that this thread has to wait for, for the first time, costs some bytes once.
        long least = Enumerable.Range(0, 5).Min(_ =>
        {
            long before = GC.GetAllocatedBytesForCurrentThread();
            for (int i = 0; i < 20; i++) cluster.Decode(sequences, i);
            return GC.GetAllocatedBytesForCurrentThread() - before;
        });
        Assert.Equal(0, least);
    }

    [Fact]
    public void A_timeline_shows_rows_away_while_others_are_computed_and_no_lane_does_two_things_at_a_time()
    {
        using var cluster = new ExpertCluster(model, 3, Dealt, ExpertCluster.Patient with { MicroBatches = MicroBatchMode.Two });
        // Nobody answers before the rank has sent the rows of both micro-batches, and computed those that it keeps of the first.
        var routed = new int[cluster.Layers.Max() + 1];
        foreach (ExpertSilo silo in cluster.Silos)
        {
            silo.Transport.Handle(ExpertService.RequestKind, new Answers((request, reply) =>
            {
                int layer = request.Layer;
                Assert.True(SpinWait.SpinUntil(() => Volatile.Read(ref routed[layer]) == 2, Pair.Long));
                silo.Service.Handle(request, reply);
            }));
        }

        cluster.Transformer.Probe = new Killer(layer => Interlocked.Increment(ref routed[layer]));
        cluster.Transformer.Timeline = cluster.Dispatch.Timeline = new StepTimeline(TimeProvider.System);
        cluster.Step(cluster.NewSequence(), new int[9]);
        StepSpan[] spans = cluster.Dispatch.Timeline.Spans.ToArray();
        Assert.Equal(0, cluster.Dispatch.Timeline.Dropped);
        Assert.Equal(5, cluster.Dispatch.TimelineLanes.Count);
        foreach (IGrouping<int, StepSpan> lane in spans.GroupBy(span => span.Lane))
        {
            long end = long.MinValue;
            foreach (StepSpan span in lane.OrderBy(span => span.Start))
            {
                Assert.True(span.Start >= end && span.End >= span.Start);
                end = span.End;
            }
        }

        StepSpan away = spans.First(span => span.Activity == StepActivity.RoundTrip && span.MicroBatch == 0);
        Assert.Contains(spans, span => span.Activity == StepActivity.RoutedExperts && span.Start >= away.Start && span.Start < away.End);
        using var stream = new MemoryStream();
        ChromeTrace.Write(stream, [new TraceProcess("rank \"0\"", spans, cluster.Dispatch.TimelineLanes)], TimeProvider.System.TimestampFrequency);
        using var json = System.Text.Json.JsonDocument.Parse(stream.ToArray());
        Assert.Equal(spans.Length + 6, json.RootElement.GetProperty("traceEvents").GetArrayLength());
    }

    [Fact]
    public void Requests_that_cannot_be_right_are_refused()
    {
        using var cluster = new ExpertCluster(model, 2, (_, expert) => [expert % 2]);
        TransportPeer peer = cluster.Silos[0].Transport.Connect(cluster.Silos[1].Transport.Address);
        (int Rows, int Columns, ElementType Type, int[] Pairs, string Message)[] cases =
        [
            (1, 200, ElementType.F32, [1, 1], "row 1 of 1"),
            (1, 200, ElementType.F32, [-1, 1], "row -1 of 1"),
            (1, 200, ElementType.F32, [0, 2], "expert 2 of layer 1 is not held here"),
            (1, 200, ElementType.F32, [0, 16], "expert 16 of layer 1 is not held here"),
            (1, 200, ElementType.F32, [0, -1], "expert -1 of layer 1 is not held here"),
            (1, 200, ElementType.F32, [0], "no request for 1 rows"),
            (0, 200, ElementType.F32, [0, 1], "no request for 0 rows"),
            (int.MaxValue, 200, ElementType.F32, [0, 1], "no request for 2147483647 rows"),
            (1, 100, ElementType.F32, [0, 1], "this model has 200"),
            (1, 200, ElementType.I32, [0, 1], "not understood"),
        ];
        foreach ((int rows, int columns, ElementType type, int[] pairs, string message) in cases)
        {
            using TensorCall call = peer.Rent(832 + (4 * pairs.Length));
            call.Request.Clear();
            System.Runtime.InteropServices.MemoryMarshal.AsBytes(pairs.AsSpan()).CopyTo(call.Request[832..]);
            (call.Kind, call.Layer, call.Rows, call.Columns, call.ElementType) = (ExpertService.RequestKind, 1, rows, columns, type);
            call.Send(Pair.Long);
            Assert.Equal(CallStatus.Rejected, call.WaitForReply());
            Assert.Contains(message, call.ErrorMessage, StringComparison.Ordinal);
        }
    }

    private sealed class Killer(Action<int> onLayer) : IForwardProbe
    {
        public void Routed(int layer, ReadOnlySpan<int> expertIds, ReadOnlySpan<float> weights) => onLayer(layer);

        public void LayerOutput(int layer, ReadOnlySpan<float> hidden)
        {
        }

        public void KeysSelected(int layer, int row, ReadOnlySpan<int> positions)
        {
        }
    }
}
