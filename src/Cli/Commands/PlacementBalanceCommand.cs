using System.CommandLine;
using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Nodes;
using Conclave.Grains;
using Conclave.Model.Chat;
using Spectre.Console;

namespace Conclave.Cli.Commands;

/// <summary><c>conclave placement balance</c>: plans recorded loads without a cluster. Fields are named as in DeepSeek's EPLB.</summary>
internal static class PlacementBalanceCommand
{
    private static readonly Option<string> Input = new("--input")
    {
        Description = "JSON file with a case or a list of them: name, layers, num_logical_experts, num_replicas, num_groups, num_nodes, num_gpus, weight [layers][experts], optionally policy",
        Required = true,
        HelpName = "CASES.json",
    };

    private static readonly Option<bool> Json = new("--json") { Description = "Print plans as JSON, a list where the input is one" };
    private static readonly JsonSerializerOptions Compact = new() { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

    public static Command Create()
    {
        var command = new Command("balance", "Balance recorded expert loads over GPUs with redundant experts, hierarchically or globally") { Input, Json };
        command.SetAction(Run);
        return command;
    }

    private static int Run(ParseResult parsed)
    {
        string path = parsed.GetValue(Input)!;
        using JsonDocument document = Read(path);
        bool isList = document.RootElement.ValueKind == JsonValueKind.Array;
        JsonElement[] cases = isList ? [.. document.RootElement.EnumerateArray()] : [document.RootElement];
        // Every case is planned before the first is shown: an error leaves no half of an answer.
        (string? Name, BalanceCase Case, BalancePlan Plan)[] plans = [.. cases.Select(Plan)];
        if (parsed.GetValue(Json))
        {
            JsonNode answer = isList ? new JsonArray([.. plans.Select(plan => ToJson(plan.Name, plan.Plan))]) : ToJson(plans[0].Name, plans[0].Plan);
            Console.WriteLine(answer.ToJsonString(Compact));
            return CommandLine.Done;
        }

        for (int i = 0; i < plans.Length; i++) Show(plans[i].Name ?? $"case {i}", plans[i].Case, plans[i].Plan);
        return CommandLine.Done;
    }

    private static JsonDocument Read(string path)
    {
        try
        {
            return JsonDocument.Parse(File.ReadAllBytes(path));
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or JsonException)
        {
            throw new ArgumentException($"--input: {path}: {e.Message}", e);
        }
    }

    private static (string? Name, BalanceCase Case, BalancePlan Plan) Plan(JsonElement element, int index)
    {
        string name = $"case {index}";
        try
        {
            if (element.ValueKind != JsonValueKind.Object) throw new ArgumentException("must be an object");
            var root = new JsonField(element, "");
            string? given = root["name"]?.String();
            if (given is not null) name = $"case {index} ({given})";
            BalanceCase @case = ReadCase(root);
            return (given, @case, ExpertBalancer.Balance(@case));
        }
        catch (Exception e) when (e is ArgumentException or ChatFormatException)
        {
            throw new ArgumentException($"{name}: {e.Message}", e);
        }
    }

    private static BalanceCase ReadCase(JsonField root)
    {
        int layers = Count(root, "layers");
        var @case = new BalanceCase
        {
            ExpertCount = Count(root, "num_logical_experts"),
            ReplicaCount = Count(root, "num_replicas"),
            GroupCount = Count(root, "num_groups"),
            NodeCount = Count(root, "num_nodes"),
            GpuCount = Count(root, "num_gpus"),
            Weight = [.. root.Required("weight").Items().Select(layer => layer.Items().Select(weight => weight.Number()).ToArray())],
            Policy = root["policy"] is not { } policy ? null : policy.String() switch
            {
                "hierarchical" => BalancePolicy.Hierarchical,
                "global" => BalancePolicy.Global,
                _ => throw policy.Error("must be \"hierarchical\" or \"global\""),
            },
        };
        return @case.Weight.Count == layers ? @case : throw new ArgumentException($"weight: {@case.Weight.Count} rows, but layers is {layers}");
    }

    private static int Count(JsonField root, string name)
    {
        JsonField field = root.Required(name);
        return field.Integer() is >= 1 and <= int.MaxValue and var value ? (int)value : throw field.Error("must be an integer of at least 1");
    }

    private static JsonObject ToJson(string? name, BalancePlan plan)
    {
        var json = new JsonObject();
        if (name is not null) json["name"] = name;
        json["policy"] = plan.Policy == BalancePolicy.Hierarchical ? "hierarchical" : "global";
        json["replica_counts"] = PerLayer(plan, layer => layer.ReplicaCounts);
        json["physical_to_logical"] = PerLayer(plan, layer => layer.PhysicalToLogical);
        json["logical_to_physical"] = PerLayer(plan, Padded);
        json["max_gpu_load"] = PerLayer(plan, layer => layer.MaxGpuLoad);
        json["mean_gpu_load"] = PerLayer(plan, layer => layer.MeanGpuLoad);
        json["balance_max_over_mean"] = PerLayer(plan, layer => layer.BalanceMaxOverMean);
        json["max_node_load"] = PerLayer(plan, layer => layer.MaxNodeLoad);
        return json;
    }

    private static JsonNode? PerLayer<T>(BalancePlan plan, Func<BalancedLayer, T> value) => JsonSerializer.SerializeToNode(plan.Layers.Select(value));

    /// <summary>Rows of one length, the short ones filled with -1, as the published program returns them.</summary>
    private static IEnumerable<IEnumerable<int>> Padded(BalancedLayer layer)
    {
        int most = layer.ReplicaCounts.Max();
        return layer.LogicalToPhysical.Select(slots => slots.Concat(Enumerable.Repeat(-1, most - slots.Length)));
    }

    private static void Show(string name, BalanceCase @case, BalancePlan plan)
    {
        Console.WriteLine($"{name}: {plan.Policy.ToString().ToLowerInvariant()}, {@case.ReplicaCount} replicas of {@case.ExpertCount} experts on {@case.GpuCount} GPUs");
        var table = new Table().AddColumns("layer", "max GPU load", "mean", "max/mean", "replicas", "experts of each GPU");
        foreach (int column in new[] { 0, 1, 2, 3 }) table.Columns[column].RightAligned().NoWrap();
        for (int i = 0; i < plan.Layers.Count; i++)
        {
            BalancedLayer layer = plan.Layers[i];
            IEnumerable<string> replicated = layer.ReplicaCounts.Index().Where(expert => expert.Item > 1).OrderByDescending(expert => expert.Item).Select(expert => $"{expert.Index} x{expert.Item}");
            IEnumerable<string> gpus = layer.PhysicalToLogical.Chunk(@case.ReplicaCount / @case.GpuCount).Select(experts => string.Join(' ', experts));
            table.AddRow($"{i}", $"{layer.MaxGpuLoad:G7}", $"{layer.MeanGpuLoad:G7}", $"{layer.BalanceMaxOverMean:F3}", string.Join(", ", replicated), string.Join(" | ", gpus));
        }

        AnsiConsole.Write(table);
    }
}
