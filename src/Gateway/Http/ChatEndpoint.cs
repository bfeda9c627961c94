using System.Text.Json;
using Conclave.Gateway.Completions;
using Microsoft.AspNetCore.Http;

namespace Conclave.Gateway.Http;

/// <summary><c>POST /chat/completions</c>: streaming or not.</summary>
internal sealed class ChatEndpoint(ServedModel served, CompletionBuilder builder, CompletionRunner runner, GatewayOptions options, TimeProvider clock)
{
    public async Task Handle(HttpContext context)
    {
        using JsonDocument body = await JsonBody.Read(context.Request, context.RequestAborted);
        ChatCompletionRequest request = ChatCompletionRequest.Read(body.RootElement, served, ApiKey.DigestOf(context.Request));
        CompletionRequest completion = builder.Chat(request.Chat, request.Sampling, request.Output) with { Service = request.Service };
        var writer = new ChatResponseWriter(served, request, completion.Chat!.ThinkingOpen, clock.GetUtcNow());
        await using IAsyncEnumerator<ChoiceEvent> events = Choices.Run(runner, completion, request.Choices, context.RequestAborted).GetAsyncEnumerator(context.RequestAborted);
        if (request.Stream) await Stream(context, writer, events, request);
        else await Whole(context, writer, events, request.Choices);
    }

    /// <summary>The whole answer at once; a client that waits long gets empty lines before the JSON, which parsers skip.</summary>
    private async Task Whole(HttpContext context, ChatResponseWriter writer, IAsyncEnumerator<ChoiceEvent> events, int count)
    {
        ChatChoice[] choices = [.. Enumerable.Range(0, count).Select(_ => new ChatChoice())];
        using var keepAlive = new KeepAlive(context.Response, "\n"u8.ToArray(), "application/json", options.KeepAliveMs, clock);
        try
        {
            while (await keepAlive.While(events.MoveNextAsync()))
            {
                (int index, CompletionEvent happened) = events.Current;
                if (happened is CompletionEvent.Placed placed) keepAlive.MayBegin = placed.IsAccepted;
                else choices[index].Add(happened);
            }
        }
        catch (Exception e) when (context.Response.HasStarted && e is not OperationCanceledException)
        {
            // The status is out already; the body is all that can still tell.
            await JsonBody.Respond(context.Response, json => ApiError.Write(json, ErrorMap.Explain(e)));
            return;
        }

        await JsonBody.Respond(context.Response, json => writer.WriteWhole(json, choices));
    }

    private async Task Stream(HttpContext context, ChatResponseWriter writer, IAsyncEnumerator<ChoiceEvent> events, ChatCompletionRequest request)
    {
        var stream = new ChatStream(new ServerSentEvents(context.Response), writer, request);
        using var keepAlive = new KeepAlive(context.Response, ": keep-alive\n\n"u8.ToArray(), ServerSentEvents.ContentType, options.KeepAliveMs, clock);
        try
        {
            while (await keepAlive.While(events.MoveNextAsync()))
            {
                if (events.Current.Happened is CompletionEvent.Placed placed) keepAlive.MayBegin = placed.IsAccepted;
                else await stream.Send(events.Current.Index, events.Current.Happened);
            }
        }
        catch (Exception e) when (context.Response.HasStarted && e is not OperationCanceledException)
        {
            await stream.SendError(ErrorMap.Explain(e));
            return;
        }

        await stream.SendDone();
    }
}
