using System.Net;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using Conclave.Gateway.Completions;
using Conclave.Gateway.Grpc;
using Conclave.Gateway.Http;
using Conclave.Gateway.Ranks;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Diagnostics.HealthChecks;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.DependencyInjection.Extensions;
using Microsoft.Extensions.Diagnostics.HealthChecks;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Orleans.Configuration;
using Orleans.Hosting;

namespace Conclave.Gateway;

/// <summary>Wires a gateway into a web host: beside a silo, or as a process of its own that is a client of the cluster. Gateways keep no state; there may be any number.</summary>
public static class GatewayHosting
{
    private static readonly TimeSpan ConnectPause = TimeSpan.FromMilliseconds(500);
    private static readonly TimeSpan ListPeriod = TimeSpan.FromSeconds(1);

    /// <summary>
    /// Adds Kestrel's endpoints and the gateway's services, and with <see cref="GatewayOptions.Cluster"/> the way to the cluster. The gateway listens at once and waits for a
    /// cluster that is not there yet; until it has found a rank it is alive but not ready.
    /// </summary>
    /// <exception cref="ArgumentException">An option is out of range.</exception>
    public static WebApplicationBuilder AddConclaveGateway(this WebApplicationBuilder builder, GatewayOptions options)
    {
        options.Validate();
        builder.WebHost.ConfigureKestrel(kestrel => Listen(kestrel, options));
        builder.Services.AddSingleton(options);
        builder.Services.AddSingleton(options.Failover);
        if (options.Cluster is { } cluster) builder.AddClusterClient(cluster);
        builder.Services.AddCompletions(new ServedModelOptions(options.ModelDirectory, options.ChatVariant));
        builder.Services.AddSingleton<ChatEndpoint>();
        builder.Services.AddGrpc(grpc =>
        {
            grpc.MaxReceiveMessageSize = (int)Math.Min(options.MaxRequestSizeBytes, int.MaxValue);
            grpc.ResponseCompressionAlgorithm = "gzip";
            grpc.Interceptors.Add<ErrorInterceptor>();
        });
        builder.Services.AddGrpcHealthChecks();
        builder.Services.AddGrpcReflection();
        builder.Services.AddHealthChecks().AddCheck<RanksHealth>("ranks");
        // Waiting for a cluster is no fault, and the reason is logged where it is known: not again with each check.
        builder.Logging.AddFilter("Microsoft.Extensions.Diagnostics.HealthChecks", LogLevel.Critical);
        // What gRPC clients are told of health is published from time to time, at first when the host starts.
        builder.Services.Configure<HealthCheckPublisherOptions>(health => (health.Delay, health.Period) = (TimeSpan.Zero, TimeSpan.FromSeconds(1)));
        return builder;
    }

    /// <summary>Adds what turns requests into completions, without any server: <see cref="CompletionBuilder"/> and <see cref="CompletionRunner"/>.</summary>
    public static IServiceCollection AddCompletions(this IServiceCollection services, ServedModelOptions options)
    {
        services.TryAddSingleton(TimeProvider.System);
        services.AddSingleton(options);
        services.AddSingleton<ServedModel>();
        services.TryAddSingleton(new FailoverOptions());
        services.AddSingleton<RankDirectory>();
        services.AddHostedService(provider => provider.GetRequiredService<RankDirectory>());
        services.AddSingleton<SequenceRunner>();
        services.AddSingleton<CompletionBuilder>();
        services.AddSingleton<CompletionRunner>();
        return services;
    }

    /// <summary>Maps the HTTP API (each path also under <c>/v1</c> and <c>/beta</c>), health and the gRPC services.</summary>
    public static WebApplication MapConclaveGateway(this WebApplication app)
    {
        app.UseMiddleware<ErrorMiddleware>();
        foreach (string prefix in new[] { "", "/v1", "/beta" })
        {
            app.MapPost($"{prefix}/chat/completions", (HttpContext context, ChatEndpoint chat) => chat.Handle(context));
            app.MapGet($"{prefix}/models", (HttpContext context, ServedModel served) => ModelsEndpoint.Handle(context, served));
        }

        app.MapHealthChecks("/health/live", new HealthCheckOptions { Predicate = _ => false });
        app.MapHealthChecks("/health/ready");
        app.MapGrpcService<InferenceService>();
        app.MapGrpcHealthChecksService();
        app.MapGrpcReflectionService();
        return app;
    }

    private static void AddClusterClient(this WebApplicationBuilder builder, ClusterConnection cluster)
    {
        // The client's start lasts until the cluster is there: Kestrel must not wait behind it.
        builder.Services.Configure<HostOptions>(host => host.ServicesStartConcurrently = true);
        builder.UseOrleansClient(client =>
        {
            client.UseConnectionRetryFilter(static async (_, cancellationToken) =>
            {
                // For ever: it is not the gateway that is missing. Who waits for what is logged by the directory of ranks.
                await Task.Delay(ConnectPause, cancellationToken);
                return true;
            });
            // A silo that was declared dead but keeps its connections open (a stopped process) is left only when the list is read again.
            client.Configure<Orleans.Configuration.GatewayOptions>(gateways => gateways.GatewayListRefreshPeriod = ListPeriod);
            if (cluster.Redis is { } redis)
            {
                client.Configure<ClusterOptions>(ids => (ids.ServiceId, ids.ClusterId) = (cluster.ServiceId, cluster.ClusterId));
                client.UseRedisClustering(redis);
            }
            else
            {
                client.UseLocalhostClustering([.. cluster.GatewayPorts], cluster.ServiceId, cluster.ClusterId);
            }
        });
    }

    private static void Listen(KestrelServerOptions kestrel, GatewayOptions options)
    {
        kestrel.Limits.MaxRequestBodySize = options.MaxRequestSizeBytes;
        kestrel.AddServerHeader = false;
        // Cleartext HTTP/2 cannot be told from HTTP/1.1 on one port, so gRPC without TLS has its own.
        kestrel.Listen(options.Listen, endpoint => endpoint.Protocols = HttpProtocols.Http1);
        if (options.GrpcListen is { } grpc) kestrel.Listen(grpc, endpoint => endpoint.Protocols = HttpProtocols.Http2);
        if (options.TlsListen is not { } tls) return;
        X509Certificate2 certificate = ReadCertificate(options.TlsCertificatePath!, options.TlsKeyPath!);
        kestrel.Listen(tls, endpoint =>
        {
            endpoint.Protocols = HttpProtocols.Http1AndHttp2;
            endpoint.UseHttps(certificate);
        });
    }

    private static X509Certificate2 ReadCertificate(string certificatePath, string keyPath)
    {
        try
        {
            return X509Certificate2.CreateFromPemFile(certificatePath, keyPath);
        }
        catch (Exception e) when (e is CryptographicException or IOException or UnauthorizedAccessException)
        {
            throw new ArgumentException($"--tls-cert, --tls-key: '{certificatePath}' and '{keyPath}' are not a certificate and its private key in PEM: {e.Message}", e);
        }
    }
}
