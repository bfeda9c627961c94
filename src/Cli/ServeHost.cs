using System.CommandLine;
using Conclave.Cli.Local;
using Conclave.Gateway;
using Conclave.Silo;
using Microsoft.AspNetCore.Builder;
using Microsoft.Extensions.Logging;

namespace Conclave.Cli;

/// <summary>Silo and gateway in one process.</summary>
internal static class ServeHost
{
    private static readonly HashSet<int> GivenPorts = [];

    /// <summary>A host that is ready to be started.</summary>
    public static WebApplication Build(SiloOptions silo, GatewayOptions gateway, LogLevel logLevel)
    {
        WebApplicationBuilder builder = WebApplication.CreateSlimBuilder();
        builder.Logging.ForConsole(logLevel);
        builder.AddConclaveSilo(silo);
        builder.AddConclaveGateway(gateway);
        WebApplication app = builder.Build();
        app.MapConclaveGateway();
        return app;
    }

    /// <summary>The option of every server.</summary>
    public static Option<LogLevel> LogOption() => new("--log-level") { Description = "Least severe log level shown", DefaultValueFactory = _ => LogLevel.Information };

    /// <summary>One line an entry, on the console.</summary>
    public static void ForConsole(this ILoggingBuilder logging, LogLevel logLevel)
    {
        logging.ClearProviders().SetMinimumLevel(logLevel).AddSimpleConsole(console => (console.SingleLine, console.TimestampFormat) = (true, "HH:mm:ss.fff "));
        // The framework's own chatter (a few lines a request) is for those who ask for debug output.
        if (logLevel >= LogLevel.Information) logging.AddFilter("Microsoft", LogLevel.Warning);
        // Why a host did not start is what the command ends with, in one line; a stack before it would only hide that.
        if (logLevel >= LogLevel.Information) logging.AddFilter("Microsoft.Extensions.Hosting.Internal.Host", LogLevel.Critical);
        // Who probes health sees the answer; each "not yet" of a start in the log as an error would only frighten.
        if (logLevel >= LogLevel.Information) logging.AddFilter("Microsoft.Extensions.Diagnostics.HealthChecks", LogLevel.None);
    }

    /// <summary>A port of the loopback address that nobody uses now.</summary>
    public static int FreePort()
    {
        lock (GivenPorts) return Ports.Free(GivenPorts);
    }
}
