using System.CommandLine;
using Conclave.Grains.Transport;

namespace Conclave.Cli.Commands.Bench;

/// <summary>One line of the result.</summary>
/// <param name="Wire">unix or tcp.</param>
/// <param name="SizeBytes">Payload of each request and of each reply.</param>
/// <param name="InFlight">Requests under way at a time.</param>
/// <param name="P50Us">Median round trip.</param>
/// <param name="P99Us">99th percentile.</param>
/// <param name="GigabytesPerSecond">Payload moved, both ways together.</param>
/// <param name="FloorP50Us">Median round trip of a plain TCP ping-pong of the same size in the same run, one at a time.</param>
/// <param name="AllocatedBytesPerCall">Managed bytes that the calling process allocated a call.</param>
internal sealed record TransportFigures(string Wire, int SizeBytes, int InFlight, double P50Us, double P99Us, double GigabytesPerSecond, double FloorP50Us, double AllocatedBytesPerCall)
{
    /// <summary>Median round trip over the floor; for one at a time only.</summary>
    public double? Ratio => InFlight == 1 ? P50Us / FloorP50Us : null;
}

/// <summary>
/// <c>conclave bench transport</c>: round trips of the tensor transport between two processes of this machine, beside a plain TCP ping-pong.
/// The replies are as large as the requests; the handler fills them with nothing, so that the figures are the transport's alone.
/// </summary>
internal static class TransportBench
{
    private static readonly int[] SizesBytes = [0, 8 << 10, 64 << 10, 512 << 10, 4 << 20];

    private static readonly Option<double> Seconds = new("--seconds") { Description = "How long to measure in all", DefaultValueFactory = _ => 20 };
    private static readonly Option<bool> Json = new("--json") { Description = "Print the figures as JSON" };
    private static readonly Option<int> SpinUs = new("--spin-us") { Description = "How long both ends look at the socket before they sleep", DefaultValueFactory = _ => new TransportOptions().SpinUs };
    private static readonly Option<bool> Answer = new("--answer") { Description = "Be the second process", Hidden = true };

    public static Command Create()
    {
        Seconds.Validators.Add(result =>
        {
            if (result.GetValueOrDefault<double>() is not (> 0 and < 100_000)) result.AddError("--seconds must be a number above 0");
        });
        var command = new Command("transport", "Round trips between two processes over Unix socket and TCP, beside a plain TCP ping-pong") { Seconds, Json, SpinUs, Answer };
        command.SetAction(async (parsed, cancellationToken) => parsed.GetValue(Answer) ? await AnswerUntilClosed(parsed.GetValue(SpinUs), cancellationToken) : await Run(parsed, cancellationToken));
        return command;
    }

    /// <summary>The second process: prints the port of the floor and the address of its transport.</summary>
    private static async Task<int> AnswerUntilClosed(int spinUs, CancellationToken cancellationToken)
    {
        using var transport = new TensorTransport(new TransportOptions { SpinUs = spinUs });
        transport.Handle(TransportRounds.Kind, new SameSize());
        transport.Start();
        Console.WriteLine(PlainPingPong.Serve());
        Console.WriteLine(transport.Address);
        while (await Console.In.ReadLineAsync(cancellationToken) is not null)
        {
        }

        return CommandLine.Done;
    }

    private static async Task<int> Run(ParseResult parsed, CancellationToken cancellationToken)
    {
        int spinUs = parsed.GetValue(SpinUs);
        using var child = new ChildProcess("bench", "transport", "--answer", "--spin-us", $"{spinUs}");
        int floorPort = int.Parse(await child.ReadLine(cancellationToken), System.Globalization.CultureInfo.InvariantCulture);
        string address = await child.ReadLine(cancellationToken);
        TransportFigures[] figures = new TransportRounds(address, floorPort, spinUs, TimeSpan.FromSeconds(parsed.GetValue(Seconds))).Measure(SizesBytes);
        if (parsed.GetValue(Json)) BenchOptions.PrintCamelCaseJson(figures);
        else Show(figures);
        return CommandLine.Done;
    }

    private static void Show(TransportFigures[] figures)
    {
        var table = new TextTable(1, "wire", "size", "in flight", "p50 us", "p99 us", "GB/s", "floor us", "ratio", "bytes");
        foreach (TransportFigures f in figures)
        {
            table.AddRow(f.Wire, Size(f.SizeBytes), $"{f.InFlight}", $"{f.P50Us:F1}", $"{f.P99Us:F1}", $"{f.GigabytesPerSecond:F2}",
                f.Ratio is null ? "" : $"{f.FloorP50Us:F1}", f.Ratio is { } ratio ? $"{ratio:F2}" : "", $"{f.AllocatedBytesPerCall:F1}");
        }

        table.Write();
        Console.WriteLine("floor: p50 of a plain TCP ping-pong; ratio: p50 over it; bytes: managed ones allocated a call");
    }

    private static string Size(int sizeBytes) => sizeBytes switch
    {
        >= 1 << 20 => $"{sizeBytes >> 20} MiB",
        >= 1 << 10 => $"{sizeBytes >> 10} KiB",
        _ => $"{sizeBytes} B",
    };

    /// <summary>Answers with as many bytes as were asked with.</summary>
    private sealed unsafe class SameSize : IRequestHandler
    {
        public void Handle(TensorRequest request, TensorReply reply) => reply.Reserve(request.SizeBytes);
    }
}
