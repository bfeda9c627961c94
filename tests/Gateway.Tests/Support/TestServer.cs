using System.Diagnostics;
using System.Net;
using System.Text;
using System.Text.Json;
using Conclave.Engine;
using Conclave.Grains;
using Conclave.Silo;
using Conclave.Tests.Support;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;

namespace Conclave.Gateway.Tests.Support;

/// <summary>A silo and a gateway in this process, on free ports of the loopback address, as <c>conclave serve</c> runs them.</summary>
public sealed class TestServer : IAsyncDisposable
{
    /// <summary>Largest request, small so that tests of the limit are quick.</summary>
    public const int MaxRequestSizeBytes = 4 << 20;

    /// <summary>How long anything may take.</summary>
    public static readonly TimeSpan Patience = TimeSpan.FromMinutes(6);

    private readonly WebApplication _app;
    private readonly ErrorLog _log;

    private TestServer(WebApplication app, ErrorLog log, GatewayOptions options)
    {
        (_app, _log, Options) = (app, log, options);
        Client = new HttpClient { BaseAddress = new Uri($"http://{options.Listen}/"), Timeout = Patience };
        Rank = app.Services.GetRequiredService<Rank>();
    }

    public GatewayOptions Options { get; }

    /// <summary>Plain HTTP, the base address is the server's root.</summary>
    public HttpClient Client { get; }

    public Rank Rank { get; }

    public EngineStatus Status => Rank.Engine.Status;

    /// <summary>Tokens that end an answer.</summary>
    public IReadOnlyList<int> EndTokenIds => Served.ChatStopTokenIds;

    private ServedModel Served => _app.Services.GetRequiredService<ServedModel>();

    /// <summary>What the server logged as errors so far.</summary>
    public IEnumerable<string> Errors => _log.Errors;

    /// <summary>Starts a server; it is ready when this returns.</summary>
    public static async Task<TestServer> StartAsync(string modelDirectory, EngineOptions engine, int keepAliveMs = 10_000)
    {
        int[] ports = FreePorts.Next(5);
        (string certificate, string key) = TestCertificate.Write();
        var silo = new SiloOptions
        {
            ModelDirectory = modelDirectory,
            Threads = 2,
            SiloPort = ports[0],
            GatewayPort = ports[1],
            ClusterId = $"test-{ports[0]}",
            Engine = engine,
        };
        var gateway = new GatewayOptions
        {
            ModelDirectory = modelDirectory,
            Listen = new IPEndPoint(IPAddress.Loopback, ports[2]),
            GrpcListen = new IPEndPoint(IPAddress.Loopback, ports[3]),
            TlsListen = new IPEndPoint(IPAddress.Loopback, ports[4]),
            TlsCertificatePath = certificate,
            TlsKeyPath = key,
            MaxRequestSizeBytes = MaxRequestSizeBytes,
            KeepAliveMs = keepAliveMs,
            Failover = PatientGateway.Failover,
        };
        var log = new ErrorLog();
        WebApplicationBuilder builder = WebApplication.CreateSlimBuilder();
        builder.Logging.ClearProviders().AddProvider(log);
        builder.Services.AddPatience();
        builder.AddConclaveSilo(silo);
        builder.AddConclaveGateway(gateway);
        builder.WebHost.ConfigureKestrel(PatientGateway.Wait);
        WebApplication app = builder.Build();
        app.MapConclaveGateway();
        await app.StartAsync();
        return new TestServer(app, log, gateway);
    }

    public Task<HttpResponseMessage> PostAsync(string body, string path = "v1/chat/completions") => PostAsync(Encoding.UTF8.GetBytes(body), path);

    public Task<HttpResponseMessage> PostAsync(byte[] body, string path = "v1/chat/completions") =>
        Client.PostAsync(path, new ByteArrayContent(body) { Headers = { ContentType = new("application/json") } });

    /// <summary>Asks for a whole answer, which must come.</summary>
    public async Task<JsonElement> AskAsync(object request, string path = "v1/chat/completions")
    {
        using HttpResponseMessage response = await PostAsync(JsonSerializer.Serialize(request), path);
        string body = await response.Content.ReadAsStringAsync();
        Assert.True(response.StatusCode == HttpStatusCode.OK, body);
        return JsonSerializer.Deserialize<JsonElement>(body);
    }

    /// <summary>Asks for a streamed answer, which must come, and returns it when it is complete.</summary>
    public async Task<StreamedAnswer> StreamAsync(object request, string path = "v1/chat/completions")
    {
        using HttpResponseMessage response = await PostAsync(JsonSerializer.Serialize(request), path);
        Assert.True(response.StatusCode == HttpStatusCode.OK, await response.Content.ReadAsStringAsync());
        Assert.Equal("text/event-stream; charset=utf-8", response.Content.Headers.ContentType!.ToString());
        return StreamedAnswer.Parse(await response.Content.ReadAsStringAsync());
    }

    /// <summary>The tokens of a text.</summary>
    public int[] Encode(string text) => Served.Tokenizer.Encode(text);

    /// <summary>The token that an element of <c>logprobs.content</c> is about, by its bytes; -1 for one without.</summary>
    public int TokenId(JsonElement logprob)
    {
        byte[] bytes = [.. logprob.GetProperty("bytes").EnumerateArray().Select(octet => octet.GetByte())];
        return Enumerable.Range(0, Served.Config.VocabularySize)
            .Where(id => Served.Tokenizer.HasToken(id) && Served.Tokenizer.TokenBytes(id).SequenceEqual(bytes))
            .DefaultIfEmpty(-1).First();
    }

    /// <summary>Waits until <paramref name="condition"/> holds for the engine.</summary>
    public async Task WaitForAsync(Func<EngineStatus, bool> condition, string what)
    {
        long start = Stopwatch.GetTimestamp();
        while (!condition(Status))
        {
            Assert.True(Stopwatch.GetElapsedTime(start) < Patience, $"waited too long for: {what}; {Status}, {Rank.SequenceCount} sequences open");
            await Task.Delay(2);
        }
    }

    /// <summary>Nothing is left of any request: no sequence, no KV page.</summary>
    public Task AssertIdleAsync() =>
        WaitForAsync(s => s is { Running: 0, Waiting: 0, PagesInUse: 0, Fault: null, FailedSteps: 0 } && Rank.SequenceCount == 0, "no sequences and no pages in use");

    public async ValueTask DisposeAsync()
    {
        Client.Dispose();
        await _app.StopAsync();
        await _app.DisposeAsync();
    }
}
