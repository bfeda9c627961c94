using System.Diagnostics.Metrics;

namespace Conclave.Engine.Tests;

/// <summary>Runs alone: it counts the bytes of the whole process.</summary>
[CollectionDefinition(nameof(AllocationTests), DisableParallelization = true)]
[Collection(nameof(AllocationTests))]
public sealed class AllocationTests : IDisposable
{
    private const int Streams = 4;
    private const int Warmup = 600;
    private const int Window = 100;
    private const int Windows = 12;

    private readonly TinyModel _model = new();

    public void Dispose() => _model.Dispose();

    /// <summary>
    /// Greedy, sampled, penalized and log-probability streams at once, with somebody listening to the metrics. Threads of the test host
    /// allocate now and then, so one quiet window of several must be at exactly nothing; an allocation a token would show in all.
    /// </summary>
    [Fact]
    public void Decoding_allocates_nothing_when_the_consumer_polls()
    {
        using MeterListener listener = Listen();
        using Engine engine = _model.Engine(maxBatch: Streams);
        Sequence[] sequences = Start(engine);
        long least = long.MaxValue;
        for (int window = -Warmup / Window; window < Windows; window++)
        {
            long before = GC.GetTotalAllocatedBytes(precise: true);
            foreach (Sequence sequence in sequences)
                Poll(sequence, Window);
            long allocated = GC.GetTotalAllocatedBytes(precise: true) - before;
            least = window >= 0 ? Math.Min(least, allocated) : least;
        }

        Assert.Equal(0, least);
        foreach (Sequence sequence in sequences)
            sequence.Dispose();
    }

    [Fact]
    public async Task Decoding_allocates_nothing_when_the_consumer_awaits()
    {
        using Engine engine = _model.Engine(maxBatch: Streams);
        Sequence[] sequences = Start(engine);
        using var cancellation = new CancellationTokenSource();
        long least = long.MaxValue;
        for (int window = -Warmup / Window; window < Windows; window++)
        {
            long before = GC.GetTotalAllocatedBytes(precise: true);
            for (int i = 0; i < Window; i++)
            {
                foreach (Sequence sequence in sequences)
                {
                    await sequence.WaitToReadAsync(cancellation.Token);
                    sequence.TryRead(out _);
                }
            }

            long allocated = GC.GetTotalAllocatedBytes(precise: true) - before;
            least = window >= 0 ? Math.Min(least, allocated) : least;
        }

        Assert.Equal(0, least);
        foreach (Sequence sequence in sequences)
            sequence.Dispose();
    }

    private static void Poll(Sequence sequence, int count)
    {
        var spinner = default(SpinWait);
        for (int read = 0; read < count;)
        {
            if (sequence.TryRead(out _))
                read++;
            else
                spinner.SpinOnce(sleep1Threshold: -1);
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

    private Sequence[] Start(Engine engine)
    {
        SamplingParameters[] sampling =
        [
            new() { Temperature = 0 },
            new() { Temperature = 1, TopP = 0.9f, Seed = 1 },
            new() { Temperature = 0.8f, FrequencyPenalty = 0.1f, PresencePenalty = 0.1f, Seed = 2 },
            new() { Temperature = 1, TopLogprobs = 5, Seed = 3 },
        ];
        int maxTokens = Warmup + (Window * Windows);
        return [.. sampling.Select(parameters => engine.Submit(_model.Golden(maxTokens) with { Sampling = parameters }))];
    }
}
