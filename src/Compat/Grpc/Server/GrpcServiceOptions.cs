using System.IO.Compression;

namespace Grpc.AspNetCore.Server;

/// <summary>How gRPC services are served.</summary>
public class GrpcServiceOptions
{
    /// <summary>The largest request message in bytes, measured after decompression. Default 4 MiB; null for no limit.</summary>
    public int? MaxReceiveMessageSize { get; set; } = 4 * 1024 * 1024;

    /// <summary>The largest response message in bytes before compression. Default null: no limit.</summary>
    public int? MaxSendMessageSize { get; set; }

    /// <summary>Whether the texts of unhandled exceptions are sent to clients. Default false.</summary>
    public bool? EnableDetailedErrors { get; set; }

    /// <summary>How responses are compressed when the client accepts it: gzip or deflate. Default null: not at all.</summary>
    public string? ResponseCompressionAlgorithm { get; set; }

    /// <summary>How hard to compress. Default <see cref="CompressionLevel.Fastest"/>.</summary>
    public CompressionLevel? ResponseCompressionLevel { get; set; }

    /// <summary>Whether calls of unknown services are left to other endpoints instead of answered with UNIMPLEMENTED. Default false.</summary>
    public bool? IgnoreUnknownServices { get; set; }

    /// <summary>Code around all calls; the first one is the outermost.</summary>
    public InterceptorCollection Interceptors { get; } = [];
}
