using System.Globalization;
using System.Net;
using System.Net.Http.Headers;
using Google.Protobuf;
using Grpc.AspNetCore.Server;
using Grpc.Core;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;

namespace Conclave.Compat.Tests.Grpc;

/// <summary>A server with the probe service on a free port, and a plain HTTP/2 client that knows nothing of gRPC.</summary>
internal sealed class ProbeHost : IAsyncDisposable
{
    /// <summary>On a busy machine everything takes its time; only what never comes is a failure.</summary>
    private static readonly TimeSpan Patience = TimeSpan.FromMinutes(4);

    private readonly WebApplication _app;

    private ProbeHost(WebApplication app)
    {
        _app = app;
        Behavior = app.Services.GetRequiredService<ProbeBehavior>();
        Http = new HttpClient { BaseAddress = new Uri(app.Urls.Single()), Timeout = Patience };
    }

    public ProbeBehavior Behavior { get; }

    public HttpClient Http { get; }

    public static async Task<ProbeHost> StartAsync(
        Action<GrpcServiceOptions>? options = null, Action<IServiceCollection>? services = null, Action<WebApplication>? map = null,
        HttpProtocols protocols = HttpProtocols.Http2)
    {
        WebApplicationBuilder builder = WebApplication.CreateSlimBuilder();
        builder.Logging.ClearProviders();
        builder.WebHost.ConfigureKestrel(kestrel =>
        {
            kestrel.Listen(IPAddress.Loopback, 0, listen => listen.Protocols = protocols);
            // A client that stood still for some seconds is cut off otherwise.
            (kestrel.Limits.MinRequestBodyDataRate, kestrel.Limits.MinResponseDataRate) = (null, null);
            (kestrel.Limits.RequestHeadersTimeout, kestrel.Limits.KeepAliveTimeout) = (Patience, Patience);
        });
        builder.Services.Configure<HostOptions>(host => host.ShutdownTimeout = Patience);
        builder.Services.AddSingleton<ProbeBehavior>();
        builder.Services.AddGrpc(options ?? (_ => { }));
        services?.Invoke(builder.Services);
        WebApplication app = builder.Build();
        app.MapGrpcService<ProbeService>();
        map?.Invoke(app);
        await app.StartAsync();
        return new ProbeHost(app);
    }

    /// <summary>One message in its frame.</summary>
    public static byte[] Frame(byte[] message, byte flag = 0)
        => [flag, (byte)(message.Length >> 24), (byte)(message.Length >> 16), (byte)(message.Length >> 8), (byte)message.Length, .. message];

    public static byte[] Frame(IMessage message) => Frame(message.ToByteArray());

    /// <summary>Calls a method of the probe service with one message and waits for the end.</summary>
    public Task<RawResponse> CallAsync(string method, IMessage message, params (string Name, string Value)[] headers)
        => CallAsync(method, Frame(message), headers);

    /// <summary>Calls a method of the probe service with a raw body and waits for the end.</summary>
    public Task<RawResponse> CallAsync(string method, byte[] body, params (string Name, string Value)[] headers)
        => CallPathAsync($"/probe.v1.Probe/{method}", new ByteArrayContent(body), headers);

    public async Task<RawResponse> CallPathAsync(string path, HttpContent content, params (string Name, string Value)[] headers)
    {
        using HttpResponseMessage response = await SendAsync(path, content, headers);
        byte[] body = await response.Content.ReadAsByteArrayAsync();
        return new RawResponse(response, body);
    }

    /// <summary>Starts a call; returns when the response headers are there.</summary>
    public Task<HttpResponseMessage> SendAsync(string path, HttpContent content, params (string Name, string Value)[] headers)
    {
        content.Headers.ContentType ??= new MediaTypeHeaderValue("application/grpc");
        var request = new HttpRequestMessage(HttpMethod.Post, path)
        {
            Content = content,
            Version = HttpVersion.Version20,
            VersionPolicy = HttpVersionPolicy.RequestVersionExact,
        };
        request.Headers.TE.ParseAdd("trailers");
        foreach ((string name, string value) in headers)
            Assert.True(request.Headers.TryAddWithoutValidation(name, value));
        return Http.SendAsync(request, HttpCompletionOption.ResponseHeadersRead);
    }

    /// <summary>
    /// Has a method of the probe service handle a request that is all there, on this thread and without a connection: what that allocates is not mixed up with what anything else in the process does.
    /// </summary>
    /// <returns>The status that ends the call, and the bytes allocated until then.</returns>
    public (StatusCode Status, long AllocatedBytes) Handle(string method, byte[] body, params (string Name, string Value)[] headers)
    {
        Endpoint endpoint = _app.Services.GetRequiredService<EndpointDataSource>().Endpoints
            .Single(endpoint => endpoint is RouteEndpoint route && route.RoutePattern.RawText == $"/probe.v1.Probe/{method}");
        using IServiceScope scope = _app.Services.CreateScope();
        var context = new DefaultHttpContext { RequestServices = scope.ServiceProvider };
        (context.Request.Protocol, context.Request.ContentType, context.Request.Body) = ("HTTP/2", "application/grpc", new MemoryStream(body));
        foreach ((string name, string value) in headers)
            context.Request.Headers[name] = value;
        long before = GC.GetAllocatedBytesForCurrentThread();
        Task handling = endpoint.RequestDelegate!(context);
        long allocated = GC.GetAllocatedBytesForCurrentThread() - before;
        Assert.True(handling.IsCompletedSuccessfully, "The request was not handled on this thread.");
        return ((StatusCode)int.Parse(context.Response.Headers["grpc-status"].ToString(), CultureInfo.InvariantCulture), allocated);
    }

    public Task StopAsync() => _app.StopAsync();

    public async ValueTask DisposeAsync()
    {
        Http.Dispose();
        await _app.DisposeAsync();
    }
}
