using System.CommandLine;
using System.Globalization;

namespace Conclave.Cli.Local;

/// <summary>Options of a local cluster that its silos and gateways are to be given.</summary>
internal sealed class LocalSiloOptions
{
    private readonly Option<string?> _model = new("--model") { Description = "Checkpoint directory (default: the bundled demo model)", HelpName = "DIR" };
    private readonly Option<int?> _threads = new("--threads") { Description = "Threads of each silo (default: the machine's, shared out)" };

    // Handed on word by word: the silo checks them.
    private readonly Option<string?>[] _handedOn =
    [
        new("--replicas") { Description = "Replicas of every expert, on different silos", HelpName = "N" },
        new("--slots") { Description = "Slots of expert memory of each silo", HelpName = "N" },
        new("--dispatch-dtype") { Description = "Type of activations between silos: f32, bf16 or fp8", HelpName = "TYPE" },
        new("--micro-batches") { Description = "1, 2 or auto", HelpName = "N" },
        new("--max-batch") { Description = "Most sequences in one step", HelpName = "N" },
        new("--kv-memory") { Description = "Memory for KV pages of each silo, such as 512M", HelpName = "SIZE" },
        new("--log-level") { Description = "Least severe log level of the silos", HelpName = "LEVEL" },
    ];

    private readonly Option<string?> _chatFormat = new("--chat-format") { Description = "Force the chat format", HelpName = "NAME" };

    public void AddTo(Command command)
    {
        command.Add(_model);
        command.Add(_threads);
        foreach (Option<string?> option in _handedOn) command.Add(option);
        command.Add(_chatFormat);
    }

    /// <summary>The checkpoint's directory, in full: the processes may run elsewhere.</summary>
    public string Model(ParseResult parsed) => Path.GetFullPath(parsed.GetValue(_model) ?? DemoModel.Find());

    /// <summary>What each of <paramref name="siloCount"/> silos is told.</summary>
    public IReadOnlyList<string> Arguments(ParseResult parsed, int siloCount)
    {
        int threads = parsed.GetValue(_threads) ?? Math.Max(1, Environment.ProcessorCount / Math.Max(1, siloCount));
        return ["--threads", threads.ToString(CultureInfo.InvariantCulture), .. _handedOn.SelectMany(option => parsed.GetValue(option) is { } value ? new[] { option.Name, value } : [])];
    }

    /// <summary>What each gateway is told.</summary>
    public IReadOnlyList<string> GatewayArguments(ParseResult parsed) => parsed.GetValue(_chatFormat) is { } format ? ["--chat-format", format] : [];
}
