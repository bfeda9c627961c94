using System.CommandLine;
using System.Net;
using Conclave.Cli.Commands.Bench;
using Conclave.Silo;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Diagnostics.HealthChecks;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;

namespace Conclave.Cli.Commands;

/// <summary><c>conclave silo</c>: one member of a cluster.</summary>
internal static class SiloCommand
{
    private static readonly SiloCommandOptions Options = new();
    private static readonly Option<string?> Health = new("--health-listen") { Description = "Address of /health/live and /health/ready over HTTP (default: nowhere)", HelpName = "HOST:PORT" };
    private static readonly Option<string?> Steps = new("--step-log") { Description = "Directory for a record of every step, for measurements", Hidden = true };
    private static readonly Option<LogLevel> Log = ServeHost.LogOption();

    public static Command Create()
    {
        var command = new Command("silo", "Run one silo of a cluster: attention, experts or both") { Health, Steps };
        Options.AddTo(command);
        command.Add(Log);
        command.SetAction(Run);
        return command;
    }

    private static async Task<int> Run(ParseResult parsed, CancellationToken cancellationToken)
    {
        SiloOptions options = Options.Silo(parsed);
        IPEndPoint? health = parsed.GetValue(Health) is { } text ? ListenOptions.EndPoint("--health-listen", text) : null;
        using StepLog? steps = parsed.GetValue(Steps) is { } directory ? new StepLog(directory, options.Name) : null;
        using IHost host = Build(options, health, parsed.GetValue(Log));
        await host.StartAsync(cancellationToken);
        Console.WriteLine($"silo  {options.AdvertisedAddress}:{options.SiloPort} of cluster {options.ClusterId}");
        if (health is not null) Console.WriteLine($"health  http://{health}/health/ready");
        await host.WaitForShutdownAsync(cancellationToken);
        return Environment.ExitCode;
    }

    private static IHost Build(SiloOptions options, IPEndPoint? health, LogLevel logLevel)
    {
        if (health is null)
        {
            HostApplicationBuilder plain = Host.CreateApplicationBuilder(new HostApplicationBuilderSettings { DisableDefaults = true });
            plain.Logging.ForConsole(logLevel);
            plain.AddConclaveSilo(options);
            return plain.Build();
        }

        WebApplicationBuilder builder = WebApplication.CreateSlimBuilder();
        builder.Logging.ForConsole(logLevel);
        builder.WebHost.ConfigureKestrel(kestrel => kestrel.Listen(health, endpoint => endpoint.Protocols = HttpProtocols.Http1));
        builder.AddConclaveSilo(options);
        WebApplication app = builder.Build();
        app.MapHealthChecks("/health/live", new HealthCheckOptions { Predicate = _ => false });
        app.MapHealthChecks("/health/ready");
        return app;
    }
}
