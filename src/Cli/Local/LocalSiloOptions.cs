using System.CommandLine;
using System.Globalization;

namespace Conclave.Cli.Local;

/// <summary>Options of a local cluster that its silos and gateways are to be given. Their values are handed on as they are: the silo checks them.</summary>
internal sealed class LocalSiloOptions
{
    private readonly Option<string?> _model = new("--model") { Description = "Checkpoint directory (default: the bundled demo model)", HelpName = "DIR" };
    private readonly Option<int?> _threads = new("--threads") { Description = "Threads of each silo (default: the machine's, shared out)" };
    private readonly Option<int> _replicas;
    private readonly Option<string?> _chatFormat = new("--chat-format") { Description = "Force the chat format", HelpName = "NAME" };

    // Those that a single process takes too, since they can change what is computed or how.
    private readonly Option<string?>[] _engine =
    [
        new("--dispatch-dtype") { Description = "Type of activations between silos: f32, bf16 or fp8", HelpName = "TYPE" },
        new("--micro-batches") { Description = "1, 2 or auto", HelpName = "N" },
        new("--max-batch") { Description = "Most sequences in one step", HelpName = "N" },
        new("--kv-memory") { Description = "Memory for KV pages of each silo, such as 512M", HelpName = "SIZE" },
        new("--log-level") { Description = "Least severe log level", HelpName = "LEVEL" },
    ];

    private readonly Option<string?>[] _silo = [new("--slots") { Description = "Slots of expert memory of each silo", HelpName = "N" }];
    private readonly Option<string?> _suspectTimeout = new("--suspect-timeout") { Description = "Seconds of silence after which silos and gateways take a silo for dead", HelpName = "S" };
    private readonly Option<string?> _patience = new("--patience") { Description = "Seconds that gateways keep a request trying while no silo can serve it", HelpName = "S" };

    public LocalSiloOptions(int defaultReplicas) =>
        _replicas = new Option<int>("--replicas") { Description = "Replicas of every expert, on different silos", DefaultValueFactory = _ => defaultReplicas, HelpName = "N" };

    public void AddTo(Command command)
    {
        Option[] options = [_model, _threads, _replicas, .. _silo, _suspectTimeout, _patience, .. _engine, _chatFormat];
        foreach (Option option in options) command.Add(option);
    }

    /// <summary>The checkpoint's directory, in full: the processes may run elsewhere.</summary>
    public string Model(ParseResult parsed) => Path.GetFullPath(parsed.GetValue(_model) ?? DemoModel.Find());

    public int Replicas(ParseResult parsed) => parsed.GetValue(_replicas);

    /// <summary>What each of <paramref name="siloCount"/> silos is told.</summary>
    public IReadOnlyList<string> Arguments(ParseResult parsed, int siloCount)
    {
        int threads = parsed.GetValue(_threads) ?? Math.Max(1, Environment.ProcessorCount / Math.Max(1, siloCount));
        return ["--threads", Number(threads), "--replicas", Number(Replicas(parsed)), .. Given(parsed, [.. _silo, _suspectTimeout]), .. Given(parsed, _engine)];
    }

    /// <summary>What each gateway is told.</summary>
    public IReadOnlyList<string> GatewayArguments(ParseResult parsed) => Given(parsed, [_chatFormat, _suspectTimeout, _patience]);

    /// <summary>What a single process is told that computes the same.</summary>
    public IReadOnlyList<string> ServeArguments(ParseResult parsed) => ["--model", Model(parsed), .. Given(parsed, _engine), .. Given(parsed, [_chatFormat])];

    private static string[] Given(ParseResult parsed, IEnumerable<Option<string?>> options) =>
        [.. options.SelectMany(option => parsed.GetValue(option) is { } value ? new[] { option.Name, value } : [])];

    private static string Number(int number) => number.ToString(CultureInfo.InvariantCulture);
}
