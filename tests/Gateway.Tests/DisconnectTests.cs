using System.Text.Json;
using Conclave.Engine;
using Conclave.Gateway.Tests.Support;
using Conclave.V1;

namespace Conclave.Gateway.Tests;

/// <summary>A client that goes away frees its sequence at once, whatever the sequence was doing.</summary>
[Collection(nameof(RandomServer))]
public sealed class DisconnectTests(RandomServer fixture)
{
    private const int LongTokens = 14_000;

    private readonly TestServer _server = fixture.Server;

    /// <summary>What a sequence does when its client goes away.</summary>
    public enum Stage
    {
        Queued,
        Prefill,
        Decode,
    }

    /// <summary>How the client had asked.</summary>
    public enum Way
    {
        Whole,
        Stream,
        GrpcChat,
        GrpcGenerate,
    }

    public static TheoryData<Stage, Way> Cases()
    {
        var cases = new TheoryData<Stage, Way>();
        foreach (Stage stage in Enum.GetValues<Stage>())
            foreach (Way way in Enum.GetValues<Way>()) cases.Add(stage, way);
        return cases;
    }

    [Theory]
    [MemberData(nameof(Cases))]
    public async Task The_sequence_is_freed(Stage stage, Way way)
    {
        try
        {
            await LeaveAsync(stage, way);
        }
        finally
        {
            fixture.Steps.Release();
        }
    }

    private async Task LeaveAsync(Stage stage, Way way)
    {
        await _server.AssertIdleAsync();
        using var blockerGone = new CancellationTokenSource();
        using var gone = new CancellationTokenSource();
        Task blocker = Task.CompletedTask;
        if (stage == Stage.Queued)
        {
            // Its pages and those of the one that is to wait for them are more than there are.
            fixture.Steps.HoldWhen(() => _server.Status.Running == 1);
            blocker = AskAsync(Way.GrpcGenerate, $"{way} ".PadRight(15_000, 'b'), 1000, blockerGone.Token);
            await fixture.Steps.HeldAsync();
        }

        EngineStatus before = _server.Status;
        string prompt = stage switch { Stage.Prefill => $"{way} ".PadRight(12_000, 'p'), Stage.Queued => $"{way} ".PadRight(13_000, 'q'), _ => "short" };
        // Nothing goes on until it is freed: what it was doing when its client left is what is asked for.
        if (stage != Stage.Queued) fixture.Steps.HoldWhen(() => Reached(stage, before, _server.Status));
        Task client = AskAsync(way, prompt, stage == Stage.Decode ? LongTokens : 1000, gone.Token);
        await _server.WaitForAsync(s => Reached(stage, before, s), $"{stage}");
        await gone.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => client);
        if (stage == Stage.Queued)
        {
            await _server.WaitForAsync(s => s is { Running: 1, Waiting: 0 } && _server.Rank.SequenceCount == 1, "only the first sequence is left");
            await blockerGone.CancelAsync();
            await Assert.ThrowsAnyAsync<OperationCanceledException>(() => blocker);
        }

        await _server.WaitForAsync(_ => _server.Rank.SequenceCount == 0, "no sequence is open");
        fixture.Steps.Release();
        await _server.AssertIdleAsync();
        EngineStatus after = _server.Status;
        if (stage == Stage.Prefill) Assert.InRange(after.PromptTokens - before.PromptTokens, 1, 11_999);
        Assert.InRange(after.GeneratedTokens - before.GeneratedTokens, 0, LongTokens - 1);
        Assert.Empty(_server.Errors);
    }

    private static bool Reached(Stage stage, EngineStatus before, EngineStatus now) => stage switch
    {
        Stage.Queued => now.Waiting == 1,
        Stage.Prefill => now.Running == 1 && now.PromptTokens > before.PromptTokens,
        _ => now.Running == 1 && now.GeneratedTokens > before.GeneratedTokens + 20,
    };

    private async Task AskAsync(Way way, string prompt, int maxTokens, CancellationToken gone)
    {
        if (way is Way.Whole or Way.Stream)
        {
            string body = JsonSerializer.Serialize(new { model = "deepseek-chat", messages = ChatTests.User(prompt), max_tokens = maxTokens, temperature = 0, stream = way == Way.Stream });
            using var request = new HttpRequestMessage(HttpMethod.Post, "chat/completions") { Content = new StringContent(body) };
            using HttpResponseMessage response = await _server.Client.SendAsync(request, HttpCompletionOption.ResponseHeadersRead, gone);
            await response.Content.CopyToAsync(Stream.Null, gone);
            return;
        }

        using var probe = new GrpcProbe(_server);
        var sampling = new Sampling { Temperature = 0, MaxTokens = maxTokens };
        using GrpcProbeCall call = way == Way.GrpcChat
            ? await probe.OpenAsync("Chat", new ChatRequest { Messages = { new ChatMessage { Role = "user", Content = prompt } }, Sampling = sampling }, cancellationToken: gone)
            : await probe.OpenAsync("Generate", new GenerateRequest { Text = prompt, Sampling = sampling, IgnoreEos = true }, cancellationToken: gone);
        using CancellationTokenRegistration hangUp = gone.Register(call.Dispose);
        try
        {
            await call.ReadAllAsync(GenerateChunk.Parser);
        }
        catch (Exception) when (gone.IsCancellationRequested)
        {
            // Disposing the call breaks its stream; the reader sees that as one fault or another.
        }

        gone.ThrowIfCancellationRequested();
    }
}
