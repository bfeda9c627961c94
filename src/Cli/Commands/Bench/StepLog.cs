using System.Diagnostics;
using System.Diagnostics.Metrics;
using System.Runtime.InteropServices;

namespace Conclave.Cli.Commands.Bench;

/// <summary>One step of an engine, as its own histogram measured it.</summary>
/// <param name="EndTicks">When it ended, ticks of <see cref="Stopwatch"/>: one clock for all processes of a machine.</param>
/// <param name="DurationMs">How long it took.</param>
/// <param name="PromptTokens">Prompt tokens it computed; 0 for a step that only decoded.</param>
/// <param name="GeneratedTokens">Tokens it generated.</param>
internal readonly record struct LoggedStep(long EndTicks, double DurationMs, long PromptTokens, long GeneratedTokens);

/// <summary>
/// Writes every step of this process's engine to a file, for measurements: the instruments that the engine has anyway are read where they are recorded, on the engine's thread.
/// A record is written at once, so that a killed process leaves all of them.
/// </summary>
internal sealed class StepLog : IDisposable
{
    private readonly FileStream _file;
    private readonly MeterListener _listener = new();
    private long _promptTokens, _generatedTokens;

    /// <summary>Begins the file of the silo <paramref name="silo"/> in <paramref name="directory"/>.</summary>
    public StepLog(string directory, string silo)
    {
        _file = new FileStream(PathOf(directory, silo), FileMode.Create, FileAccess.Write, FileShare.Read, bufferSize: 0);
        _listener.InstrumentPublished = (instrument, listener) =>
        {
            if (instrument.Name is "conclave.engine.step_duration" or "conclave.engine.prompt_tokens" or "conclave.engine.generated_tokens") listener.EnableMeasurementEvents(instrument);
        };
        _listener.SetMeasurementEventCallback<long>((instrument, value, _, _) =>
        {
            if (instrument.Name == "conclave.engine.prompt_tokens") _promptTokens = value;
            else _generatedTokens = value;
        });
        _listener.SetMeasurementEventCallback<double>((_, durationMs, _, _) => Add(durationMs));
        _listener.Start();
    }

    /// <summary>All steps of <paramref name="silo"/> so far.</summary>
    public static LoggedStep[] Read(string directory, string silo)
    {
        byte[] bytes = File.ReadAllBytes(PathOf(directory, silo));
        int size = Marshal.SizeOf<LoggedStep>();
        return MemoryMarshal.Cast<byte, LoggedStep>(bytes.AsSpan(0, bytes.Length / size * size)).ToArray();
    }

    public void Dispose()
    {
        _listener.Dispose();
        _file.Dispose();
    }

    private static string PathOf(string directory, string silo) => Path.Combine(directory, $"{silo}.steps");

    private void Add(double durationMs)
    {
        var step = new LoggedStep(Stopwatch.GetTimestamp(), durationMs, _promptTokens, _generatedTokens);
        _file.Write(MemoryMarshal.AsBytes(new ReadOnlySpan<LoggedStep>(in step)));
    }
}
