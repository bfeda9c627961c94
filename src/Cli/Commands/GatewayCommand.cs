using System.CommandLine;
using Conclave.Gateway;
using Conclave.Gateway.Ranks;
using Conclave.Model.Chat;
using Microsoft.AspNetCore.Builder;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;

namespace Conclave.Cli.Commands;

/// <summary><c>conclave gateway</c>: HTTP and gRPC in front of a cluster. It keeps no state: any number of them may run.</summary>
internal static class GatewayCommand
{
    private static readonly Option<string?> Model = new("--model") { Description = "Checkpoint directory, of which only configuration and tokenizer are read (default: the bundled demo model)", HelpName = "DIR" };
    private static readonly Option<string?> ChatFormat = new("--chat-format") { Description = $"Force the chat format: {ChatVariants.Choices} (default: as the checkpoint says)", HelpName = "NAME" };
    private static readonly ListenOptions Listen = new();
    private static readonly ClusterOptions Cluster = new(ClusterOptions.Side.Client);
    private static readonly Option<double> Patience = new("--patience") { Description = "Seconds that a request is kept trying while no silo can serve it, before it gets 503", DefaultValueFactory = _ => 60, HelpName = "S" };
    private static readonly Option<double?> Suspect = SuspectTimeout.Option("a silo that owes tokens", defaultSeconds: 0.6);
    private static readonly Option<LogLevel> Log = ServeHost.LogOption();

    public static Command Create()
    {
        var command = new Command("gateway", "Serve HTTP and gRPC in front of a cluster of silos; run any number of them") { Model, ChatFormat };
        Listen.AddTo(command);
        Cluster.AddTo(command);
        command.Add(Patience);
        command.Add(Suspect);
        command.Add(Log);
        command.SetAction(Run);
        return command;
    }

    private static async Task<int> Run(ParseResult parsed, CancellationToken cancellationToken)
    {
        Membership membership = Cluster.Membership(parsed);
        GatewayOptions gateway = Listen.Gateway(parsed, parsed.GetValue(Model) ?? DemoModel.Find(), ModelOptions.Variant(parsed.GetValue(ChatFormat))) with
        {
            Failover = Failover(parsed),
            Cluster = new ClusterConnection
            {
                ClusterId = membership.ClusterId,
                ServiceId = membership.ServiceId,
                Redis = membership.RedisConnection,
                GatewayPorts = membership.Primary is { } primary ? [primary.Port] : [],
            },
        };
        WebApplicationBuilder builder = WebApplication.CreateSlimBuilder();
        builder.Logging.ForConsole(parsed.GetValue(Log));
        builder.AddConclaveGateway(gateway);
        await using WebApplication app = builder.Build();
        app.MapConclaveGateway();
        await app.StartAsync(cancellationToken);
        ListenOptions.Announce(gateway);
        await app.WaitForShutdownAsync(cancellationToken);
        return CommandLine.Done;
    }

    private static FailoverOptions Failover(ParseResult parsed)
    {
        double patience = parsed.GetValue(Patience);
        if (!(patience is >= 0.1 and <= 86_400)) throw new ArgumentException(FormattableString.Invariant($"--patience: {patience} is out of range; it must be 0.1 to 86400 seconds"));
        FailoverOptions failover = new() { PatienceMs = (int)(patience * 1000) };
        if (SuspectTimeout.Ms(parsed, Suspect) is not { } suspectMs) return failover;
        // Who may be silent for that long may answer questions as late.
        return failover with { SilenceMs = suspectMs, ProbeTimeoutMs = Math.Max(failover.ProbeTimeoutMs, suspectMs), ViewTimeoutMs = Math.Max(failover.ViewTimeoutMs, suspectMs) };
    }
}
