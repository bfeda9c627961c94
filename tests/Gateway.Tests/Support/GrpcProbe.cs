using System.Buffers.Binary;
using System.IO.Compression;
using System.Net;
using System.Net.Http.Headers;
using Google.Protobuf;

namespace Conclave.Gateway.Tests.Support;

/// <summary>gRPC by hand over an HTTP client, for what the foreign clients do not let a test do or see: raw frames, flags and broken connections.</summary>
internal sealed class GrpcProbe(TestServer server) : IDisposable
{
    private readonly HttpClient _client = new(new SocketsHttpHandler()) { BaseAddress = new Uri($"http://{server.Options.GrpcListen}/"), Timeout = TestServer.Patience };

    /// <summary>Sends one message and returns when the headers are there; disposing the call resets the stream.</summary>
    public async Task<GrpcProbeCall> OpenAsync(string method, IMessage message, bool gzip = false, string? timeout = null, CancellationToken cancellationToken = default)
    {
        var request = new HttpRequestMessage(HttpMethod.Post, $"conclave.v1.Inference/{method}")
        {
            Version = HttpVersion.Version20,
            VersionPolicy = HttpVersionPolicy.RequestVersionExact,
            Content = new ByteArrayContent(Frame(message.ToByteArray(), gzip)),
        };
        request.Content.Headers.ContentType = new MediaTypeHeaderValue("application/grpc");
        request.Headers.TE.Add(new TransferCodingWithQualityHeaderValue("trailers"));
        if (gzip) request.Headers.Add("grpc-encoding", "gzip");
        if (gzip) request.Headers.Add("grpc-accept-encoding", "gzip");
        if (timeout is not null) request.Headers.Add("grpc-timeout", timeout);
        return new GrpcProbeCall(await _client.SendAsync(request, HttpCompletionOption.ResponseHeadersRead, cancellationToken));
    }

    public void Dispose() => _client.Dispose();

    private static byte[] Frame(byte[] message, bool gzip)
    {
        if (gzip)
        {
            using var packed = new MemoryStream();
            using (var stream = new GZipStream(packed, CompressionLevel.Fastest)) stream.Write(message);
            message = packed.ToArray();
        }

        byte[] frame = new byte[5 + message.Length];
        frame[0] = gzip ? (byte)1 : (byte)0;
        BinaryPrimitives.WriteInt32BigEndian(frame.AsSpan(1), message.Length);
        message.CopyTo(frame, 5);
        return frame;
    }
}

/// <summary>One call under way.</summary>
internal sealed class GrpcProbeCall(HttpResponseMessage response) : IDisposable
{
    public string? Encoding => response.Headers.TryGetValues("grpc-encoding", out IEnumerable<string>? values) ? values.Single() : null;

    /// <summary>Frames that came compressed.</summary>
    public int CompressedFrames { get; private set; }

    public int? Status => Find("grpc-status") is { } text ? int.Parse(text, System.Globalization.CultureInfo.InvariantCulture) : null;

    public string? Detail => Find("grpc-message") is { } text ? Uri.UnescapeDataString(text) : null;

    public string? PushbackMs => Find("grpc-retry-pushback-ms");

    /// <summary>All messages to the end.</summary>
    public async Task<List<T>> ReadAllAsync<T>(MessageParser<T> parser) where T : IMessage<T>
    {
        var messages = new List<T>();
        Stream stream = await response.Content.ReadAsStreamAsync();
        while (await ReadFrameAsync(stream) is { } frame) messages.Add(parser.ParseFrom(frame));
        return messages;
    }

    /// <summary>The first message.</summary>
    public async Task<T> ReadOneAsync<T>(MessageParser<T> parser) where T : IMessage<T> =>
        parser.ParseFrom(await ReadFrameAsync(await response.Content.ReadAsStreamAsync()) ?? throw new EndOfStreamException(Detail));

    public void Dispose() => response.Dispose();

    private async Task<byte[]?> ReadFrameAsync(Stream stream)
    {
        byte[] head = new byte[5];
        int read = await stream.ReadAtLeastAsync(head, head.Length, throwOnEndOfStream: false);
        if (read == 0) return null;
        byte[] body = new byte[BinaryPrimitives.ReadInt32BigEndian(head.AsSpan(1))];
        await stream.ReadExactlyAsync(body);
        if (head[0] == 0) return body;
        CompressedFrames++;
        using var unpacked = new MemoryStream();
        using (var gzip = new GZipStream(new MemoryStream(body), CompressionMode.Decompress)) await gzip.CopyToAsync(unpacked);
        return unpacked.ToArray();
    }

    private string? Find(string name) =>
        response.TrailingHeaders.TryGetValues(name, out IEnumerable<string>? values) || response.Headers.TryGetValues(name, out values) ? values.Single() : null;
}
