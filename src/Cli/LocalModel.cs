using System.CommandLine;
using Conclave.Gateway;
using Conclave.Gateway.Completions;
using Conclave.Silo;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;

namespace Conclave.Cli;

/// <summary>A model served inside this process for this process alone: the way through grains and engine is that of a server, only the network is missing.</summary>
internal sealed class LocalModel(IHost host) : IAsyncDisposable
{
    public ServedModel Served { get; } = host.Services.GetRequiredService<ServedModel>();

    public CompletionBuilder Builder { get; } = host.Services.GetRequiredService<CompletionBuilder>();

    public CompletionRunner Runner { get; } = host.Services.GetRequiredService<CompletionRunner>();

    public static async Task<LocalModel> Start(ModelOptions options, ParseResult parsed, CancellationToken cancellationToken)
    {
        HostApplicationBuilder builder = Host.CreateApplicationBuilder(new HostApplicationBuilderSettings { DisableDefaults = true });
        builder.Logging.SetMinimumLevel(LogLevel.Warning).AddSimpleConsole(console => console.SingleLine = true)
            .Services.Configure<Microsoft.Extensions.Logging.Console.ConsoleLoggerOptions>(console => console.LogToStandardErrorThreshold = LogLevel.Trace);
        SiloOptions silo = options.Silo(parsed);
        builder.AddConclaveSilo(silo);
        builder.Services.AddCompletions(new ServedModelOptions(silo.ModelDirectory, options.Variant(parsed)));
        IHost host = builder.Build();
        await host.StartAsync(cancellationToken);
        return new LocalModel(host);
    }

    public async ValueTask DisposeAsync()
    {
        await host.StopAsync();
        host.Dispose();
    }
}
