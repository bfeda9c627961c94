using System.CommandLine;
using Conclave.Gateway;
using Microsoft.AspNetCore.Builder;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;

namespace Conclave.Cli.Commands;

/// <summary><c>conclave serve</c>: everything in one process.</summary>
internal static class ServeCommand
{
    private static readonly ModelOptions Model = new();
    private static readonly ListenOptions Listen = new();
    private static readonly Option<LogLevel> Log = ServeHost.LogOption();

    public static Command Create()
    {
        var command = new Command("serve", "Serve a model over HTTP and gRPC, all in this process");
        Listen.AddTo(command);
        command.Add(Log);
        Model.AddTo(command);
        command.SetAction(Run);
        return command;
    }

    private static async Task<int> Run(ParseResult parsed, CancellationToken cancellationToken)
    {
        GatewayOptions gateway = Listen.Gateway(parsed, Model.Directory(parsed), Model.Variant(parsed));
        await using WebApplication app = ServeHost.Build(Model.Silo(parsed), gateway, parsed.GetValue(Log));
        await app.StartAsync(cancellationToken);
        ListenOptions.Announce(gateway);
        await app.WaitForShutdownAsync(cancellationToken);
        return CommandLine.Done;
    }
}
