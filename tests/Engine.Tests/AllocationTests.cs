using System.Diagnostics.Metrics;
using Conclave.Engine.Speculation;

namespace Conclave.Engine.Tests;

/// <summary>Runs alone: it counts the bytes of the whole process.</summary>
[CollectionDefinition(nameof(AllocationTests), DisableParallelization = true)]
[Collection(nameof(AllocationTests))]
public sealed class AllocationTests : IDisposable
{
    private const int Streams = 4;
    private const int Window = 5;
    private const int WarmupWindows = 40;
    private const int Windows = 60;

    // With an MTP module: drafts are made and verified.
    private readonly TinyModel _model = new("mtp");

    public void Dispose() => _model.Dispose();

    /// <summary>Greedy, sampled, penalized and log-probability streams at once, with somebody listening to the metrics.</summary>
    [Fact]
    public void Decoding_allocates_nothing_when_the_consumer_polls()
    {
        using MeterListener listener = Listen();
        using Engine engine = _model.Engine(maxBatch: Streams);
        Sequence[] sequences = Start(engine, maxTokens: Window * (WarmupWindows + Windows));
        Poll(sequences, Window * WarmupWindows);
        var quietest = new QuietestWindow();
        long loopBefore = _model.Dispatch.LoopAllocatedBytes;
        long readerBefore = GC.GetAllocatedBytesForCurrentThread();
        for (int window = 0; window < Windows; window++)
        {
            quietest.Begin();
            Poll(sequences, Window);
            quietest.End(counts: true);
        }

        Assert.Equal(0, GC.GetAllocatedBytesForCurrentThread() - readerBefore);
        AssertOnlyOnce(_model.Dispatch.LoopAllocatedBytes - loopBefore);
        Assert.Equal(0, quietest.AllocatedBytes);
        Array.ForEach(sequences, sequence => sequence.Dispose());
    }

    /// <summary>Without the test framework's synchronization context, which allocates for every continuation.</summary>
    [Fact]
    public Task Decoding_allocates_nothing_when_the_consumer_awaits() => Task.Run(AwaitAsync);

    private async Task AwaitAsync()
    {
        // Once all prompts are computed a step begins when a reader waits for it: else the machine would decide whether one ever has to wait.
        using var begin = new AutoResetEvent(false);
        Sequence[]? started = null;
        EngineOptions options = _model.Options() with
        {
            Speculation = SpeculationOptions.Always(2),
            BeforeStep = () =>
            {
                if (Volatile.Read(ref started) is { } all && Array.TrueForAll(all, static sequence => sequence.OutputCount > 0))
                    begin.WaitOne(TimeSpan.FromMinutes(2));
            },
        };
        using Engine engine = new(_model.Transformer, options, TimeProvider.System);
        _model.Dispatch.Gate.Reset();
        Sequence[] sequences = Start(engine, maxTokens: 3 * Window * (WarmupWindows + Windows));
        Volatile.Write(ref started, sequences);
        _model.Dispatch.Gate.Set();
        using var cancellation = new CancellationTokenSource();
        var quietest = new QuietestWindow();
        long loopBefore = 0;
        for (int window = -WarmupWindows; window < Windows; window++)
        {
            if (window == 0)
                loopBefore = _model.Dispatch.LoopAllocatedBytes;
            quietest.Begin();
            for (int i = 0; i < Window; i++)
            {
                ValueTask<bool> waiting = sequences[i % Streams].WaitToReadAsync(cancellation.Token);
                if (!waiting.IsCompleted)
                    begin.Set();
                if (!await waiting)
                    Assert.Fail("ended too soon");
                foreach (Sequence sequence in sequences)
                {
                    while (sequence.TryRead(out _))
                    {
                    }
                }
            }

            quietest.End(counts: window >= 0);
        }

        Volatile.Write(ref started, null);
        begin.Set();
        AssertOnlyOnce(_model.Dispatch.LoopAllocatedBytes - loopBefore);
        Assert.Equal(0, quietest.AllocatedBytes);
        Array.ForEach(sequences, sequence => sequence.Dispose());
    }

    // A lock that is contended for the first time makes itself an event: less than a byte a token is nothing that tokens cost.
    private static void AssertOnlyOnce(long loopBytes) => Assert.InRange(loopBytes, 0, Streams * Window * Windows);

    private static void Poll(Sequence[] sequences, int count)
    {
        foreach (Sequence sequence in sequences)
            Poll(sequence, count);
    }

    private static void Poll(Sequence sequence, int count)
    {
        var spinner = default(SpinWait);
        for (int read = 0; read < count;)
        {
            // Asked first: between a look for a token and one for the end the last tokens may come, and the end with them.
            FinishReason end = sequence.FinishReason;
            if (sequence.TryRead(out _))
                read++;
            else if (end == FinishReason.None)
                spinner.SpinOnce(sleep1Threshold: -1);
            else
                Assert.Fail($"ended ({end}) after {read} of {count} tokens");
        }
    }

    private static MeterListener Listen()
    {
        var listener = new MeterListener
        {
            InstrumentPublished = static (instrument, listener) =>
            {
                if (instrument.Meter.Name == "Conclave.Engine")
                    listener.EnableMeasurementEvents(instrument);
            },
        };
        listener.SetMeasurementEventCallback<long>(static (_, _, _, _) => { });
        listener.SetMeasurementEventCallback<double>(static (_, _, _, _) => { });
        listener.Start();
        return listener;
    }

    private Sequence[] Start(Engine engine, int maxTokens)
    {
        SamplingParameters[] sampling =
        [
            new() { Temperature = 0 },
            new() { Temperature = 1, TopP = 0.9f, Seed = 1 },
            new() { Temperature = 0.8f, FrequencyPenalty = 0.1f, PresencePenalty = 0.1f, Seed = 2 },
            new() { Temperature = 1, TopLogprobs = 5, TopK = 20, MinP = 0.01f, RepetitionPenalty = 1.1f, LogitBias = [new(3, 1)], Seed = 3 },
        ];
        return [.. sampling.Select(parameters => engine.Submit(_model.Golden(maxTokens) with { Sampling = parameters }))];
    }

    /// <summary>
    /// Bytes of all threads in the quietest of many short windows. The test host's threads allocate now and then, so only some windows are
    /// theirs alone; what every token allocates would show in each.
    /// </summary>
    private sealed class QuietestWindow
    {
        private long _before;

        public long AllocatedBytes { get; private set; } = long.MaxValue;

        public void Begin() => _before = GC.GetTotalAllocatedBytes(precise: true);

        public void End(bool counts)
        {
            long allocated = GC.GetTotalAllocatedBytes(precise: true) - _before;
            if (counts)
                AllocatedBytes = Math.Min(AllocatedBytes, allocated);
        }
    }
}
