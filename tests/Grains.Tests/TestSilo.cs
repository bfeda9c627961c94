using Conclave.Engine;
using Conclave.Model;
using Conclave.Model.Checkpoints;
using Conclave.Silo;
using Conclave.Tests.Support;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Orleans;
using Orleans.Runtime;

namespace Conclave.Grains.Tests;

/// <summary>One silo in this process that serves a tiny model of random weights.</summary>
public sealed class TestSilo : IAsyncLifetime
{
    private readonly string _root = Directory.CreateTempSubdirectory("conclave-grains-").FullName;
    private readonly StepGate _steps = new();
    private IHost _host = null!;

    public Rank Rank => _host.Services.GetRequiredService<Rank>();

    public IGrainFactory Grains => _host.Services.GetRequiredService<IGrainFactory>();

    public string Address => _host.Services.GetRequiredService<ILocalSiloDetails>().SiloAddress.ToParsableString();

    public IGatewayGrain Gateway => Grains.GetGrain<IGatewayGrain>(SiloKey.Rank(Address));

    /// <summary>The tiny model's architecture: one dense layer, one with 8 experts.</summary>
    public static ModelConfig Config()
    {
        string file = Path.GetTempFileName();
        File.WriteAllText(file, ConfigJson);
        ModelConfig config = ModelConfig.LoadFile(file);
        File.Delete(file);
        return config;
    }

    public async Task InitializeAsync()
    {
        string config = Path.Combine(_root, "config.json"), model = Path.Combine(_root, "tiny-random");
        File.WriteAllText(config, ConfigJson);
        Synthesizer.Write(config, seed: 3, DType.BF16, model);
        int[] ports = FreePorts.Next(2);
        HostApplicationBuilder builder = Host.CreateApplicationBuilder();
        builder.Logging.ClearProviders();
        builder.Services.AddPatience();
        builder.AddConclaveSilo(new SiloOptions
        {
            ModelDirectory = model,
            Threads = 1,
            Slots = 3,
            SiloPort = ports[0],
            GatewayPort = ports[1],
            ClusterId = $"test-{ports[0]}",
            Engine = new EngineOptions { MaxBatch = 8, MaxStepRows = 32, KvMemorySizeBytes = 4 << 20, BeforeStep = _steps.Pass },
        });
        _host = builder.Build();
        await _host.StartAsync();
    }

    public async Task DisposeAsync()
    {
        await _host.StopAsync();
        _host.Dispose();
        Directory.Delete(_root, recursive: true);
    }

    /// <summary>From so many generated tokens on no step begins until nothing is open any more: who leaves then does not leave what is over already.</summary>
    public Task HoldAsync(long generatedTokens)
    {
        _steps.HoldWhen(() => Rank.Engine.Status.GeneratedTokens >= generatedTokens);
        return ReleaseAsync();

        async Task ReleaseAsync()
        {
            await _steps.HeldAsync();
            for (int i = 0; i < 12_000 && Rank.SequenceCount > 0; i++) await Task.Delay(10);
            _steps.Release();
        }
    }

    /// <summary>Waits until nothing is left of any sequence.</summary>
    public async Task AssertIdleAsync()
    {
        for (int i = 0; i < 12_000; i++)
        {
            if (Rank.Engine.Status is { Running: 0, Waiting: 0, PagesInUse: 0 } && Rank.SequenceCount == 0) return;
            await Task.Delay(10);
        }

        Assert.Fail($"{Rank.Engine.Status}, {Rank.SequenceCount} sequences open");
    }

    internal const string ConfigJson = """
        {
          "model_type": "deepseek_v3", "vocab_size": 512, "hidden_size": 32, "intermediate_size": 64, "moe_intermediate_size": 16,
          "num_hidden_layers": 2, "first_k_dense_replace": 1, "moe_layer_freq": 1, "num_attention_heads": 2, "num_key_value_heads": 2,
          "q_lora_rank": 16, "kv_lora_rank": 16, "qk_nope_head_dim": 8, "qk_rope_head_dim": 8, "v_head_dim": 8,
          "n_routed_experts": 8, "n_shared_experts": 1, "num_experts_per_tok": 2, "n_group": 2, "topk_group": 1,
          "scoring_func": "sigmoid", "topk_method": "noaux_tc", "norm_topk_prob": true, "routed_scaling_factor": 1.5,
          "num_nextn_predict_layers": 0, "hidden_act": "silu", "rms_norm_eps": 1e-06, "rope_theta": 10000, "rope_scaling": null,
          "max_position_embeddings": 8192, "tie_word_embeddings": false, "attention_bias": false,
          "bos_token_id": 0, "eos_token_id": 1, "torch_dtype": "bfloat16"
        }
        """;
}
