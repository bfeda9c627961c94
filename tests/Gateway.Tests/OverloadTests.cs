using System.Globalization;
using System.Net;
using System.Text.Json;
using Conclave.Engine;
using Conclave.Gateway.Tests.Support;
using Conclave.Tests.Support;
using Conclave.V1;

namespace Conclave.Gateway.Tests;

/// <summary>A server with one place and a queue of one, both taken.</summary>
public sealed class OverloadTests : IAsyncLifetime
{
    private readonly string _model = TestModels.Synthesize(16_384);
    private readonly StepGate _steps = new();
    private TestServer _server = null!;

    public async Task InitializeAsync() =>
        _server = await TestServer.StartAsync(_model, new EngineOptions { MaxBatch = 1, MaxStepRows = 64, MaxQueue = 1, KvMemorySizeBytes = 4 << 20, BeforeStep = _steps.Pass });

    public async Task DisposeAsync()
    {
        _steps.Release();
        await _server.DisposeAsync();
        Directory.Delete(Path.GetDirectoryName(_model)!, recursive: true);
    }

    [Fact]
    public async Task Refusals_say_when_to_come_back_in_both_protocols()
    {
        using var probe = new GrpcProbe(_server);
        var request = new GenerateRequest { Text = "long", IgnoreEos = true, Sampling = new Sampling { MaxTokens = 16_000 } };
        // Both stay where they are; the first has begun to answer.
        _steps.HoldWhen(() => _server.Status.GeneratedTokens > 200);
        using GrpcProbeCall running = await probe.OpenAsync("Generate", request);
        await _steps.HeldAsync();
        using var enough = new CancellationTokenSource();
        Task<GrpcProbeCall> waiting = probe.OpenAsync("Generate", request, cancellationToken: enough.Token);
        await _server.WaitForAsync(s => s.Waiting == 1, "the second waits");

        string body = JsonSerializer.Serialize(new { model = "deepseek-chat", messages = ChatTests.User("hello"), max_tokens = 5 });
        using HttpResponseMessage refused = await _server.Client.PostAsync("chat/completions", new StringContent(body));
        Assert.Equal(HttpStatusCode.TooManyRequests, refused.StatusCode);
        int seconds = (int)refused.Headers.RetryAfter!.Delta!.Value.TotalSeconds;
        Assert.InRange(seconds, 1, 60);
        using JsonDocument error = JsonDocument.Parse(await refused.Content.ReadAsStringAsync());
        Assert.Equal("rate_limit_exceeded", error.RootElement.GetProperty("error").GetProperty("code").GetString());
        Assert.Contains($"retry in {seconds} s", error.RootElement.GetProperty("error").GetProperty("message").GetString(), StringComparison.Ordinal);

        using GrpcProbeCall call = await probe.OpenAsync("Generate", request);
        await call.ReadAllAsync(GenerateChunk.Parser);
        Assert.Equal(8, call.Status);
        Assert.InRange(int.Parse(call.PushbackMs!, CultureInfo.InvariantCulture), 1000, 60_000);
        await enough.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => waiting);
    }
}
