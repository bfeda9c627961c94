using System.Net.Http.Headers;
using System.Net.Http.Json;
using System.Net.ServerSentEvents;
using System.Runtime.CompilerServices;
using System.Text.Json;
using System.Text.Json.Nodes;

namespace Conclave.Cli.Chat;

/// <summary>A piece of an answer.</summary>
/// <param name="Text">The text.</param>
/// <param name="IsReasoning">Reasoning rather than content.</param>
internal readonly record struct AnswerPiece(string Text, bool IsReasoning);

/// <summary>Streams chat completions from any server that speaks the API.</summary>
internal sealed class ChatClient : IDisposable
{
    private readonly HttpClient _http;

    public ChatClient(Uri server, string? apiKey)
    {
        _http = new HttpClient { BaseAddress = new Uri(server, "/"), Timeout = Timeout.InfiniteTimeSpan };
        if (apiKey is not null) _http.DefaultRequestHeaders.Authorization = new AuthenticationHeaderValue("Bearer", apiKey);
    }

    /// <summary>The pieces of one answer as they come.</summary>
    /// <exception cref="HttpRequestException">The server refused or failed; the message is its own.</exception>
    public async IAsyncEnumerable<AnswerPiece> Stream(JsonObject body, [EnumeratorCancellation] CancellationToken cancellationToken)
    {
        using var request = new HttpRequestMessage(HttpMethod.Post, "v1/chat/completions") { Content = JsonContent.Create(body) };
        using HttpResponseMessage response = await _http.SendAsync(request, HttpCompletionOption.ResponseHeadersRead, cancellationToken);
        if (!response.IsSuccessStatusCode)
            throw new HttpRequestException(ErrorMessage(await response.Content.ReadAsStringAsync(cancellationToken)) ?? $"the server answered {(int)response.StatusCode}");
        await using Stream stream = await response.Content.ReadAsStreamAsync(cancellationToken);
        await foreach (SseItem<string> item in SseParser.Create(stream).EnumerateAsync(cancellationToken))
        {
            if (item.Data == "[DONE]") yield break;
            if (ErrorMessage(item.Data) is { } error) throw new HttpRequestException(error);
            JsonNode? delta = JsonNode.Parse(item.Data)?["choices"]?.AsArray().FirstOrDefault()?["delta"];
            if ((string?)delta?["reasoning_content"] is { Length: > 0 } reasoning) yield return new AnswerPiece(reasoning, IsReasoning: true);
            if ((string?)delta?["content"] is { Length: > 0 } content) yield return new AnswerPiece(content, IsReasoning: false);
        }
    }

    public void Dispose() => _http.Dispose();

    private static string? ErrorMessage(string body)
    {
        try
        {
            return JsonNode.Parse(body) is JsonObject json ? (string?)json["error"]?["message"] : null;
        }
        catch (JsonException)
        {
            // Not our kind of error body; the caller falls back to the status.
            return null;
        }
    }
}
