using System.Diagnostics;
using System.Net.Http.Json;
using System.Net.ServerSentEvents;
using System.Text;
using System.Text.Json.Nodes;

namespace Conclave.Cli.Chaos;

/// <summary>All that must be the same in two runs of one request.</summary>
/// <param name="Content">The text.</param>
/// <param name="Reasoning">The reasoning.</param>
/// <param name="Tokens">Tokens with their log probabilities as the server wrote them; empty where they were not asked for.</param>
/// <param name="FinishReason">Why it ended.</param>
/// <param name="CompletionTokens">Tokens generated.</param>
internal sealed record Answer(string Content, string Reasoning, string Tokens, string FinishReason, int CompletionTokens)
{
    /// <summary>Where this answer leaves <paramref name="expected"/>, for people.</summary>
    public string Difference(Answer expected)
    {
        (string name, string was, string due) = new[]
        {
            ("tokens", Tokens, expected.Tokens), ("reasoning", Reasoning, expected.Reasoning), ("content", Content, expected.Content),
            ("finish_reason", FinishReason, expected.FinishReason), ("completion_tokens", $"{CompletionTokens}", $"{expected.CompletionTokens}"),
        }.First(field => field.Item2 != field.Item3);
        int same = was.Zip(due).TakeWhile(pair => pair.First == pair.Second).Count();
        return $"{name} at character {same} of {due.Length}: \"{Piece(was, same)}\" instead of \"{Piece(due, same)}\"";
    }

    private static string Piece(string text, int start) => text.Substring(Math.Min(Math.Max(0, start - 20), text.Length), Math.Min(60, text.Length - Math.Min(Math.Max(0, start - 20), text.Length)));
}

/// <summary>One request as it went.</summary>
/// <param name="Case">The request.</param>
/// <param name="Answer">The answer.</param>
/// <param name="Began">When it was sent; <see cref="Stopwatch"/> ticks, as below.</param>
/// <param name="Arrivals">When each piece with tokens came; empty if it was not streamed.</param>
/// <param name="CachedTokens">Prompt tokens that the server did not compute.</param>
internal sealed record Exchange(ChaosCase Case, Answer Answer, long Began, IReadOnlyList<long> Arrivals, int CachedTokens = 0);

/// <summary>Sends requests and notes when each token arrives.</summary>
internal sealed class LoadClient : IDisposable
{
    // Longer than any recovery: who waits longer hangs.
    private readonly HttpClient _http = new(new SocketsHttpHandler { ConnectTimeout = TimeSpan.FromMinutes(1) }) { Timeout = TimeSpan.FromMinutes(5) };

    /// <summary>Runs one request to its end.</summary>
    /// <exception cref="HttpRequestException">The server refused it or broke it off.</exception>
    /// <exception cref="IOException">The connection broke.</exception>
    /// <exception cref="TimeoutException">No end came.</exception>
    public async Task<Exchange> Run(Uri gateway, ChaosCase @case, CancellationToken cancellationToken)
    {
        using var limit = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        limit.CancelAfter(_http.Timeout);
        try
        {
            long began = Stopwatch.GetTimestamp();
            using var request = new HttpRequestMessage(HttpMethod.Post, new Uri(gateway, "v1/chat/completions")) { Content = JsonContent.Create(@case.Body) };
            using HttpResponseMessage response = await _http.SendAsync(request, HttpCompletionOption.ResponseHeadersRead, limit.Token);
            if (!response.IsSuccessStatusCode)
                throw new HttpRequestException($"{(int)response.StatusCode} {await response.Content.ReadAsStringAsync(limit.Token)}", inner: null, response.StatusCode);
            var reading = new Reading();
            if (@case.Streams) await ReadStream(reading, response, limit.Token);
            else reading.Add(JsonNode.Parse(await response.Content.ReadAsStringAsync(limit.Token))!, "message");
            return new Exchange(@case, reading.Answer, began, reading.Arrivals, reading.CachedTokens);
        }
        catch (OperationCanceledException) when (!cancellationToken.IsCancellationRequested)
        {
            throw new TimeoutException($"no end after {_http.Timeout.TotalSeconds:F0} s");
        }
    }

    public void Dispose() => _http.Dispose();

    private static async Task ReadStream(Reading reading, HttpResponseMessage response, CancellationToken cancellationToken)
    {
        await using Stream stream = await response.Content.ReadAsStreamAsync(cancellationToken);
        await foreach (SseItem<string> item in SseParser.Create(stream).EnumerateAsync(cancellationToken))
        {
            if (item.Data == "[DONE]") return;
            reading.Add(JsonNode.Parse(item.Data)!, "delta");
        }

        throw new IOException("the stream ended without [DONE]");
    }

    private sealed class Reading
    {
        private readonly StringBuilder _content = new(), _reasoning = new(), _tokens = new();
        private string _finish = "";
        private int _count;

        public List<long> Arrivals { get; } = [];

        public int CachedTokens { get; private set; }

        public Answer Answer => new(_content.ToString(), _reasoning.ToString(), _tokens.ToString(), _finish, _count);

        public void Add(JsonNode body, string part)
        {
            if (body["error"] is { } error) throw new HttpRequestException($"an error instead of an answer: {error.ToJsonString()}");
            if (body["usage"] is { } usage) (_count, CachedTokens) = ((int)usage["completion_tokens"]!, (int)usage["prompt_cache_hit_tokens"]!);
            if (body["choices"] is not JsonArray { Count: > 0 } choices) return;
            JsonNode choice = choices[0]!;
            int before = _content.Length + _reasoning.Length + _tokens.Length;
            _content.Append((string?)choice[part]?["content"]);
            _reasoning.Append((string?)choice[part]?["reasoning_content"]);
            foreach (JsonNode? token in choice["logprobs"]?["content"]?.AsArray() ?? []) _tokens.Append(token!.ToJsonString());
            _finish += (string?)choice["finish_reason"];
            if (part == "delta" && _content.Length + _reasoning.Length + _tokens.Length > before) Arrivals.Add(Stopwatch.GetTimestamp());
        }
    }
}
