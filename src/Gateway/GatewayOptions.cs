using System.Net;
using Conclave.Gateway.Ranks;
using Conclave.Model.Chat;

namespace Conclave.Gateway;

/// <summary>What a gateway is told when it starts; checked by <see cref="Validate"/>.</summary>
public sealed record GatewayOptions
{
    /// <summary>The checkpoint's directory; a gateway reads only its configuration and tokenizer.</summary>
    public required string ModelDirectory { get; init; }

    /// <summary>Where HTTP/1.1 and HTTP/2 with JSON are served.</summary>
    public required IPEndPoint Listen { get; init; }

    /// <summary>Where gRPC is served without TLS (cleartext HTTP/2 cannot share HTTP/1.1's port); null for nowhere.</summary>
    public IPEndPoint? GrpcListen { get; init; }

    /// <summary>Where both are served with TLS on one port; null for nowhere.</summary>
    public IPEndPoint? TlsListen { get; init; }

    /// <summary>PEM file of the certificate chain for <see cref="TlsListen"/>.</summary>
    public string? TlsCertificatePath { get; init; }

    /// <summary>PEM file of the certificate's private key.</summary>
    public string? TlsKeyPath { get; init; }

    /// <summary>The chat format to use instead of the one that the checkpoint suggests.</summary>
    public ChatVariant? ChatVariant { get; init; }

    /// <summary>Largest request body; larger ones are refused unread.</summary>
    public long MaxRequestSizeBytes { get; init; } = 32L << 20;

    /// <summary>Silence after which a waiting client gets a keep-alive.</summary>
    public int KeepAliveMs { get; init; } = 10_000;

    /// <summary>The cluster, for a gateway that is a process of its own; null for one in a silo's process.</summary>
    public ClusterConnection? Cluster { get; init; }

    /// <summary>How ranks are watched and requests kept alive.</summary>
    public FailoverOptions Failover { get; init; } = new();

    /// <summary>Checks what can be checked without opening anything.</summary>
    /// <exception cref="ArgumentException">The message names the option.</exception>
    public void Validate()
    {
        if (TlsListen is not null && (TlsCertificatePath is null || TlsKeyPath is null))
            throw new ArgumentException("--tls-listen needs --tls-cert and --tls-key (PEM files)");
        if (MaxRequestSizeBytes < 1) throw new ArgumentException($"--max-request-size: {MaxRequestSizeBytes} is out of range; it must be at least 1");
        if (KeepAliveMs < 1) throw new ArgumentException($"--keep-alive-ms: {KeepAliveMs} is out of range; it must be at least 1");
        Cluster?.Validate();
        Failover.Validate();
    }
}
