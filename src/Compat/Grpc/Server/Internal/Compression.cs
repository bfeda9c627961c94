using System.Buffers;
using System.IO.Compression;
using Grpc.Core;
using Microsoft.Extensions.Primitives;

namespace Grpc.AspNetCore.Server.Internal;

/// <summary>The encodings of messages: gzip, and deflate in the zlib format.</summary>
internal static class Compression
{
    public const string Identity = "identity";
    public const string Supported = "identity, gzip, deflate";

    private const int ChunkSizeBytes = 4096;

    public static bool IsSupported(string encoding) => encoding is "gzip" or "deflate";

    /// <summary>The encoding of responses: the wanted one if the client accepts it, else identity.</summary>
    public static string Choose(string? wanted, StringValues accepted)
    {
        if (wanted is null || !IsSupported(wanted))
            return Identity;
        string[] encodings = accepted.ToString().Split(',', StringSplitOptions.TrimEntries);
        return encodings.Contains(wanted, StringComparer.OrdinalIgnoreCase) ? wanted : Identity;
    }

    public static void Compress(string encoding, CompressionLevel level, ReadOnlySpan<byte> message, IBufferWriter<byte> output)
    {
        using var target = new MemoryStream();
        using (Stream stream = encoding == "gzip" ? new GZipStream(target, level, leaveOpen: true) : new ZLibStream(target, level, leaveOpen: true))
            stream.Write(message);
        output.Write(target.GetBuffer().AsSpan(0, (int)target.Length));
    }

    /// <summary>
    /// Decompresses one message. Memory grows with what comes out, and stops at <paramref name="maxSizeBytes"/>: a small message that
    /// expands to a huge one costs no more than the limit.
    /// </summary>
    public static ReadOnlyMemory<byte> Decompress(string encoding, ReadOnlySequence<byte> message, int? maxSizeBytes)
    {
        var source = new MemoryStream(message.ToArray(), writable: false);
        using Stream stream = encoding == "gzip" ? new GZipStream(source, CompressionMode.Decompress) : new ZLibStream(source, CompressionMode.Decompress);
        var output = new ArrayBufferWriter<byte>();
        try
        {
            while (true)
            {
                int read = stream.Read(output.GetSpan(ChunkSizeBytes));
                if (read == 0)
                    return output.WrittenMemory;
                output.Advance(read);
                if (output.WrittenCount > maxSizeBytes)
                    throw new RpcException(Errors.ReceivedTooLarge);
            }
        }
        catch (InvalidDataException exception)
        {
            throw new RpcException(new Status(StatusCode.Internal, $"The message is not valid {encoding}.", exception));
        }
    }
}
