using System.Net;
using Conclave.Gateway;
using Conclave.Model.Chat;
using Conclave.Silo;
using Microsoft.AspNetCore.Builder;
using Microsoft.Extensions.Logging;

namespace Conclave.Cli.Commands.Bench;

/// <summary>A whole server in this process, on ports of its own.</summary>
internal sealed class BenchServer : IAsyncDisposable
{
    private readonly WebApplication _app;

    private BenchServer(WebApplication app) => _app = app;

    /// <summary>Where it is reached.</summary>
    public Uri Address => new(_app.Urls.First());

    /// <summary>Starts a server and waits until it serves.</summary>
    public static async Task<BenchServer> Start(SiloOptions silo, ChatVariant? variant, CancellationToken cancellationToken)
    {
        var gateway = new GatewayOptions { ModelDirectory = silo.ModelDirectory, Listen = new IPEndPoint(IPAddress.Loopback, ServeHost.FreePort()), ChatVariant = variant };
        WebApplication app = ServeHost.Build(silo, gateway, LogLevel.None);
        try
        {
            await app.StartAsync(cancellationToken);
            return new BenchServer(app);
        }
        catch
        {
            await app.DisposeAsync();
            throw;
        }
    }

    /// <summary>Ends it as a stop of the process would: what is cached is written to the disk tier, if it has one.</summary>
    public async ValueTask DisposeAsync()
    {
        await _app.StopAsync();
        await _app.DisposeAsync();
    }
}
