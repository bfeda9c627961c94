using System.Text.Json;
using Conclave.Model;

namespace Conclave.Grains;

/// <summary>One process of a trace: a rank, or a silo that computes for others.</summary>
/// <param name="Name">Shown as the process' name.</param>
/// <param name="Spans">Its activities, all by the same clock.</param>
/// <param name="Lanes">Names of the lanes that spans are numbered with.</param>
public sealed record TraceProcess(string Name, IReadOnlyList<StepSpan> Spans, IReadOnlyList<string> Lanes);

/// <summary>Writes timelines in the Trace Event Format of Chrome, which Perfetto and chrome://tracing open.</summary>
public static class ChromeTrace
{
    /// <summary>Writes <paramref name="processes"/>; times count from the first activity.</summary>
    /// <param name="stream">Where to.</param>
    /// <param name="processes">Who did what.</param>
    /// <param name="frequency">Time stamps a second.</param>
    public static void Write(Stream stream, IReadOnlyList<TraceProcess> processes, long frequency)
    {
        long origin = processes.SelectMany(process => process.Spans).Select(span => span.Start).DefaultIfEmpty().Min();
        using var json = new Utf8JsonWriter(stream);
        json.WriteStartObject();
        json.WriteString("displayTimeUnit", "ms");
        json.WriteStartArray("traceEvents");
        for (int id = 0; id < processes.Count; id++)
        {
            TraceProcess process = processes[id];
            Name(json, "process_name", id, 0, process.Name);
            for (int lane = 0; lane < process.Lanes.Count; lane++) Name(json, "thread_name", id, lane, process.Lanes[lane]);
            foreach (StepSpan span in process.Spans) Activity(json, id, span, origin, 1e6 / frequency);
        }

        json.WriteEndArray();
        json.WriteEndObject();
    }

    private static void Name(Utf8JsonWriter json, string what, int process, int lane, string name)
    {
        Event(json, "M", what, process, lane);
        json.WriteStartObject("args");
        json.WriteString("name", name);
        json.WriteEndObject();
        json.WriteEndObject();
    }

    private static void Activity(Utf8JsonWriter json, int process, in StepSpan span, long origin, double usPerTick)
    {
        Event(json, "X", NameOf(span.Activity), process, span.Lane);
        json.WriteString("cat", span.Activity is StepActivity.RoundTrip or StepActivity.Wait ? "communication" : "compute");
        json.WriteNumber("ts", Math.Round((span.Start - origin) * usPerTick, 3));
        json.WriteNumber("dur", Math.Round((span.End - span.Start) * usPerTick, 3));
        json.WriteStartObject("args");
        json.WriteNumber("layer", span.Layer);
        json.WriteNumber("microBatch", span.MicroBatch);
        json.WriteEndObject();
        json.WriteEndObject();
    }

    private static void Event(Utf8JsonWriter json, string phase, string name, int process, int lane)
    {
        json.WriteStartObject();
        json.WriteString("ph", phase);
        json.WriteString("name", name);
        json.WriteNumber("pid", process);
        json.WriteNumber("tid", lane);
    }

    private static string NameOf(StepActivity activity) => activity switch
    {
        StepActivity.Attention => "attention",
        StepActivity.Gate => "gate",
        StepActivity.Dispatch => "dispatch",
        StepActivity.RoutedExperts => "routed experts",
        StepActivity.DenseExperts => "dense or shared experts",
        StepActivity.Head => "head",
        StepActivity.Wait => "wait",
        StepActivity.Combine => "combine",
        StepActivity.RoundTrip => "rows at experts",
        _ => "done",
    };
}
