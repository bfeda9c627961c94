using System.CommandLine;
using Conclave.Cli.Local;

namespace Conclave.Cli.Admin;

/// <summary>The options of commands that look after a running cluster: how to reach it, and as what its answer is to be printed.</summary>
internal sealed class AdminOptions
{
    private readonly ClusterOptions _cluster = new(ClusterOptions.Side.Client);
    private readonly LocalClusterOptions _local = new();
    private readonly Option<string?> _model = new("--model") { Description = "The model's name: the name of its directory (default: that of the local cluster, else 'demo')", HelpName = "NAME" };
    private readonly Option<bool> _json = new("--json") { Description = "Print JSON" };

    public void AddTo(Command command)
    {
        _cluster.AddTo(command);
        _local.AddTo(command);
        command.Add(_model);
        command.Add(_json);
    }

    public bool Json(ParseResult parsed) => parsed.GetValue(_json);

    /// <summary>Connects to the cluster that the options name, else to the local cluster.</summary>
    /// <exception cref="InvalidOperationException">It cannot be reached.</exception>
    public async Task<AdminClient> Connect(ParseResult parsed, CancellationToken cancellationToken)
    {
        if (_cluster.IsGiven(parsed)) return await AdminClient.Open(_cluster.Membership(parsed), ModelName(parsed.GetValue(_model)) ?? "demo", cancellationToken);
        LocalClusterDirectory directory = _local.Directory(parsed);
        LocalClusterState state = directory.Read()
            ?? throw new ArgumentException($"give --redis or --primary of the cluster, or start a local one with 'conclave cluster up' (none is kept in {directory.Path})");
        return await AdminClient.Open(directory.Membership(state), ModelName(parsed.GetValue(_model)) ?? ModelName(state.Plan.Model)!, cancellationToken);
    }

    /// <summary>Directories are welcome too.</summary>
    private static string? ModelName(string? model) => model is null ? null : Path.GetFileName(Path.TrimEndingDirectorySeparator(model));
}
