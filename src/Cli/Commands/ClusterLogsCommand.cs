using System.CommandLine;
using Conclave.Cli.Local;

namespace Conclave.Cli.Commands;

/// <summary><c>conclave cluster logs</c>: what the processes say, each line with the name of its process.</summary>
internal static class ClusterLogsCommand
{
    private static readonly TimeSpan Poll = TimeSpan.FromMilliseconds(200);
    private static readonly Argument<string?> Name = new("NAME") { Description = "One process (a silo's number, or a name such as gateway-1); default: all", Arity = ArgumentArity.ZeroOrOne };
    private static readonly Option<bool> Follow = new("--follow", "-f") { Description = "Go on as they say more, until Ctrl-C or the cluster's end" };

    public static Command Create(LocalClusterOptions local)
    {
        var command = new Command("logs", "Show what the processes say") { Name, Follow };
        local.AddTo(command);
        command.SetAction((parsed, cancellationToken) => Run(local.Directory(parsed), parsed, cancellationToken));
        return command;
    }

    private static async Task<int> Run(LocalClusterDirectory directory, ParseResult parsed, CancellationToken cancellationToken)
    {
        LocalCluster cluster = LocalCluster.Open(directory, ClusterCommands.Report);
        string? only = parsed.GetValue(Name) is { } name ? cluster.Find(name).Name : null;
        var read = new Dictionary<string, long>();
        do
        {
            // Members may have been added since.
            foreach (Member member in directory.Read()?.Members ?? [])
                if (only is null || only == member.Name) read[member.Name] = await Show(member.Name, directory.LogPath(member.Name), read.GetValueOrDefault(member.Name), cancellationToken);
            if (parsed.GetValue(Follow)) await Task.Delay(Poll, cancellationToken);
        }
        while (parsed.GetValue(Follow) && Directory.Exists(directory.Path));
        return CommandLine.Done;
    }

    /// <summary>Shows the whole lines from <paramref name="position"/> on; returns where the next one begins.</summary>
    private static async Task<long> Show(string name, string path, long position, CancellationToken cancellationToken)
    {
        if (!File.Exists(path)) return position;
        await using var stream = new FileStream(path, FileMode.Open, FileAccess.Read, FileShare.ReadWrite | FileShare.Delete);
        if (stream.Length <= position) return position;
        stream.Position = position;
        byte[] bytes = new byte[stream.Length - position];
        await stream.ReadExactlyAsync(bytes, cancellationToken);
        int end = Array.LastIndexOf(bytes, (byte)'\n') + 1;
        foreach (string line in System.Text.Encoding.UTF8.GetString(bytes, 0, end).Split('\n')[..^1])
            await Console.Out.WriteLineAsync($"{name,-9} | {line}");
        return position + end;
    }
}
