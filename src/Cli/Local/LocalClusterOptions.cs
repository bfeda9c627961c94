using System.CommandLine;

namespace Conclave.Cli.Local;

/// <summary>Which local cluster a command means.</summary>
internal sealed class LocalClusterOptions
{
    private readonly Option<string> _name = new("--name") { Description = "Name of the local cluster", DefaultValueFactory = _ => "local", HelpName = "NAME" };
    private readonly Option<string?> _state = new("--state") { Description = "Directory of its state and logs (default: one below the system's temporary directory, by user and name)", HelpName = "DIR" };

    public void AddTo(Command command)
    {
        command.Add(_name);
        command.Add(_state);
    }

    public LocalClusterDirectory Directory(ParseResult parsed) =>
        parsed.GetValue(_state) is { } path ? new LocalClusterDirectory(path) : LocalClusterDirectory.Named(parsed.GetValue(_name)!);
}
