using Conclave.Engine;
using Conclave.Gateway.Completions;
using Conclave.Model.Chat;

namespace Conclave.Gateway.Http;

/// <summary>A streamed chat answer: what happens to its choices becomes chunks.</summary>
internal sealed class ChatStream(ServerSentEvents sse, ChatResponseWriter writer, ChatCompletionRequest request)
{
    private readonly bool[] _hasBegun = new bool[request.Choices];
    private readonly UsageTally _usage = new(request.Choices);

    /// <summary>
    /// Sends what became of choice <paramref name="index"/>. The first token is awaited before anything goes out, so that a refusal is an ordinary HTTP error.
    /// </summary>
    public async Task Send(int index, CompletionEvent happened)
    {
        if (!_hasBegun[index]) await sse.Send(json => writer.WriteFirst(json, index));
        _hasBegun[index] = true;
        if (happened is CompletionEvent.Progress progress) await SendProgress(index, progress);
        else await SendEnd(index, (CompletionEvent.Finished)happened);
    }

    public Task SendError(OperatingException error) => sse.Send(json => ApiError.Write(json, error));

    public Task SendDone() => sse.SendDone();

    private async Task SendProgress(int index, CompletionEvent.Progress progress)
    {
        IReadOnlyList<TokenLogprob>? tokens = progress.Logprobs;
        foreach (ChatDelta delta in progress.Deltas)
        {
            await sse.Send(json => writer.WriteDelta(json, index, delta, tokens));
            tokens = tokens is null ? null : [];
        }

        // Tokens whose text is still held back must not lose their log probabilities.
        if (progress.Deltas.Count == 0 && tokens is { Count: > 0 }) await sse.Send(json => writer.WriteDelta(json, index, new ChatDelta(ChatDeltaKind.Content, ""), tokens));
    }

    /// <summary>The usage is that of all choices: it comes with the end of the last one, or behind it in a chunk of its own.</summary>
    private async Task SendEnd(int index, CompletionEvent.Finished finished)
    {
        CompletionUsage? total = _usage.Add(finished.Usage);
        await sse.Send(json => writer.WriteEnd(json, index, finished.End, request.IncludeUsage ? null : total));
        if (request.IncludeUsage && total is not null) await sse.Send(json => writer.WriteUsageChunk(json, total));
    }
}
