using System.Text.Json.Nodes;

namespace Conclave.Model.Tests.Checkpoints;

public sealed class ModelConfigTests : IDisposable
{
    private const string V2Lite = """
        {
          "architectures": ["DeepseekV2ForCausalLM"], "attention_bias": false, "attention_dropout": 0.0,
          "auto_map": {"AutoConfig": "configuration_deepseek.DeepseekV2Config"}, "aux_loss_alpha": 0.001,
          "bos_token_id": 100000, "eos_token_id": 100001, "first_k_dense_replace": 1, "hidden_act": "silu", "hidden_size": 2048,
          "initializer_range": 0.02, "intermediate_size": 10944, "kv_lora_rank": 512, "max_position_embeddings": 163840,
          "model_type": "deepseek_v2", "moe_intermediate_size": 1408, "moe_layer_freq": 1, "n_group": 1, "n_routed_experts": 64,
          "n_shared_experts": 2, "norm_topk_prob": false, "num_attention_heads": 16, "num_experts_per_tok": 6, "num_hidden_layers": 27,
          "num_key_value_heads": 16, "pretraining_tp": 1, "q_lora_rank": null, "qk_nope_head_dim": 128, "qk_rope_head_dim": 64,
          "rms_norm_eps": 1e-06, "rope_scaling": {"beta_fast": 32, "beta_slow": 1, "factor": 40, "mscale": 0.707,
          "mscale_all_dim": 0.707, "original_max_position_embeddings": 4096, "type": "yarn"}, "rope_theta": 10000,
          "routed_scaling_factor": 1.0, "scoring_func": "softmax", "seq_aux": true, "tie_word_embeddings": false, "topk_group": 1,
          "topk_method": "greedy", "torch_dtype": "bfloat16", "use_cache": true, "v_head_dim": 128, "vocab_size": 102400
        }
        """;

    private readonly TemporaryDirectory _directory = new();

    public void Dispose() => _directory.Dispose();

    [Fact]
    public void V2_Lite_is_read()
    {
        var config = Read(JsonNode.Parse(V2Lite)!.AsObject());

        Assert.Equal(ModelType.DeepSeekV2, config.ModelType);
        Assert.Equal((0, 64, 6, 2), (config.QLoraRank, config.RoutedExpertCount, config.ExpertsPerToken, config.SharedExpertCount));
        Assert.Equal((ScoringFunction.Softmax, TopKMethod.Greedy, false, 1f), (config.ScoringFunction, config.TopKMethod, config.NormalizeTopK, config.RoutedScalingFactor));
        Assert.Equal(new YarnScaling(40, 4096, 32, 1, 0.707, 0.707), config.RopeScaling);
        Assert.Equal(100001, Assert.Single(config.EosTokenIds));
        Assert.Equal((false, true, true), (config.IsMoeLayer(0), config.IsMoeLayer(1), config.IsMoeLayer(26)));
    }

    [Fact]
    public void V2_with_groups_is_read()
    {
        var config = Read(With(JsonNode.Parse(V2Lite)!.AsObject(),
            """{"topk_method":"group_limited_greedy","n_group":8,"topk_group":3,"q_lora_rank":1536,"routed_scaling_factor":16.0,"eos_token_id":[100001,100015]}"""));

        Assert.Equal((TopKMethod.GroupLimitedGreedy, 8, 3, 1536, 16f), (config.TopKMethod, config.GroupCount, config.GroupsKept, config.QLoraRank, config.RoutedScalingFactor));
        Assert.Equal([100001, 100015], config.EosTokenIds);
    }

    [Fact]
    public void V3_and_V32_are_read()
    {
        var v3 = ModelConfig.LoadFile(Repository.PathTo("bench/deepseek-v3.config.json"));
        var v32 = ModelConfig.LoadFile(Repository.PathTo("bench/deepseek-v32.config.json"));

        Assert.Equal((ModelType.DeepSeekV3, 61, 3, 256, 8, 4, 8, 1), (v3.ModelType, v3.LayerCount, v3.FirstDenseLayers, v3.RoutedExpertCount, v3.GroupCount, v3.GroupsKept, v3.ExpertsPerToken, v3.NextTokenPredictLayers));
        Assert.Equal((ScoringFunction.Sigmoid, TopKMethod.NoAuxTc, true, 2.5f, 128), (v3.ScoringFunction, v3.TopKMethod, v3.NormalizeTopK, v3.RoutedScalingFactor, v3.QuantizationBlockSize!.Value));
        Assert.Equal((0, 0, 0), (v3.IndexHeadCount, v3.IndexHeadDim, v3.IndexTopK));
        Assert.Equal((64, 128, 2048), (v32.IndexHeadCount, v32.IndexHeadDim, v32.IndexTopK));
    }

