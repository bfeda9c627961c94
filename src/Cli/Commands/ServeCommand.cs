using System.CommandLine;
using System.Net;
using Conclave.Gateway;
using Microsoft.AspNetCore.Builder;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;

namespace Conclave.Cli.Commands;

/// <summary><c>conclave serve</c>: everything in one process.</summary>
internal static class ServeCommand
{
    private static readonly ModelOptions Model = new();
    private static readonly Option<string> Listen = new("--listen") { Description = "Address of the HTTP API", DefaultValueFactory = _ => "127.0.0.1:8080", HelpName = "HOST:PORT" };
    private static readonly Option<string?> GrpcListen = new("--grpc-listen") { Description = "Address of gRPC without TLS (default: the port after --listen; 'none' for nowhere)", HelpName = "HOST:PORT" };
    private static readonly Option<string?> TlsListen = new("--tls-listen") { Description = "Address of HTTP and gRPC with TLS", HelpName = "HOST:PORT" };
    private static readonly Option<string?> TlsCertificate = new("--tls-cert") { Description = "Certificate chain for --tls-listen", HelpName = "PEM" };
    private static readonly Option<string?> TlsKey = new("--tls-key") { Description = "Private key for --tls-listen", HelpName = "PEM" };
    private static readonly Option<LogLevel> Log = new("--log-level") { Description = "Least severe log level shown", DefaultValueFactory = _ => LogLevel.Information };

    public static Command Create()
    {
        var command = new Command("serve", "Serve a model over HTTP and gRPC, all in this process") { Listen, GrpcListen, TlsListen, TlsCertificate, TlsKey, Log };
        Model.AddTo(command);
        command.SetAction(Run);
        return command;
    }

    private static async Task<int> Run(ParseResult parsed, CancellationToken cancellationToken)
    {
        IPEndPoint listen = EndPoint("--listen", parsed.GetValue(Listen)!);
        var gateway = new GatewayOptions
        {
            ModelDirectory = Model.Directory(parsed),
            Listen = listen,
            GrpcListen = parsed.GetValue(GrpcListen) switch
            {
                null => new IPEndPoint(listen.Address, listen.Port + 1),
                "none" => null,
                { } text => EndPoint("--grpc-listen", text),
            },
            TlsListen = parsed.GetValue(TlsListen) is { } tls ? EndPoint("--tls-listen", tls) : null,
            TlsCertificatePath = parsed.GetValue(TlsCertificate),
            TlsKeyPath = parsed.GetValue(TlsKey),
            ChatVariant = Model.Variant(parsed),
        };
        await using WebApplication app = ServeHost.Build(Model.Silo(parsed), gateway, parsed.GetValue(Log));
        await app.StartAsync(cancellationToken);
        Console.WriteLine($"HTTP  http://{gateway.Listen}/v1");
        if (gateway.GrpcListen is not null) Console.WriteLine($"gRPC  {gateway.GrpcListen}");
        if (gateway.TlsListen is not null) Console.WriteLine($"TLS   https://{gateway.TlsListen}/v1 and gRPC");
        await app.WaitForShutdownAsync(cancellationToken);
        return CommandLine.Done;
    }

    private static IPEndPoint EndPoint(string option, string text) =>
        IPEndPoint.TryParse(text.Replace("localhost", "127.0.0.1", StringComparison.Ordinal), out IPEndPoint? endPoint) && endPoint.Port > 0
            ? endPoint
            : throw new ArgumentException($"{option}: '{text}' is not an address; write HOST:PORT such as 127.0.0.1:8080");
}
