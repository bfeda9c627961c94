using System.Text.Json;
using System.Text.Json.Nodes;

namespace Conclave.Cli.Tests;

public sealed class PlacementBalanceTests
{
    [Fact]
    public async Task A_list_of_cases_becomes_a_list_of_plans()
    {
        Outcome outcome = await Command.Run(["placement", "balance", "--input", Command.Golden("eplb.json"), "--json"]);
        Assert.True(outcome.Code == 0, outcome.Error);
        JsonElement[] cases = Items(File.ReadAllText(Command.Golden("eplb.json"))), plans = Items(outcome.Out);
        Assert.Equal(cases.Length, plans.Length);
        foreach (var (golden, plan) in cases.Zip(plans))
        {
            Assert.Equal(golden.GetProperty("name").GetString(), plan.GetProperty("name").GetString());
            Assert.Equal(golden.GetProperty("policy").GetString(), plan.GetProperty("policy").GetString());
            Assert.Equal(golden.GetProperty("replica_counts").Deserialize<int[][]>(), plan.GetProperty("replica_counts").Deserialize<int[][]>());
            Assert.All(
                golden.GetProperty("max_gpu_load").Deserialize<double[]>()!.Zip(plan.GetProperty("max_gpu_load").Deserialize<double[]>()!),
                pair => Assert.True(pair.Second <= pair.First * (1 + 1e-6), $"{pair}"));
            Assert.Equal(golden.GetProperty("mean_gpu_load").GetArrayLength(), plan.GetProperty("mean_gpu_load").GetArrayLength());
            int[] slots = plan.GetProperty("physical_to_logical")[0].Deserialize<int[]>()!;
            int[][] replicas = plan.GetProperty("logical_to_physical")[0].Deserialize<int[][]>()!;
            Assert.Single(replicas.Select(row => row.Length).Distinct());
            for (int expert = 0; expert < replicas.Length; expert++)
                Assert.All(replicas[expert], slot => Assert.True(slot == -1 || slots[slot] == expert));
        }
    }

    [Fact]
    public async Task One_case_becomes_one_plan_or_a_table()
    {
        await WithFile(Small().ToJsonString(), async file =>
        {
            Outcome json = await Command.Run(["placement", "balance", "--input", file, "--json"]);
            Assert.True(json.Code == 0, json.Error);
            JsonElement plan = JsonDocument.Parse(json.Out).RootElement;
            Assert.Equal("one", plan.GetProperty("name").GetString());
            Assert.Equal("[[1,1,1,2]]", plan.GetProperty("replica_counts").GetRawText().Replace(" ", ""));
            Assert.Equal(7, plan.GetProperty("max_gpu_load")[0].GetDouble());
            Assert.Equal(4, plan.GetProperty("mean_gpu_load")[0].GetDouble());

            Outcome table = await Command.Run(["placement", "balance", "--input", file]);
            Assert.True(table.Code == 0, table.Error);
            Assert.Contains("one", table.Out);
            Assert.Contains("3 x2", table.Out);
        });
    }

    [Theory]
    [InlineData("num_gpus", "0")]
    [InlineData("num_gpus", "4")]
    [InlineData("num_replicas", "\"six\"")]
    [InlineData("num_replicas", null)]
    [InlineData("num_groups", "99999999999")]
    [InlineData("layers", "2")]
    [InlineData("weight", "[[1,2,3]]")]
    [InlineData("weight", "[[1,2,-3,4]]")]
    [InlineData("weight", "[[1,2,null,4]]")]
    [InlineData("weight", "7")]
    [InlineData("policy", "\"best\"")]
    public async Task Bad_input_is_2_and_names_case_and_field(string field, string? value)
    {
        JsonObject bad = Small();
        bad.Remove(field);
        if (value is not null) bad[field] = JsonNode.Parse(value);
        await WithFile(new JsonArray(Small(), bad).ToJsonString(), async file =>
        {
            Outcome outcome = await Command.Run(["placement", "balance", "--input", file, "--json"]);
            Assert.Equal(2, outcome.Code);
            Assert.Empty(outcome.Out);
            Assert.Contains("case 1 (one): ", outcome.Error);
            Assert.Contains(value == "4" ? "num_replicas" : field, outcome.Error);
            Assert.Single(outcome.Error.Trim().Split('\n'));
        });
    }

    [Theory]
    [InlineData("not json")]
    [InlineData("[5]")]
    [InlineData("")]
    public async Task What_is_no_case_is_2(string text) => await WithFile(text, async file =>
    {
        Outcome outcome = await Command.Run(["placement", "balance", "--input", file]);
        Assert.Equal(2, outcome.Code);
        Assert.StartsWith("conclave: ", outcome.Error);
    });

    [Fact]
    public async Task A_missing_file_is_2()
    {
        Outcome outcome = await Command.Run(["placement", "balance", "--input", "/does/not/exist.json"]);
        Assert.Equal(2, outcome.Code);
        Assert.Contains("--input: /does/not/exist.json", outcome.Error);
    }

    private static JsonObject Small() => new()
    {
        ["name"] = "one",
        ["layers"] = 1,
        ["num_logical_experts"] = 4,
        ["num_replicas"] = 5,
        ["num_groups"] = 2,
        ["num_nodes"] = 1,
        ["num_gpus"] = 5,
        ["weight"] = new JsonArray(new JsonArray(1, 2, 3, 14)),
    };

    private static JsonElement[] Items(string json) => [.. JsonDocument.Parse(json).RootElement.EnumerateArray()];

    private static async Task WithFile(string text, Func<string, Task> test)
    {
        string file = Path.GetTempFileName();
        try
        {
            await File.WriteAllTextAsync(file, text);
            await test(file);
        }
        finally
        {
            File.Delete(file);
        }
    }
}
