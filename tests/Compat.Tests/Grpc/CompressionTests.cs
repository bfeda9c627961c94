using System.IO.Compression;
using Google.Protobuf;
using Grpc.Core;

namespace Conclave.Compat.Tests.Grpc;

public sealed class CompressionTests
{
    [Theory]
    [InlineData("gzip")]
    [InlineData("deflate")]
    public async Task Compressed_requests_are_read(string encoding)
    {
        await using ProbeHost host = await ProbeHost.StartAsync();
        byte[] body = ProbeHost.Frame(Compress(encoding, new Ask { Text = "squeezed" }.ToByteArray()), flag: 1);
        RawResponse response = await host.CallAsync("Unary", body, ("grpc-encoding", encoding));
        response.AssertOk();
        Assert.Equal("squeezed", response.Messages(Answer.Parser).Single().Text);
    }

    [Theory]
    [InlineData("gzip", "identity,deflate,gzip", "gzip")]
    [InlineData("deflate", "identity, deflate, gzip", "deflate")]
    [InlineData("gzip", "identity", "identity")]
    [InlineData("gzip", "", "identity")]
    public async Task Responses_are_compressed_as_the_client_accepts(string algorithm, string accepted, string expected)
    {
        await using ProbeHost host = await ProbeHost.StartAsync(options =>
        {
            options.ResponseCompressionAlgorithm = algorithm;
            options.ResponseCompressionLevel = CompressionLevel.Optimal;
        });
        RawResponse response = await host.CallAsync("Unary", new Ask { Text = new string('x', 5000) }, ("grpc-accept-encoding", accepted));
        response.AssertOk();
        Assert.Equal(expected, response.Header("grpc-encoding"));
        (byte flag, byte[] payload) = response.Frames.Single();
        Assert.Equal(expected == "identity" ? 0 : 1, flag);
        byte[] message = flag == 0 ? payload : Decompress(expected, payload);
        Assert.Equal(new string('x', 5000), Answer.Parser.ParseFrom(message).Text);
        Assert.True(flag == 0 || payload.Length < 200);
    }

    [Fact]
    public async Task A_handler_may_send_a_message_plain()
    {
        await using ProbeHost host = await ProbeHost.StartAsync(options => options.ResponseCompressionAlgorithm = "gzip");
        host.Behavior.Stream = async (_, answers, context) =>
        {
            await answers.WriteAsync(new Answer { Text = "compressed" });
            context.WriteOptions = new WriteOptions(WriteFlags.NoCompress);
            await answers.WriteAsync(new Answer { Text = "plain" });
        };
        RawResponse response = await host.CallAsync("Stream", new Ask(), ("grpc-accept-encoding", "gzip"));
        Assert.Equal([1, 0], response.Frames.Select(frame => (int)frame.Flag));
    }

    [Fact]
    public async Task A_bomb_is_stopped_at_the_limit()
    {
        await using ProbeHost host = await ProbeHost.StartAsync(options => options.MaxReceiveMessageSize = 1 << 20);
        byte[] bomb = Compress("gzip", new byte[256 << 20]);
        Assert.InRange(bomb.Length, 1, 1 << 20);
        byte[] body = ProbeHost.Frame(bomb, flag: 1);
        RawResponse response = await host.CallAsync("Unary", body, ("grpc-encoding", "gzip"));
        Assert.Equal(StatusCode.ResourceExhausted, response.Status);
        (StatusCode status, long allocatedBytes) = host.Handle("Unary", body, ("grpc-encoding", "gzip"));
        Assert.Equal(StatusCode.ResourceExhausted, status);
        Assert.InRange(allocatedBytes, 1 << 20, 16 << 20);
    }

    [Fact]
    public async Task Broken_compression_is_the_clients_fault_and_told()
    {
        await using ProbeHost host = await ProbeHost.StartAsync();
        RawResponse response = await host.CallAsync("Unary", ProbeHost.Frame([1, 2, 3, 4, 5], flag: 1), ("grpc-encoding", "gzip"));
        Assert.Equal(StatusCode.Internal, response.Status);
        response = await host.CallAsync("Unary", ProbeHost.Frame([1], flag: 1), ("grpc-encoding", "identity"));
        Assert.Equal(StatusCode.Internal, response.Status);
        response = await host.CallAsync("Unary", ProbeHost.Frame([1], flag: 1), ("grpc-encoding", "zstd"));
        Assert.Equal(StatusCode.Unimplemented, response.Status);
        Assert.Contains("gzip", response.Header("grpc-accept-encoding")!);
    }

    private static byte[] Compress(string encoding, byte[] data)
    {
        using var target = new MemoryStream();
        using (Stream stream = encoding == "gzip" ? new GZipStream(target, CompressionLevel.Optimal) : new ZLibStream(target, CompressionLevel.Optimal))
            stream.Write(data);
        return target.ToArray();
    }

    private static byte[] Decompress(string encoding, byte[] data)
    {
        using var source = new MemoryStream(data);
        using Stream stream = encoding == "gzip" ? new GZipStream(source, CompressionMode.Decompress) : new ZLibStream(source, CompressionMode.Decompress);
        using var target = new MemoryStream();
        stream.CopyTo(target);
        return target.ToArray();
    }
}
