using System.Net.Http.Json;
using System.Text.Json.Nodes;
using Conclave.Gateway;

namespace Conclave.Cli.Local;

/// <summary>Asks processes whether they serve yet.</summary>
internal sealed class ReadinessProbe : IDisposable
{
    private readonly HttpClient _http = new() { Timeout = TimeSpan.FromSeconds(20) };

    /// <summary>What the last one asked had to say.</summary>
    public string LastAnswer { get; private set; } = "no answer";

    /// <summary>Whether a silo says that it serves.</summary>
    public Task<bool> IsHealthy(string host, int port, CancellationToken cancellationToken) =>
        Ask(() => _http.GetAsync($"http://{host}:{port}/health/ready", cancellationToken), cancellationToken);

    /// <summary>Whether a gateway answers a chat of one token: nothing less shows that the whole way to the model is open.</summary>
    public Task<bool> AnswersChat(Uri gateway, CancellationToken cancellationToken)
    {
        var body = new JsonObject
        {
            ["model"] = ServedModel.ChatAlias,
            ["max_tokens"] = 1,
            ["messages"] = new JsonArray(new JsonObject { ["role"] = "user", ["content"] = "Hello" }),
        };
        return Ask(() => _http.PostAsJsonAsync(new Uri(gateway, "v1/chat/completions"), body, cancellationToken), cancellationToken);
    }

    public void Dispose() => _http.Dispose();

    private async Task<bool> Ask(Func<Task<HttpResponseMessage>> request, CancellationToken cancellationToken)
    {
        try
        {
            using HttpResponseMessage response = await request();
            if (response.IsSuccessStatusCode) return true;
            LastAnswer = $"{(int)response.StatusCode} {(await response.Content.ReadAsStringAsync(cancellationToken)).ReplaceLineEndings(" ")}";
        }
        catch (Exception e) when (e is HttpRequestException || (e is OperationCanceledException && !cancellationToken.IsCancellationRequested))
        {
            LastAnswer = e.Message;
        }

        return false;
    }
}
