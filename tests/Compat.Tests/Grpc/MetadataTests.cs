using Grpc.Core;
using Microsoft.AspNetCore.Http;

namespace Conclave.Compat.Tests.Grpc;

public sealed class MetadataTests
{
    [Theory]
    [InlineData("AQL6")]
    [InlineData("AQL6,AQL6")]
    [InlineData("/w")]
    [InlineData("/w==")]
    [InlineData("")]
    public async Task Binary_metadata_comes_padded_or_not(string header)
    {
        await using ProbeHost host = await ProbeHost.StartAsync();
        List<byte[]> seen = [];
        host.Behavior.Unary = (_, context) =>
        {
            seen.AddRange(context.RequestHeaders.GetAll("x-raw-bin").Select(entry => entry.ValueBytes));
            return Task.FromResult(new Answer());
        };
        (await host.CallAsync("Unary", new Ask(), ("x-raw-bin", header))).AssertOk();
        byte[][] expected = header switch
        {
            "AQL6" => [[1, 2, 250]],
            "AQL6,AQL6" => [[1, 2, 250], [1, 2, 250]],
            "" => [[]],
            _ => [[255]],
        };
        Assert.Equal(expected, seen);
    }

    [Fact]
    public async Task Metadata_that_is_not_base64_is_an_error()
    {
        await using ProbeHost host = await ProbeHost.StartAsync();
        host.Behavior.Unary = (_, context) => Task.FromResult(new Answer { Text = $"{context.RequestHeaders.Count}" });
        RawResponse response = await host.CallAsync("Unary", new Ask(), ("x-raw-bin", "*"));
        Assert.Equal(StatusCode.Internal, response.Status);
        Assert.Contains("x-raw-bin", response.Message);
    }

    [Fact]
    public async Task The_headers_of_the_protocol_are_no_metadata()
    {
        await using ProbeHost host = await ProbeHost.StartAsync();
        string[] keys = [];
        host.Behavior.Unary = (_, context) =>
        {
            keys = [.. context.RequestHeaders.Select(entry => entry.Key)];
            Assert.Equal("Bearer key", context.RequestHeaders.GetValue("Authorization"));
            Assert.Null(context.RequestHeaders.GetValue("nothing"));
            return Task.FromResult(new Answer());
        };
        (await host.CallAsync("Unary", new Ask(), ("authorization", "Bearer key"), ("grpc-timeout", "9H"), ("grpc-accept-encoding", "gzip"))).AssertOk();
        Assert.Contains("authorization", keys);
        Assert.DoesNotContain(keys, key => key is "te" or "content-type" || key.StartsWith("grpc-", StringComparison.Ordinal) || key[0] == ':');
    }

    [Fact]
    public async Task Response_headers_are_sent_once_and_early()
    {
        await using ProbeHost host = await ProbeHost.StartAsync();
        var release = new TaskCompletionSource();
        Exception? again = null;
        host.Behavior.Unary = async (_, context) =>
        {
            await context.WriteResponseHeadersAsync(new Metadata { { "served-by", "probe" }, { "raw-bin", [255] } });
            again = await Record.ExceptionAsync(() => context.WriteResponseHeadersAsync([]));
            await release.Task;
            return new Answer { Text = "done" };
        };
        using HttpResponseMessage response = await host.SendAsync("/probe.v1.Probe/Unary", new ByteArrayContent(ProbeHost.Frame(new Ask())));
        Assert.Equal("probe", response.Headers.GetValues("served-by").Single());
        Assert.Equal("/w==", response.Headers.GetValues("raw-bin").Single());
        release.SetResult();
        new RawResponse(response, await response.Content.ReadAsByteArrayAsync()).AssertOk();
        Assert.IsType<InvalidOperationException>(again);
    }

    [Fact]
    public async Task A_handler_sees_where_the_call_comes_from()
    {
        await using ProbeHost host = await ProbeHost.StartAsync();
        host.Behavior.Unary = (_, context) =>
        {
            HttpContext http = context.GetHttpContext();
            Assert.Equal($"ipv4:127.0.0.1:{http.Connection.RemotePort}", context.Peer);
            Assert.Equal($"127.0.0.1:{http.Connection.LocalPort}", context.Host);
            Assert.Equal("/probe.v1.Probe/Unary", context.Method);
            Assert.False(context.AuthContext.IsPeerAuthenticated);
            return Task.FromResult(new Answer());
        };
        (await host.CallAsync("Unary", new Ask())).AssertOk();
    }

    [Fact]
    public void Keys_are_checked_and_lowered()
    {
        Assert.Equal("x-key_1.a", new Metadata.Entry("X-Key_1.A", "value").Key);
        Assert.Throws<ArgumentException>(() => new Metadata.Entry("a b", "value"));
        Assert.Throws<ArgumentException>(() => new Metadata.Entry("", "value"));
        Assert.Throws<ArgumentException>(() => new Metadata.Entry("a-bin", "value"));
        Assert.Throws<ArgumentException>(() => new Metadata.Entry("a", [1]));
        Assert.Throws<InvalidOperationException>(() => Metadata.Empty.Add("a", "b"));
        var metadata = new Metadata { { "a", "1" }, { "A", "2" } };
        Assert.Equal("2", metadata.GetValue("a"));
        Assert.Equal(["1", "2"], metadata.GetAll("a").Select(entry => entry.Value));
    }
}
