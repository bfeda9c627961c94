using Grpc.Core;

namespace Conclave.Compat.Tests.Grpc;

public sealed class FramingTests
{
    private static readonly byte[] Hello = ProbeHost.Frame(new Ask { Text = "hello" });

    public static TheoryData<string, byte[], StatusCode> Malformed => new()
    {
        { "nothing", [], StatusCode.Internal },
        { "half a header", Hello[..3], StatusCode.Internal },
        { "half a message", Hello[..7], StatusCode.Internal },
        { "two messages for a unary call", [.. Hello, .. Hello], StatusCode.Internal },
        { "bytes after the message", [.. Hello, 0], StatusCode.Internal },
        { "bad flag", ProbeHost.Frame([], flag: 2), StatusCode.Internal },
        { "compressed without an encoding", ProbeHost.Frame([1, 2, 3], flag: 1), StatusCode.Internal },
        { "not a message", ProbeHost.Frame([0xFF, 0xFF, 0xFF]), StatusCode.Internal },
        { "text that is not UTF-8 to its end", ProbeHost.Frame([0x0A, 0x05, 0x41]), StatusCode.Internal },
        { "longer than allowed", [0, 0x7F, 0xFF, 0xFF, 0xFF], StatusCode.ResourceExhausted },
        { "longest of all", [0, 0xFF, 0xFF, 0xFF, 0xFF, 1], StatusCode.ResourceExhausted },
    };

    [Theory]
    [MemberData(nameof(Malformed))]
    public async Task Malformed_requests_end_with_a_status(string what, byte[] body, StatusCode expected)
    {
        await using ProbeHost host = await ProbeHost.StartAsync();
        RawResponse response = await host.CallAsync("Unary", body);
        Assert.True(response.Status == expected, $"{what}: {response.Status} {response.Message}");
        (await host.CallAsync("Unary", Hello)).AssertOk();
    }

    [Fact]
    public async Task Random_bytes_never_break_the_server()
    {
        await using ProbeHost host = await ProbeHost.StartAsync();
        var random = new Random(20251);
        for (int i = 0; i < 200; i++)
        {
            byte[] body = new byte[random.Next(40)];
            random.NextBytes(body);
            if (body.Length > 5 && random.Next(2) == 0)
                (body[0], body[1], body[2], body[3], body[4]) = (0, 0, 0, 0, (byte)(body.Length - 5));
            string method = random.Next(2) == 0 ? "Unary" : "Talk";
            RawResponse response = await host.CallAsync(method, body, ("grpc-encoding", "gzip"), ("grpc-timeout", random.Next(2) == 0 ? "5S" : "nonsense"));
            Assert.True(Enum.IsDefined(response.Status), $"{Convert.ToHexString(body)}: {response.Status}");
        }
        (await host.CallAsync("Unary", Hello)).AssertOk();
    }

    [Fact]
    public async Task Messages_may_come_byte_by_byte()
    {
        await using ProbeHost host = await ProbeHost.StartAsync();
        var content = new PushContent();
        Task<HttpResponseMessage> sending = host.SendAsync("/probe.v1.Probe/Collect", content);
        foreach (byte value in (byte[])[.. Hello, .. Hello])
            await content.WriteAsync([value]);
        content.Complete();
        using HttpResponseMessage response = await sending;
        var raw = new RawResponse(response, await response.Content.ReadAsByteArrayAsync());
        raw.AssertOk();
        Assert.Equal("hello|hello", raw.Messages(Answer.Parser).Single().Text);
    }

    [Fact]
    public async Task Large_messages_pass_within_the_limit()
    {
        await using ProbeHost host = await ProbeHost.StartAsync(options => options.MaxReceiveMessageSize = 16 << 20);
        var ask = new Ask { Text = new string('x', 12 << 20) };
        RawResponse response = await host.CallAsync("Unary", ask);
        response.AssertOk();
        Assert.Equal(ask.Text, response.Messages(Answer.Parser).Single().Text);
    }

    [Fact]
    public async Task An_announced_length_allocates_nothing()
    {
        await using ProbeHost host = await ProbeHost.StartAsync(options => options.MaxReceiveMessageSize = null);
        byte[] body = [0, 0x7F, 0x00, 0x00, 0x00, 1, 2, 3];
        Assert.Equal(StatusCode.Internal, (await host.CallAsync("Unary", body)).Status);
        (StatusCode status, long allocatedBytes) = host.Handle("Unary", body);
        Assert.Equal(StatusCode.Internal, status);
        Assert.InRange(allocatedBytes, 1, 1 << 20);
    }

    [Theory]
    [InlineData(1024, StatusCode.OK)]
    [InlineData(1025, StatusCode.ResourceExhausted)]
    public async Task The_receive_limit_counts_the_message(int sizeBytes, StatusCode expected)
    {
        await using ProbeHost host = await ProbeHost.StartAsync(options => options.MaxReceiveMessageSize = 1024);
        RawResponse response = await host.CallAsync("Unary", ProbeHost.Frame([0x0A, .. Length(sizeBytes - 3), .. new byte[sizeBytes - 3]]));
        Assert.Equal(expected, response.Status);
    }

    [Fact]
    public async Task The_send_limit_is_kept()
    {
        await using ProbeHost host = await ProbeHost.StartAsync(options => options.MaxSendMessageSize = 100);
        Assert.Equal(StatusCode.ResourceExhausted, (await host.CallAsync("Unary", new Ask { Text = new string('x', 200) })).Status);
        (await host.CallAsync("Unary", new Ask { Text = "short" })).AssertOk();
    }

    private static byte[] Length(int value) => [(byte)(value | 0x80), (byte)(value >> 7)];
}
