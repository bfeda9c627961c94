using System.CommandLine;
using Conclave.Cli.Local;

namespace Conclave.Cli.Commands;

/// <summary><c>conclave cluster</c>: a cluster of processes on this machine, to try out and to develop with.</summary>
internal static class ClusterCommands
{
    private static readonly LocalClusterOptions Local = new();

    public static Command Create() => new("cluster", "A cluster of processes on this machine: up, down, add, kill, logs")
    {
        ClusterUpCommand.Create(Local),
        Down(),
        Add(),
        Kill(),
        ClusterLogsCommand.Create(Local),
    };

    /// <summary>For progress: what is printed on stdout stays the result.</summary>
    public static void Report(string line) => Console.Error.WriteLine(line);

    private static Command Down()
    {
        var command = new Command("down", "End all processes of the cluster and remove its state and logs");
        Local.AddTo(command);
        command.SetAction(async parsed =>
        {
            LocalCluster cluster = LocalCluster.Open(Local.Directory(parsed), Report);
            using IDisposable hold = cluster.Hold();
            int count = cluster.State.Members.Count(member => member.IsAlive);
            await cluster.Down();
            Console.WriteLine($"ended {count} processes");
            return CommandLine.Done;
        });
        return command;
    }

    private static Command Add()
    {
        var gateway = new Option<bool>("--gateway") { Description = "Add a gateway instead of a silo" };
        var command = new Command("add", "Add a silo while the cluster serves, and wait until it serves too") { gateway };
        Local.AddTo(command);
        command.SetAction(async (parsed, cancellationToken) =>
        {
            LocalCluster cluster = LocalCluster.Open(Local.Directory(parsed), Report);
            using IDisposable hold = cluster.Hold();
            Member added = parsed.GetValue(gateway) ? cluster.StartGateway() : cluster.StartSilo();
            await cluster.WaitForReady(added, cancellationToken);
            Console.WriteLine(added.Name);
            return CommandLine.Done;
        });
        return command;
    }

    private static Command Kill()
    {
        var name = new Argument<string>("N") { Description = "A silo's number, or a name such as gateway-1" };
        var signal = new Option<Signal>("--signal") { Description = "Signal to send", DefaultValueFactory = _ => Signal.Kill };
        var command = new Command("kill", "Kill a process of the cluster (kill -9), or send it another signal") { name, signal };
        Local.AddTo(command);
        command.SetAction(async parsed =>
        {
            LocalCluster cluster = LocalCluster.Open(Local.Directory(parsed), Report);
            using IDisposable hold = cluster.Hold();
            Member member = cluster.Find(parsed.GetValue(name)!);
            if (!member.Process.Send(parsed.GetValue(signal))) throw new InvalidOperationException($"{member.Name} does not run any more");
            if (parsed.GetValue(signal) == Signal.Kill) await member.Process.WaitForExit(TimeSpan.FromSeconds(10));
            Console.WriteLine($"{member.Name} (process {member.Process.Id}): {parsed.GetValue(signal)}");
            return CommandLine.Done;
        });
        return command;
    }
}