    [Theory]
    [InlineData("{}", "same")]
    [InlineData("""{"rope_scaling":{"rope_type":"yarn","factor":40.0,"original_max_position_embeddings":4096.0,"mscale":1.0,"mscale_all_dim":1.0}}""", "same")]
    [InlineData("""{"rope_scaling":null,"rope_theta":null,"rope_parameters":{"rope_theta":10000.0,"rope_type":"yarn","type":"yarn","factor":40.0,"original_max_position_embeddings":4096,"mscale":1.0,"mscale_all_dim":1.0}}""", "same")]
    [InlineData("""{"rope_interleave":true,"head_dim":64,"pretraining_tp":1,"dtype":"bfloat16","ep_size":1,"transformers_version":"5.0.0","quantization_config":{"activation_scheme":"dynamic","fmt":"e4m3","quant_method":"fp8","scale_fmt":"ue8m0","weight_block_size":[128,128]}}""", "same")]
    [InlineData("""{"scoring_func":null,"topk_method":null,"norm_topk_prob":null,"moe_layer_freq":null,"hidden_act":null,"attention_bias":null,"tie_word_embeddings":null}""", "same")]
    [InlineData("""{"max_position_embeddings":4096}""", "none")]
    [InlineData("""{"rope_scaling":null}""", "none")]
    [InlineData("""{"rope_scaling":{"rope_type":"default"}}""", "none")]
    [InlineData("""{"rope_parameters":{"rope_type":"default","rope_theta":10000},"rope_scaling":null}""", "none")]
    public void Newer_spellings_and_absent_defaults_mean_the_same(string changes, string scaling)
    {
        var plain = Read(V3());
        var config = Read(With(V3(), changes));

        var expected = scaling == "same" ? plain.RopeScaling : null;
        Assert.Equal(expected, config.RopeScaling);
        Assert.Equal(plain with { RopeScaling = expected, MaxPositions = config.MaxPositions, EosTokenIds = config.EosTokenIds }, config);
    }

    [Fact]
    public void Without_mscale_all_dim_the_class_default_of_zero_holds() =>
        Assert.Equal(new YarnScaling(4, 100, 32, 1, 1, 0), Read(With(V3(), """{"rope_scaling":{"type":"yarn","factor":4,"original_max_position_embeddings":100}}""")).RopeScaling);

