using Grpc.Core;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Primitives;

namespace Grpc.AspNetCore.Server.Internal;

/// <summary>Turns request headers into metadata.</summary>
internal static class RequestMetadata
{
    /// <summary>Headers of the protocol itself; they are no metadata.</summary>
    private static readonly HashSet<string> Reserved = new(StringComparer.OrdinalIgnoreCase)
    {
        Protocol.EncodingHeader, Protocol.AcceptEncodingHeader, Protocol.TimeoutHeader, Protocol.StatusHeader, Protocol.MessageHeader,
        "content-type", "te", "host", "accept-encoding",
    };

    public static Metadata Read(IHeaderDictionary headers)
    {
        var metadata = new Metadata();
        foreach ((string name, StringValues value) in headers)
        {
            if (name.StartsWith(':') || Reserved.Contains(name))
                continue;
            if (!name.EndsWith(Metadata.BinaryHeaderSuffix, StringComparison.OrdinalIgnoreCase))
                metadata.Add(name, value.ToString());
            else
            {
                foreach (byte[] bytes in Protocol.ParseBinary(name, value))
                    metadata.Add(name, bytes);
            }
        }
        return metadata;
    }
}
