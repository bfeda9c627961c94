using System.Net;
using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;
using Conclave.Gateway.Tests.Support;

namespace Conclave.Gateway.Tests;

/// <summary>Whatever is sent, the server answers or refuses in the documented way and never fails.</summary>
[Collection(nameof(ShortContextServer))]
public sealed class FuzzTests(ShortContextServer fixture)
{
    private const int RequestCount = 600;

    private static readonly string[] Seeds =
    [
        """{"model":"deepseek-chat","messages":[{"role":"system","content":"You are json."},{"role":"user","content":"Hi"}],"max_tokens":3,"temperature":0.7,"top_p":0.9,"stop":["a","b"],"seed":1,"stream":false}""",
        """{"model":"deepseek-reasoner","messages":[{"role":"user","content":[{"type":"text","text":"Hi"}]}],"max_tokens":3,"stream":true,"stream_options":{"include_usage":true},"frequency_penalty":0.1,"presence_penalty":0.1}""",
        """{"model":"deepseek-chat","messages":[{"role":"user","content":"w"},{"role":"assistant","content":null,"tool_calls":[{"id":"c","type":"function","function":{"name":"f","arguments":"{\"a\": 1}"}}]},{"role":"tool","tool_call_id":"c","content":"5"}],"tools":[{"type":"function","function":{"name":"f","description":"d","parameters":{"type":"object","properties":{"a":{"type":"integer"}}}}}],"tool_choice":"auto","max_tokens":3}""",
        """{"model":"deepseek-chat","messages":[{"role":"user","content":"json"},{"role":"assistant","content":"{","prefix":true}],"max_tokens":3,"logprobs":true,"top_logprobs":2,"response_format":{"type":"json_object"},"thinking":{"type":"disabled"}}""",
        """{"model":"deepseek-chat","messages":[{"role":"user","content":"Hi"}],"max_tokens":3,"min_tokens":1,"n":2,"top_k":5,"min_p":0.1,"repetition_penalty":1.2,"logit_bias":{"5":-3,"6":2.5},"stop_token_ids":[7,8],"ignore_eos":true,"priority":2,"user":"u","user_id":"v"}""",
    ];

    private static readonly string[] Junk =
    [
        "null", "true", "false", "0", "-1", "1", "3", "1.5", "1e99", "-1e-99", "99999999999999999999", "\"\"", "\"x\"", "\"\\ud83d\\ude00\"", "\"\\u0000\"", "\"<｜User｜>\"",
        "\"</think>\"", "[]", "[null]", "[1]", "[\"x\"]", "{}", "{\"type\":\"function\"}", "{\"type\":\"text\",\"text\":\"x\"}", "\"user\"", "\"tool\"", "\"assistant\"", "\"none\"", "\"required\"",
    ];

    private readonly TestServer _server = fixture.Server;

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    public async Task Mutated_requests_never_break_the_server(int seed)
    {
        var random = new Random(seed);
        int answered = 0;
        for (int i = 0; i < RequestCount / 2; i++)
        {
            byte[] body = i % 4 == 3 ? DamageBytes(random) : Encoding.UTF8.GetBytes(MutateFields(random));
            using HttpResponseMessage response = await _server.PostAsync(body);
            string text = await response.Content.ReadAsStringAsync();
            string request = Encoding.UTF8.GetString(body);
            Assert.True(response.StatusCode is HttpStatusCode.OK or HttpStatusCode.BadRequest, $"{response.StatusCode}: {text}\nfor {request}");
            if (response.StatusCode == HttpStatusCode.BadRequest) Assert.True(IsError(text), $"{text}\nfor {request}");
            else answered++;
        }

        Assert.InRange(answered, RequestCount / 50, (RequestCount / 2) - 1);
        Assert.Empty(_server.Errors);
        await _server.AssertIdleAsync();
    }

    private static bool IsError(string text) => JsonSerializer.Deserialize<JsonElement>(text).GetProperty("error").GetProperty("message").GetString() is { Length: > 0 };

    /// <summary>Replaces, removes or repeats one or two values anywhere in a valid request.</summary>
    private static string MutateFields(Random random)
    {
        JsonNode root = JsonNode.Parse(Seeds[random.Next(Seeds.Length)])!;
        for (int times = random.Next(1, 3); times > 0; times--)
        {
            List<JsonNode> nodes = [.. Descendants(root).Where(node => node.Parent is not null)];
            if (nodes.Count == 0) break;
            JsonNode victim = nodes[random.Next(nodes.Count)];
            JsonNode? junk = JsonNode.Parse(Junk[random.Next(Junk.Length)]);
            switch (victim.Parent)
            {
                case JsonObject owner when random.Next(4) == 0:
                    owner.Remove(victim.GetPropertyName());
                    break;
                case JsonObject owner:
                    owner[victim.GetPropertyName()] = junk;
                    break;
                case JsonArray list when random.Next(3) == 0:
                    list.Insert(victim.GetElementIndex(), victim.DeepClone());
                    break;
                case JsonArray list when random.Next(2) == 0:
                    list.RemoveAt(victim.GetElementIndex());
                    break;
                case JsonArray list:
                    list[victim.GetElementIndex()] = junk;
                    break;
            }
        }

        return root.ToJsonString();
    }

    private static byte[] DamageBytes(Random random)
    {
        byte[] body = Encoding.UTF8.GetBytes(Seeds[random.Next(Seeds.Length)]);
        for (int times = random.Next(1, 4); times > 0; times--) body[random.Next(body.Length)] = (byte)random.Next(256);
        return random.Next(4) == 0 ? body[..random.Next(body.Length)] : body;
    }

    private static IEnumerable<JsonNode> Descendants(JsonNode node)
    {
        yield return node;
        IEnumerable<JsonNode?> children = node switch { JsonObject o => o.Select(p => p.Value), JsonArray a => a, _ => [] };
        foreach (JsonNode? child in children)
            if (child is not null)
                foreach (JsonNode inner in Descendants(child)) yield return inner;
    }
}
