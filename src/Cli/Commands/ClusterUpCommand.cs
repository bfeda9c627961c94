using System.CommandLine;
using System.Globalization;
using Conclave.Cli.Local;

namespace Conclave.Cli.Commands;

/// <summary><c>conclave cluster up</c>.</summary>
internal static class ClusterUpCommand
{
    private static readonly Option<int> Silos = new("--silos") { Description = "Silos, each a process with attention and experts", DefaultValueFactory = _ => 3 };
    private static readonly Option<int> Gateways = new("--gateways") { Description = "Gateways, each a process", DefaultValueFactory = _ => 1 };
    private static readonly Option<int> Port = new("--port") { Description = "HTTP port of the first gateway on 127.0.0.1, gRPC is the one after (0: free ones)", DefaultValueFactory = _ => 8080 };
    private static readonly Option<bool> NoRedis = new("--no-redis") { Description = "Keep membership in the first silo instead of a redis-server; the cluster then ends with that silo" };
    private static readonly LocalSiloOptions SiloOptions = new(defaultReplicas: 1);

    public static Command Create(LocalClusterOptions local)
    {
        var command = new Command("up", "Start redis-server, silos and a gateway as processes, and wait until a chat is answered") { Silos, Gateways, Port, NoRedis };
        SiloOptions.AddTo(command);
        local.AddTo(command);
        command.SetAction((parsed, cancellationToken) => Run(local, parsed, cancellationToken));
        return command;
    }

    private static async Task<int> Run(LocalClusterOptions local, ParseResult parsed, CancellationToken cancellationToken)
    {
        LocalClusterPlan plan = new()
        {
            Model = SiloOptions.Model(parsed),
            Silos = InRange("--silos", parsed.GetValue(Silos), 1, 64),
            Gateways = InRange("--gateways", parsed.GetValue(Gateways), 1, 16),
            Port = InRange("--port", parsed.GetValue(Port), 0, 65_534),
            UseRedis = !parsed.GetValue(NoRedis),
            SiloArguments = SiloOptions.Arguments(parsed, parsed.GetValue(Silos)),
            GatewayArguments = SiloOptions.GatewayArguments(parsed),
        };
        LocalClusterDirectory directory = local.Directory(parsed);
        var cluster = new LocalCluster(directory, ClusterCommands.Report);
        await cluster.Up(plan, cancellationToken);
        foreach (Member gateway in cluster.Alive(MemberKind.Gateway))
        {
            Console.WriteLine($"HTTP  http://127.0.0.1:{gateway.Port}/v1");
            Console.WriteLine($"gRPC  127.0.0.1:{gateway.SecondPort}");
        }

        Console.WriteLine($"state {directory.Path}");
        return CommandLine.Done;
    }

    private static int InRange(string option, int value, int least, int most) => value >= least && value <= most
        ? value
        : throw new ArgumentException(string.Create(CultureInfo.InvariantCulture, $"{option}: {value} is out of range; it must be {least} to {most}"));
}
