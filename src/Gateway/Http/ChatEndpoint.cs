using System.Text.Json;
using Conclave.Gateway.Completions;
using Conclave.Model.Chat;
using Microsoft.AspNetCore.Http;

namespace Conclave.Gateway.Http;

/// <summary><c>POST /chat/completions</c>: streaming or not.</summary>
internal sealed class ChatEndpoint(ServedModel served, CompletionBuilder builder, CompletionRunner runner, GatewayOptions options, TimeProvider clock)
{
    public async Task Handle(HttpContext context)
    {
        using JsonDocument body = await JsonBody.Read(context.Request, context.RequestAborted);
        ChatCompletionRequest request = ChatCompletionRequest.Read(body.RootElement, served);
        CompletionRequest completion = builder.Chat(request.Chat, request.Sampling);
        var writer = new ChatResponseWriter(served, request, completion.Chat!.ThinkingOpen, clock.GetUtcNow());
        await using IAsyncEnumerator<CompletionEvent> events = runner.Run(completion, context.RequestAborted).GetAsyncEnumerator(context.RequestAborted);
        if (request.Stream) await Stream(context, writer, events, request.IncludeUsage);
        else await Whole(context, writer, events);
    }

    /// <summary>The whole answer at once; a client that waits long gets empty lines before the JSON, which parsers skip.</summary>
    private async Task Whole(HttpContext context, ChatResponseWriter writer, IAsyncEnumerator<CompletionEvent> events)
    {
        var deltas = new List<ChatDelta>();
        var tokens = new List<TokenLogprob>();
        CompletionEvent.Finished? finished = null;
        using var keepAlive = new KeepAlive(context.Response, "\n"u8.ToArray(), "application/json", options.KeepAliveMs, clock);
        try
        {
            while (finished is null && await keepAlive.While(events.MoveNextAsync()))
            {
                if (events.Current is CompletionEvent.Placed placed) keepAlive.MayBegin = placed.IsAccepted;
                if (events.Current is CompletionEvent.Progress progress)
                {
                    deltas.AddRange(progress.Deltas);
                    tokens.AddRange(progress.Logprobs ?? []);
                }

                finished = events.Current as CompletionEvent.Finished;
            }
        }
        catch (Exception e) when (context.Response.HasStarted && e is not OperationCanceledException)
        {
            // The status is out already; the body is all that can still tell.
            await JsonBody.Respond(context.Response, json => ApiError.Write(json, ErrorMap.Explain(e)));
            return;
        }

        await JsonBody.Respond(context.Response, json => writer.WriteWhole(json, deltas, tokens, finished!));
    }

    private async Task Stream(HttpContext context, ChatResponseWriter writer, IAsyncEnumerator<CompletionEvent> events, bool extraUsage)
    {
        var sse = new ServerSentEvents(context.Response);
        using var keepAlive = new KeepAlive(context.Response, ": keep-alive\n\n"u8.ToArray(), ServerSentEvents.ContentType, options.KeepAliveMs, clock);
        try
        {
            bool begun = false;
            while (await keepAlive.While(events.MoveNextAsync()))
            {
                if (events.Current is CompletionEvent.Placed placed)
                {
                    keepAlive.MayBegin = placed.IsAccepted;
                    continue;
                }

                // The first token is awaited before the status goes out, so that a refusal is an ordinary HTTP error.
                if (!begun) await sse.Send(writer.WriteFirst);
                begun = true;
                if (events.Current is CompletionEvent.Progress progress) await Send(sse, writer, progress);
                else await SendEnd(sse, writer, (CompletionEvent.Finished)events.Current, extraUsage);
            }
        }
        catch (Exception e) when (context.Response.HasStarted && e is not OperationCanceledException)
        {
            await sse.Send(json => ApiError.Write(json, ErrorMap.Explain(e)));
            return;
        }

        await sse.SendDone();
    }

    private static async Task Send(ServerSentEvents sse, ChatResponseWriter writer, CompletionEvent.Progress progress)
    {
        IReadOnlyList<TokenLogprob>? tokens = progress.Logprobs;
        foreach (ChatDelta delta in progress.Deltas)
        {
            await sse.Send(json => writer.WriteDelta(json, delta, tokens));
            tokens = tokens is null ? null : [];
        }

        // Tokens whose text is still held back must not lose their log probabilities.
        if (progress.Deltas.Count == 0 && tokens is { Count: > 0 }) await sse.Send(json => writer.WriteDelta(json, new ChatDelta(ChatDeltaKind.Content, ""), tokens));
    }

    private static async Task SendEnd(ServerSentEvents sse, ChatResponseWriter writer, CompletionEvent.Finished finished, bool extraUsage)
    {
        await sse.Send(json => writer.WriteEnd(json, finished));
        if (extraUsage) await sse.Send(json => writer.WriteUsageChunk(json, finished.Usage));
    }
}
