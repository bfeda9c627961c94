using System.Text;
using System.Text.Json.Nodes;
using Conclave.Gateway;
using Conclave.Model.Tokenization;

namespace Conclave.Cli.Commands.Bench;

/// <summary>Requests of measurements over HTTP: random prompts, answers of a known length.</summary>
internal static class BenchRequest
{
    /// <summary>Random letters of at least <paramref name="tokens"/> tokens, and not many more.</summary>
    public static string Prompt(Tokenizer tokenizer, Random random, int tokens)
    {
        var text = new StringBuilder();
        while (tokenizer.Encode(text.ToString()).Length < tokens)
        {
            for (int i = Math.Max(1, tokens / 16); i > 0; i--)
                text.Append((char)random.Next('a', 'z' + 1)).Append(random.Next(3) == 0 ? " " : "");
        }

        return text.ToString();
    }

    /// <summary>The body of a streamed chat completion of exactly <paramref name="outputTokens"/> tokens.</summary>
    public static JsonObject Body(string prompt, int outputTokens, int seed) => new()
    {
        ["model"] = ServedModel.ChatAlias,
        ["messages"] = new JsonArray(new JsonObject { ["role"] = "user", ["content"] = prompt }),
        ["max_tokens"] = outputTokens,
        ["ignore_eos"] = true,
        ["temperature"] = 1,
        ["seed"] = seed,
        ["stream"] = true,
        ["stream_options"] = new JsonObject { ["include_usage"] = true },
    };
}