    [Theory]
    [InlineData("""{"model_type":"llama"}""", "model_type", "deepseek_v3")]
    [InlineData("""{"model_type":3}""", "model_type", "deepseek_v3")]
    [InlineData("""{"hidden_act":"gelu"}""", "hidden_act", "silu")]
    [InlineData("""{"attention_bias":true}""", "attention_bias", "without biases")]
    [InlineData("""{"attention_bias":"no"}""", "attention_bias", "true or false")]
    [InlineData("""{"rope_interleave":false}""", "rope_interleave", "interleaved")]
    [InlineData("""{"scoring_func":"tanh"}""", "scoring_func", "sigmoid")]
    [InlineData("""{"topk_method":"best"}""", "topk_method", "noaux_tc")]
    [InlineData("""{"qk_rope_head_dim":63}""", "qk_rope_head_dim", "even")]
    [InlineData("""{"n_group":7}""", "n_group", "divide")]
    [InlineData("""{"n_group":0}""", "n_group", "from 1")]
    [InlineData("""{"n_group":256,"topk_group":8}""", "n_group", "128 groups")]
    [InlineData("""{"topk_group":9}""", "topk_group", "from 1 to 8")]
    [InlineData("""{"topk_group":null}""", "topk_group", "missing")]
    [InlineData("""{"n_group":64,"topk_group":1}""", "num_experts_per_tok", "raise topk_group")]
    [InlineData("""{"num_experts_per_tok":257}""", "num_experts_per_tok", "from 1 to 256")]
    [InlineData("""{"num_experts_per_tok":null}""", "num_experts_per_tok", "missing")]
    [InlineData("""{"hidden_size":null}""", "hidden_size", "missing")]
    [InlineData("""{"hidden_size":-5}""", "hidden_size", "from 1")]
    [InlineData("""{"hidden_size":7168.5}""", "hidden_size", "integer")]
    [InlineData("""{"hidden_size":"7168"}""", "hidden_size", "integer")]
    [InlineData("""{"hidden_size":1e300}""", "hidden_size", "integer")]
    [InlineData("""{"num_hidden_layers":1000000000}""", "num_hidden_layers", "1024")]
    [InlineData("""{"n_routed_experts":1000000000}""", "n_routed_experts", "8192")]
    [InlineData("""{"first_k_dense_replace":62}""", "first_k_dense_replace", "61")]
    [InlineData("""{"moe_layer_freq":0}""", "moe_layer_freq", "from 1")]
    [InlineData("""{"num_key_value_heads":8}""", "num_key_value_heads", "128")]
    [InlineData("""{"rms_norm_eps":0}""", "rms_norm_eps", "number")]
    [InlineData("""{"rope_theta":-1}""", "rope_theta", "number")]
    [InlineData("""{"routed_scaling_factor":"big"}""", "routed_scaling_factor", "number")]
    [InlineData("""{"eos_token_id":129280}""", "eos_token_id", "129279")]
    [InlineData("""{"eos_token_id":[1,-2]}""", "eos_token_id", "integers")]
    [InlineData("""{"bos_token_id":"0"}""", "bos_token_id", "integer")]
    [InlineData("""{"rope_scaling":7}""", "rope_scaling", "object")]
    [InlineData("""{"rope_scaling":{"factor":40}}""", "rope_scaling.type", "missing")]
    [InlineData("""{"rope_scaling":{"type":"linear","factor":2}}""", "rope_scaling.type", "yarn")]
    [InlineData("""{"rope_scaling":{"rope_type":"llama3","factor":2}}""", "rope_scaling.rope_type", "yarn")]
    [InlineData("""{"rope_scaling":{"rope_type":"yarn","type":"default","factor":2,"original_max_position_embeddings":4096}}""", "rope_scaling.type", "keep one")]
    [InlineData("""{"rope_scaling":{"type":"yarn","factor":0.5,"original_max_position_embeddings":4096}}""", "rope_scaling.factor", "from 1")]
    [InlineData("""{"rope_scaling":{"type":"yarn","factor":2}}""", "rope_scaling.original_max_position_embeddings", "missing")]
    [InlineData("""{"rope_scaling":{"type":"yarn","factor":2,"original_max_position_embeddings":4096,"beta_fast":0.5}}""", "rope_scaling.beta_fast", "beta_slow")]
    [InlineData("""{"rope_scaling":{"type":"yarn","factor":2,"original_max_position_embeddings":4096,"attention_factor":1.2}}""", "rope_scaling.attention_factor", "mscale")]
    [InlineData("""{"rope_parameters":{"rope_type":"default"}}""", "rope_scaling", "keep one")]
    [InlineData("""{"rope_parameters":{"rope_type":"yarn","rope_theta":5,"factor":40,"original_max_position_embeddings":4096,"mscale":1,"mscale_all_dim":1}}""", "rope_theta", "keep one")]
    [InlineData("""{"quantization_config":{"quant_method":"awq"}}""", "quantization_config.quant_method", "fp8")]
    [InlineData("""{"quantization_config":{"quant_method":"fp8","fmt":"e5m2","weight_block_size":[128,128]}}""", "quantization_config.fmt", "e4m3")]
    [InlineData("""{"quantization_config":{"quant_method":"fp8","weight_block_size":[64,128]}}""", "quantization_config.weight_block_size", "128")]
    [InlineData("""{"quantization_config":{"quant_method":"fp8"}}""", "quantization_config.weight_block_size", "128")]
    [InlineData("""{"model_type":"deepseek_v32"}""", "index_n_heads", "missing")]
    [InlineData("""{"model_type":"deepseek_v32","index_n_heads":4,"index_head_dim":32,"index_topk":8}""", "index_head_dim", "qk_rope_head_dim")]
    [InlineData("""{"model_type":"deepseek_v32","index_n_heads":4,"index_head_dim":64,"index_topk":8,"q_lora_rank":null}""", "q_lora_rank", "indexer")]
    public void A_wrong_value_is_an_error_that_names_key_and_remedy(string changes, string key, string remedy)
    {
        var error = Assert.Throws<CheckpointException>(() => Read(With(V3(), changes)));

        Assert.Contains($"config.json: {key} ", error.Message, StringComparison.Ordinal);
        Assert.Contains(remedy, error.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("model_type")]
    [InlineData("vocab_size")]
    [InlineData("hidden_size")]
    [InlineData("intermediate_size")]
    [InlineData("moe_intermediate_size")]
    [InlineData("num_hidden_layers")]
    [InlineData("first_k_dense_replace")]
    [InlineData("num_attention_heads")]
    [InlineData("q_lora_rank")]
    [InlineData("kv_lora_rank")]
    [InlineData("qk_nope_head_dim")]
    [InlineData("qk_rope_head_dim")]
    [InlineData("v_head_dim")]
    [InlineData("n_routed_experts")]
    [InlineData("num_experts_per_tok")]
    [InlineData("max_position_embeddings")]
    public void A_missing_size_is_an_error_that_names_the_key(string key)
    {
        var config = V3();
        config.Remove(key);

        Assert.Contains($"config.json: {key} ", Assert.Throws<CheckpointException>(() => Read(config)).Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("")]
    [InlineData("{")]
    [InlineData("[]")]
    [InlineData("null")]
    [InlineData("{\"model_type\":\"\\ud800\"}")]
    [InlineData("<html>")]
    public void A_file_that_is_no_configuration_is_an_error_that_names_it(string text)
    {
        File.WriteAllText(_directory.PathTo("config.json"), text);

        Assert.Contains("config.json", Assert.Throws<CheckpointException>(() => ModelConfig.Load(_directory.Root)).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void An_absent_file_and_an_absent_directory_are_errors()
    {
        Assert.Contains("config.json", Assert.Throws<CheckpointException>(() => ModelConfig.Load(_directory.Root)).Message, StringComparison.Ordinal);
        Assert.Throws<CheckpointException>(() => ModelConfig.Load(_directory.PathTo("nowhere")));
        Assert.Throws<CheckpointException>(() => ModelConfig.LoadFile(_directory.Root));
    }

    [Fact]
    public void An_all_dense_model_has_no_expert_sizes()
    {
        var config = Read(With(V3(), """{"n_routed_experts":null,"moe_intermediate_size":null,"n_shared_experts":null,"num_experts_per_tok":null,"first_k_dense_replace":null}"""));

        Assert.Equal((0, 0, 0), (config.RoutedExpertCount, config.ExpertsPerToken, config.SharedExpertCount));
        Assert.All(Enumerable.Range(0, 62), layer => Assert.False(config.IsMoeLayer(layer)));
    }

    [Fact]
    public void Damaged_bytes_give_a_configuration_or_an_error_and_nothing_else()
    {
        var valid = File.ReadAllBytes(Repository.PathTo("bench/deepseek-v32.config.json"));
        var random = new Random(11);
        var read = 0;
        for (var round = 0; round < 300; round++)
        {
            var bytes = valid.ToArray();
            for (var change = random.Next(1, 4); change > 0; change--)
                bytes[random.Next(bytes.Length)] = random.Next(3) == 0 ? (byte)random.Next(256) : (byte)"0123456789\",:[]{}-e\\"[random.Next(20)];
            File.WriteAllBytes(_directory.PathTo("config.json"), bytes);
            if (Record.Exception(() => ModelConfig.Load(_directory.Root)) is not { } error)
                read++;
            else
                Assert.IsType<CheckpointException>(error);
        }
        Assert.InRange(read, 1, 299);
    }

    private static JsonObject V3() => JsonNode.Parse(File.ReadAllText(Repository.PathTo("bench/deepseek-v3.config.json")))!.AsObject();

    private static JsonObject With(JsonObject config, string changes)
    {
        foreach (var (key, value) in JsonNode.Parse(changes)!.AsObject())
            config[key] = value?.DeepClone();
        return config;
    }

    private ModelConfig Read(JsonObject config)
    {
        File.WriteAllText(_directory.PathTo("config.json"), config.ToJsonString());
        return ModelConfig.Load(_directory.Root);
    }
}
