using System.Diagnostics.Metrics;

namespace Conclave.Engine.Tests;

/// <summary>Runs alone: a listener hears every engine of the process.</summary>
[CollectionDefinition(nameof(MetricsTests), DisableParallelization = true)]
[Collection(nameof(MetricsTests))]
public sealed class MetricsTests : IDisposable
{
    private readonly TinyModel _model = new();

    public void Dispose() => _model.Dispose();

    [Fact]
    public async Task Instruments_count_what_was_done()
    {
        Dictionary<string, double> sums = [];
        using var listener = new MeterListener
        {
            InstrumentPublished = (instrument, listener) =>
            {
                if (instrument.Meter.Name == "Conclave.Engine")
                    listener.EnableMeasurementEvents(instrument);
            },
        };
        listener.SetMeasurementEventCallback<long>((instrument, value, _, _) => Add(instrument, value));
        listener.SetMeasurementEventCallback<int>((instrument, value, _, _) => Add(instrument, value));
        listener.SetMeasurementEventCallback<double>((instrument, value, _, _) => Add(instrument, value));
        listener.Start();

        using (Engine engine = _model.Engine())
        {
            using Sequence sequence = engine.Submit(_model.Golden());
            await sequence.ReadAllAsync();
            listener.RecordObservableInstruments();
        }

        Assert.Equal(40, sums["conclave.engine.prompt_tokens"]);
        Assert.Equal(64, sums["conclave.engine.generated_tokens"]);
        Assert.InRange(sums["conclave.engine.kernel_time"], 1e-3, sums["conclave.engine.step_duration"]);
        Assert.Equal(200, sums["conclave.engine.kv_pages"]);
        Assert.Equal(0, sums["conclave.engine.kv_pages_in_use"]);
        Assert.Equal(0, sums["conclave.engine.running"]);
        Assert.Equal(0, sums["conclave.engine.waiting"]);
        Assert.True(sums["conclave.engine.step_duration"] > 0);

        void Add(Instrument instrument, double value)
        {
            lock (sums)
                sums[instrument.Name] = sums.GetValueOrDefault(instrument.Name) + value;
        }
    }
}
