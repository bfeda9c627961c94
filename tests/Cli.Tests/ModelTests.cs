using System.Buffers.Binary;
using System.Runtime.InteropServices;
using System.Text.Json;
using System.Text.Json.Nodes;

namespace Conclave.Cli.Tests;

/// <summary>The commands that run a model.</summary>
public sealed class ModelTests(SyntheticModel synthetic) : IClassFixture<SyntheticModel>
{
    private const float MaxError = 1e-3f;

    [Theory]
    [InlineData("tiny-f32")]
    [InlineData("fp8-aligned")]
    [InlineData("mtp")]
    [InlineData("dsa")]
    public async Task Logits_of_the_goldens(string golden)
    {
        string output = synthetic.File($"{golden}.safetensors"), folder = Command.Golden(golden);
        Outcome outcome = await Command.Run(["logits", "--model", folder, "--input", Path.Combine(folder, "case.json"), "--output", output, "--greedy", "64"]);
        Assert.True(outcome.Code == 0, outcome.Error);
        float[] logits = Tensor(output, "logits"), expected = Tensor(Path.Combine(folder, "expected.safetensors"), "logits");
        Assert.Equal(expected.Length, logits.Length);
        Assert.InRange(logits.Zip(expected, (a, b) => Math.Abs(a - b)).Max(), 0, MaxError);
        int[] greedy = [.. JsonNode.Parse(File.ReadAllText(Path.Combine(folder, "case.json")))!["greedy_tokens"]!.AsArray().Select(id => (int)id!)];
        Assert.Equal(greedy, MemoryMarshal.Cast<float, int>(Tensor(output, "greedy_tokens")).ToArray());
        if (golden != "mtp") return;
        Assert.InRange(Tensor(output, "mtp_logits").Zip(Tensor(Path.Combine(folder, "expected.safetensors"), "mtp_logits"), (a, b) => Math.Abs(a - b)).Max(), 0, MaxError);
    }

    [Fact]
    public async Task Inspect_tells_the_architecture()
    {
        Outcome outcome = await Command.Run(["inspect", synthetic.Model]);
        Assert.Equal(0, outcome.Code);
        Assert.Contains("deepseek_v3", outcome.Out);
        Assert.Contains("RoutedExperts", outcome.Out);
        Assert.Contains("active a token", outcome.Out);
    }

    [Fact]
    public async Task Generate_repeats_itself_for_a_seed_and_answers_files_in_order()
    {
        string[] sampling = ["--model", synthetic.Model, "--max-tokens", "12", "--seed", "9", "--temperature", "0.7"];
        Outcome first = await Command.Run(["generate", .. sampling, "--prompt", "hello there"]);
        Assert.True(first.Code == 0, first.Error);
        string file = synthetic.File("prompts.txt");
        await File.WriteAllTextAsync(file, "one\n{\"prompt\":\"hello there\"}\n{\"messages\":[{\"role\":\"user\",\"content\":\"three\"}]}\n");
        Outcome all = await Command.Run(["generate", .. sampling, "--input-file", file]);
        Assert.True(all.Code == 0, all.Error);
        JsonNode[] answers = [.. all.Lines.Select(line => JsonNode.Parse(line)!)];
        Assert.Equal([0, 1, 2], answers.Select(a => (int)a["index"]!));
        Assert.Equal(first.Out.TrimEnd('\n'), (string)answers[1]["content"]!);
        Outcome raw = await Command.Run(["generate", .. sampling, "--raw", "--prompt", "hello there"]);
        Assert.Equal(0, raw.Code);
        Assert.NotEqual(first.Out, raw.Out);
    }

    [Fact]
    public async Task Chat_obeys_commands_and_answers()
    {
        Outcome outcome = await Command.Run(["chat", "--model", synthetic.Model, "--max-tokens", "5", "--seed", "1"], "/think on\nhi\n/nonsense\n/clear\nagain\n/quit\n");
        Assert.True(outcome.Code == 0, outcome.Error);
        Assert.Contains("thinking is on", outcome.Out);
        Assert.Contains("unknown command /nonsense", outcome.Out);
    }

    [Fact]
    public async Task Eval_counts_right_and_wrong_answers()
    {
        string cases = synthetic.File("cases.jsonl");
        string Case(string skill, string expect) => $"{{\"skill\":\"{skill}\",\"messages\":[{{\"role\":\"user\",\"content\":\"hi\"}}],\"max_tokens\":3,\"expect\":{expect}}}\n";
        await File.WriteAllTextAsync(cases, Case("any", "{\"contains\":[]}") + Case("any", "{\"equals\":[\"no model says this\"]}") + Case("json", "{\"json\":{\"a\":1}}")
            + "{\"skill\":\"gap\",\"prompt\":\"a\",\"suffix\":\"c\",\"max_tokens\":2,\"expect\":{\"contains\":[]}}\n");
        Outcome outcome = await Command.Run(["eval", "--model", synthetic.Model, "--cases", cases, "--json"]);
        Assert.True(outcome.Code == 0, outcome.Error);
        JsonArray table = JsonNode.Parse(outcome.Out)!.AsArray();
        Assert.Equal([("any", 2, 1), ("json", 1, 0), ("gap", 1, 1)], table.Select(row => ((string)row!["skill"]!, (int)row["cases"]!, (int)row["right"]!)));
    }

    private static float[] Tensor(string path, string name)
    {
        byte[] file = File.ReadAllBytes(path);
        int header = checked((int)BinaryPrimitives.ReadInt64LittleEndian(file));
        using JsonDocument json = JsonDocument.Parse(file.AsMemory(8, header));
        long[] offsets = [.. json.RootElement.GetProperty(name).GetProperty("data_offsets").EnumerateArray().Select(o => o.GetInt64())];
        return MemoryMarshal.Cast<byte, float>(file.AsSpan()[(8 + header + (int)offsets[0])..(8 + header + (int)offsets[1])]).ToArray();
    }
}
