using System.CommandLine;
using System.Net;
using Conclave.Gateway;
using Conclave.Model.Chat;
using Microsoft.Extensions.Logging;

namespace Conclave.Cli;

/// <summary>The options of commands that listen for HTTP and gRPC.</summary>
internal sealed class ListenOptions
{
    private readonly Option<string> _listen = new("--listen") { Description = "Address of the HTTP API", DefaultValueFactory = _ => "127.0.0.1:8080", HelpName = "HOST:PORT" };
    private readonly Option<string?> _grpcListen = new("--grpc-listen") { Description = "Address of gRPC without TLS (default: the port after --listen; 'none' for nowhere)", HelpName = "HOST:PORT" };
    private readonly Option<string?> _tlsListen = new("--tls-listen") { Description = "Address of HTTP and gRPC with TLS", HelpName = "HOST:PORT" };
    private readonly Option<string?> _tlsCertificate = new("--tls-cert") { Description = "Certificate chain for --tls-listen", HelpName = "PEM" };
    private readonly Option<string?> _tlsKey = new("--tls-key") { Description = "Private key for --tls-listen", HelpName = "PEM" };

    public void AddTo(Command command)
    {
        command.Add(_listen);
        command.Add(_grpcListen);
        command.Add(_tlsListen);
        command.Add(_tlsCertificate);
        command.Add(_tlsKey);
    }

    public GatewayOptions Gateway(ParseResult parsed, string modelDirectory, ChatVariant? variant)
    {
        IPEndPoint listen = EndPoint("--listen", parsed.GetValue(_listen)!);
        return new GatewayOptions
        {
            ModelDirectory = modelDirectory,
            Listen = listen,
            GrpcListen = parsed.GetValue(_grpcListen) switch
            {
                null when listen.Port == IPEndPoint.MaxPort => throw new ArgumentException($"--grpc-listen: there is no port after that of --listen ({listen.Port}); name one, or 'none'"),
                null => new IPEndPoint(listen.Address, listen.Port + 1),
                "none" => null,
                { } text => EndPoint("--grpc-listen", text),
            },
            TlsListen = parsed.GetValue(_tlsListen) is { } tls ? EndPoint("--tls-listen", tls) : null,
            TlsCertificatePath = parsed.GetValue(_tlsCertificate),
            TlsKeyPath = parsed.GetValue(_tlsKey),
            ChatVariant = variant,
        };
    }

    /// <summary>Says where it serves, a line an address.</summary>
    public static void Announce(GatewayOptions gateway)
    {
        Console.WriteLine($"HTTP  http://{gateway.Listen}/v1");
        if (gateway.GrpcListen is not null) Console.WriteLine($"gRPC  {gateway.GrpcListen}");
        if (gateway.TlsListen is not null) Console.WriteLine($"TLS   https://{gateway.TlsListen}/v1 and gRPC");
    }

    /// <summary>Reads <c>HOST:PORT</c> with a numeric host or <c>localhost</c>.</summary>
    /// <exception cref="ArgumentException">It is none.</exception>
    public static IPEndPoint EndPoint(string option, string text) =>
        IPEndPoint.TryParse(text.Replace("localhost", "127.0.0.1", StringComparison.Ordinal), out IPEndPoint? endPoint) && endPoint.Port > 0
            ? endPoint
            : throw new ArgumentException($"{option}: '{text}' is not an address; write HOST:PORT such as 127.0.0.1:8080");
}
