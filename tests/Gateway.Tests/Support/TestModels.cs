using Conclave.Model.Checkpoints;

namespace Conclave.Gateway.Tests.Support;

/// <summary>Models to serve in tests: random weights for what needs no sense, the bundled demo model for what does.</summary>
internal static class TestModels
{
    /// <summary>Writes a tiny checkpoint of random weights, with byte tokens and the family's markers, into a new directory.</summary>
    public static string Synthesize(int contextLength)
    {
        string root = Directory.CreateTempSubdirectory("conclave-gateway-").FullName;
        string config = Path.Combine(root, "config.json");
        File.WriteAllText(config, Config(contextLength));
        string model = Path.Combine(root, "tiny-random");
        Synthesizer.Write(config, seed: 11, DType.BF16, model);
        return model;
    }

    /// <summary>The bundled demo model.</summary>
    public static string Demo()
    {
        string demo = Repository.PathTo("models", "demo");
        return File.Exists(Path.Combine(demo, "config.json")) ? demo : throw new DirectoryNotFoundException($"The bundled demo model is missing: {demo}");
    }

    // One dense and one MoE layer; rope, groups and low ranks as in the large models.
    private static string Config(int contextLength) => $$"""
        {
          "model_type": "deepseek_v3", "vocab_size": 512, "hidden_size": 32, "intermediate_size": 64, "moe_intermediate_size": 16,
          "num_hidden_layers": 2, "first_k_dense_replace": 1, "moe_layer_freq": 1, "num_attention_heads": 2, "num_key_value_heads": 2,
          "q_lora_rank": 16, "kv_lora_rank": 16, "qk_nope_head_dim": 8, "qk_rope_head_dim": 8, "v_head_dim": 8,
          "n_routed_experts": 8, "n_shared_experts": 1, "num_experts_per_tok": 2, "n_group": 2, "topk_group": 1,
          "scoring_func": "sigmoid", "topk_method": "noaux_tc", "norm_topk_prob": true, "routed_scaling_factor": 1.5,
          "num_nextn_predict_layers": 0, "hidden_act": "silu", "rms_norm_eps": 1e-06, "rope_theta": 10000, "rope_scaling": null,
          "max_position_embeddings": {{contextLength}}, "tie_word_embeddings": false, "attention_bias": false,
          "bos_token_id": 0, "eos_token_id": 1, "torch_dtype": "bfloat16"
        }
        """;
}
