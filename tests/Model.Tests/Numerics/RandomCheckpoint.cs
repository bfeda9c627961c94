using System.Text.Json.Nodes;
using Conclave.Model.Checkpoints;
using Conclave.Model.Tests.Checkpoints;

namespace Conclave.Model.Tests.Numerics;

/// <summary>A random checkpoint of a small configuration: a golden case's with some keys changed.</summary>
internal sealed class RandomCheckpoint : IDisposable
{
    private readonly TemporaryDirectory _directory = new();

    public RandomCheckpoint(string golden, DType weights, ulong seed, params (string Key, JsonNode? Value)[] changes)
    {
        var config = JsonNode.Parse(File.ReadAllText(Repository.PathTo("tests", "goldens", golden, "config.json")))!.AsObject();
        foreach (var (key, value) in changes)
            config[key] = value?.DeepClone();
        File.WriteAllText(_directory.PathTo("config.json"), config.ToJsonString());
        Synthesizer.Write(_directory.PathTo("config.json"), seed, weights, Directory);
    }

    public string Directory => _directory.PathTo("model");

    /// <summary>Deviating configurations, by name: V2-Lite-like, V2-like, odd sizes, long YaRN, many experts, sparse attention in FP8, all dense.</summary>
    public static RandomCheckpoint Named(string name) => name switch
    {
        "v2-lite" => new("tiny-f32", DType.BF16, 1, [.. V2, ("q_lora_rank", null), ("topk_method", "greedy"), ("n_group", 1), ("topk_group", 1), ("n_shared_experts", 2)]),
        "v2-groups" => new("tiny-f32", DType.BF16, 2, [.. V2, ("topk_method", "group_limited_greedy"), ("n_group", 4), ("topk_group", 3), ("routed_scaling_factor", 16)]),
        "odd" => new("tiny-f32", DType.BF16, 3, ("hidden_size", 100), ("num_attention_heads", 3), ("num_key_value_heads", 3), ("moe_intermediate_size", 41), ("v_head_dim", 10), ("kv_lora_rank", 27), ("q_lora_rank", 33), ("intermediate_size", 77), ("vocab_size", 203)),
        "odd-fp8" => new("fp8-aligned", DType.F8E4M3, 4, ("hidden_size", 200), ("moe_intermediate_size", 136), ("intermediate_size", 300), ("kv_lora_rank", 150), ("num_attention_heads", 17), ("num_key_value_heads", 17), ("q_lora_rank", 190)),
        "experts-256" => new("tiny-f32", DType.BF16, 5, ("n_routed_experts", 256), ("n_group", 8), ("topk_group", 4), ("num_experts_per_tok", 8), ("num_hidden_layers", 2), ("moe_intermediate_size", 16)),
        "sparse-fp8" => new("dsa", DType.F8E4M3, 6, ("index_topk", 9), ("index_n_heads", 5), ("index_head_dim", 40)),
        "dense" => new("tiny-f32", DType.BF16, 7, ("first_k_dense_replace", 4), ("n_shared_experts", 1)),
        _ => throw new ArgumentException(name),
    };

    public static int[] Tokens(int count, int vocabulary, int seed)
    {
        var random = new Random(seed);
        return [.. Enumerable.Range(0, count).Select(_ => random.Next(vocabulary))];
    }

    public void Dispose() => _directory.Dispose();

    private static readonly (string, JsonNode?)[] V2 =
        [("model_type", "deepseek_v2"), ("scoring_func", "softmax"), ("norm_topk_prob", false), ("routed_scaling_factor", 1.0), ("architectures", new JsonArray("DeepseekV2ForCausalLM"))];
}
