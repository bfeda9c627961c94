using System.Net;
using System.Net.Http.Headers;
using Grpc.Core;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Server.Kestrel.Core;

namespace Conclave.Compat.Tests.Grpc;

public sealed class StatusTests
{
    [Theory]
    [InlineData("plain text", "plain text")]
    [InlineData("50% \u00e9\u4e2d\U0001F40B\n", "50%25 %C3%A9%E4%B8%AD%F0%9F%90%8B%0A")]
    [InlineData("lone * half", "lone %EF%BF%BD half")]
    public async Task Status_messages_are_percent_encoded(string detail, string encoded)
    {
        await using ProbeHost host = await ProbeHost.StartAsync();
        // The star stands for half a surrogate pair, which an attribute cannot hold.
        host.Behavior.Unary = (_, _) => throw new RpcException(new Status(StatusCode.NotFound, detail.Replace('*', '\ud800')));
        RawResponse response = await host.CallAsync("Unary", new Ask());
        Assert.Equal(StatusCode.NotFound, response.Status);
        Assert.Equal(encoded, response.RawMessage);
    }

    [Fact]
    public async Task An_exception_with_trailers_adds_to_those_of_the_call()
    {
        await using ProbeHost host = await ProbeHost.StartAsync();
        host.Behavior.Stream = async (_, answers, context) =>
        {
            context.ResponseTrailers.Add("cost", "3");
            await answers.WriteAsync(new Answer { Text = "first" });
            throw new RpcException(new Status(StatusCode.Aborted, "then not"), new Metadata { { "field", "text" }, { "raw-bin", [1, 2, 250] } });
        };
        RawResponse response = await host.CallAsync("Stream", new Ask());
        Assert.Equal((StatusCode.Aborted, "then not"), (response.Status, response.Message));
        Assert.Equal(("3", "text", "AQL6"), (response.Trailer("cost"), response.Trailer("field"), response.Trailer("raw-bin")));
        Assert.Equal("first", response.Messages(Answer.Parser).Single().Text);
    }

    [Theory]
    [InlineData(null, "Exception was thrown by handler.")]
    [InlineData(true, "Exception was thrown by handler. InvalidOperationException: outer ArgumentException: inner")]
    public async Task Unhandled_exceptions_show_detail_only_if_wanted(bool? detailed, string expected)
    {
        await using ProbeHost host = await ProbeHost.StartAsync(options => options.EnableDetailedErrors = detailed);
        host.Behavior.Unary = (_, _) => throw new InvalidOperationException("outer", new ArgumentException("inner"));
        RawResponse response = await host.CallAsync("Unary", new Ask());
        Assert.Equal((StatusCode.Unknown, expected), (response.Status, response.Message));
    }

    [Fact]
    public async Task A_status_set_by_the_handler_is_sent()
    {
        await using ProbeHost host = await ProbeHost.StartAsync();
        host.Behavior.Unary = (_, context) =>
        {
            context.Status = new Status(StatusCode.DataLoss, "half of it");
            return Task.FromResult(new Answer { Text = "half" });
        };
        RawResponse response = await host.CallAsync("Unary", new Ask());
        Assert.Equal((StatusCode.DataLoss, "half of it"), (response.Status, response.Message));
    }

    [Fact]
    public async Task A_missing_response_and_unsendable_trailers_end_the_call_well()
    {
        await using ProbeHost host = await ProbeHost.StartAsync();
        host.Behavior.Unary = (_, _) => Task.FromResult<Answer>(null!);
        Assert.Equal(StatusCode.Cancelled, (await host.CallAsync("Unary", new Ask())).Status);
        host.Behavior.Unary = (_, context) =>
        {
            context.ResponseTrailers.Add("name", "caf\u00e9\n");
            return Task.FromResult(new Answer());
        };
        Assert.Equal(StatusCode.Internal, (await host.CallAsync("Unary", new Ask())).Status);
    }

    [Theory]
    [InlineData("/probe.v1.Probe/Nope", "Method is unimplemented.")]
    [InlineData("/probe.v2.Probe/Unary", "Service is unimplemented.")]
    public async Task Unknown_methods_and_services_are_unimplemented(string path, string expected)
    {
        await using ProbeHost host = await ProbeHost.StartAsync();
        RawResponse response = await host.CallPathAsync(path, new ByteArrayContent(ProbeHost.Frame(new Ask())));
        Assert.Equal((HttpStatusCode.OK, StatusCode.Unimplemented, expected), (response.HttpStatus, response.Status, response.Message));
    }

    [Fact]
    public async Task Other_routes_stay_free()
    {
        await using ProbeHost host = await ProbeHost.StartAsync(map: app => app.MapPost("/v1/{name}", (string name) => Results.Text(name)));
        using HttpResponseMessage response = await host.SendAsync("/v1/models", new StringContent("{}", new MediaTypeHeaderValue("application/json")));
        Assert.Equal("models", await response.Content.ReadAsStringAsync());
        using HttpResponseMessage missing = await host.SendAsync("/v2/models", new StringContent("{}", new MediaTypeHeaderValue("application/json")));
        Assert.Equal(HttpStatusCode.NotFound, missing.StatusCode);
    }

    [Theory]
    [InlineData("application/grpc", HttpStatusCode.OK)]
    [InlineData("application/grpc+proto", HttpStatusCode.OK)]
    [InlineData("application/grpc;charset=utf-8", HttpStatusCode.OK)]
    [InlineData("application/json", HttpStatusCode.UnsupportedMediaType)]
    [InlineData("application/grpc-web", HttpStatusCode.UnsupportedMediaType)]
    public async Task Content_types_are_checked(string contentType, HttpStatusCode expected)
    {
        await using ProbeHost host = await ProbeHost.StartAsync();
        var content = new ByteArrayContent(ProbeHost.Frame(new Ask()));
        content.Headers.ContentType = MediaTypeHeaderValue.Parse(contentType);
        RawResponse response = await host.CallPathAsync("/probe.v1.Probe/Unary", content);
        Assert.Equal((expected, expected == HttpStatusCode.OK ? StatusCode.OK : StatusCode.Internal), (response.HttpStatus, response.Status));
    }

    [Fact]
    public async Task Http_1_is_refused_with_an_explanation()
    {
        await using ProbeHost host = await ProbeHost.StartAsync(protocols: HttpProtocols.Http1);
        var content = new ByteArrayContent(ProbeHost.Frame(new Ask()));
        content.Headers.ContentType = new MediaTypeHeaderValue("application/grpc");
        using HttpResponseMessage response = await host.Http.PostAsync("/probe.v1.Probe/Unary", content);
        Assert.Equal(HttpStatusCode.UpgradeRequired, response.StatusCode);
        Assert.Contains("HTTP/1.1", response.Headers.GetValues("grpc-message").Single());
    }
}
