using System.Text.Json.Nodes;
using Conclave.Gateway;

namespace Conclave.Cli.Chaos;

/// <summary>One request whose answer is known.</summary>
/// <param name="Number">Its number.</param>
/// <param name="Body">Body of <c>POST /v1/chat/completions</c>.</param>
/// <param name="Streams">Whether the answer is streamed.</param>
internal sealed record ChaosCase(int Number, JsonObject Body, bool Streams);

/// <summary>Draws the requests: a pure function of its arguments. Short and long prompts and answers, greedy and seeded sampling, penalties, thinking, streams and not.</summary>
internal static class ChaosLoad
{
    private static readonly string[] Subjects = ["cow", "lighthouse", "baker", "little robot", "sailor", "owl and a fox", "river", "clock"];
    private static readonly string[] Facts = ["The key of the lantern is {0}.", "Wendy painted the boat {0}.", "The train to {0} left late.", "The code for the shell is {0}.", "In January the dolphin slept under a {0} lamp."];
    private static readonly string[] Words = ["purple", "amber", "41035", "crimson", "Houston", "fehidi", "brown", "gold", "Oslo", "7712"];

    public static IReadOnlyList<ChaosCase> Create(int seed, int count)
    {
        var random = new Random(seed);
        return [.. Enumerable.Range(0, count).Select(number => One(random, number))];
    }

    private static ChaosCase One(Random random, int number)
    {
        bool streams = random.Next(6) != 0, thinks = random.Next(5) == 0, greedy = random.Next(3) == 0;
        var body = new JsonObject
        {
            ["model"] = thinks ? ServedModel.ReasonerAlias : ServedModel.ChatAlias,
            ["messages"] = new JsonArray(new JsonObject { ["role"] = "user", ["content"] = Prompt(random) }),
            // Mostly long answers: a stream must be running when something happens.
            ["max_tokens"] = random.Next(4) == 0 ? random.Next(1, 24) : random.Next(120, 400),
            ["temperature"] = greedy ? 0 : random.Next(8, 18) / 10.0,
            ["seed"] = random.Next(),
        };
        if (!greedy) body["top_p"] = random.Next(2) == 0 ? 1 : 0.95;
        if (random.Next(3) == 0) body["frequency_penalty"] = random.Next(-5, 11) / 10.0;
        if (random.Next(4) == 0) body["presence_penalty"] = random.Next(-5, 11) / 10.0;
        if (streams)
        {
            body["stream"] = true;
            body["stream_options"] = new JsonObject { ["include_usage"] = true };
        }

        // Tokens and their log probabilities, to the last bit; the API has none of reasoning.
        if (!thinks)
        {
            body["logprobs"] = true;
            if (random.Next(3) == 0) body["top_logprobs"] = random.Next(0, 4);
        }

        return new ChaosCase(number, body, streams);
    }

    private static string Prompt(Random random) => random.Next(6) switch
    {
        0 => $"What is {random.Next(10, 1000)} + {random.Next(10, 1000)}?",
        1 => $"What is {random.Next(10, 1000)} x {random.Next(2, 100)}?",
        2 => "Hello! Who are you, and what is an expert?",
        3 => $"{Notes(random, random.Next(20, 60))} What color is the boat?",
        _ => $"Please tell me a long story about a {Subjects[random.Next(Subjects.Length)]}.",
    };

    private static string Notes(Random random, int sentences) =>
        string.Join(' ', Enumerable.Range(0, sentences).Select(_ => string.Format(System.Globalization.CultureInfo.InvariantCulture, Facts[random.Next(Facts.Length)], Words[random.Next(Words.Length)])));
}
