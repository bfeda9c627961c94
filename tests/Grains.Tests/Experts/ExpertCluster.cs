using System.Net;
using System.Runtime.InteropServices;
using Conclave.Grains.Transport;
using Conclave.Model;
using Conclave.Model.Checkpoints;
using Conclave.Tests.Support;
using Orleans.Runtime;

namespace Conclave.Grains.Tests.Experts;

/// <summary>A checkpoint of random weights with three MoE layers of 16 experts, for one test class.</summary>
public class ExpertModel : IDisposable
{
    private readonly string _root = Directory.CreateTempSubdirectory("conclave-experts-").FullName;

    public ExpertModel()
        : this(predictionModules: 0)
    {
    }

    protected ExpertModel(int predictionModules)
    {
        string config = Path.Combine(_root, "config.json");
        File.WriteAllText(config, ConfigJson.Replace("\"num_nextn_predict_layers\": 0", $"\"num_nextn_predict_layers\": {predictionModules}", StringComparison.Ordinal));
        Synthesizer.Write(config, seed: 5, DType.BF16, Path.Combine(_root, "model"));
        Checkpoint = Checkpoint.Open(Path.Combine(_root, "model"));
    }

    public Checkpoint Checkpoint { get; }

    public void Dispose()
    {
        Checkpoint.Dispose();
        Directory.Delete(_root, recursive: true);
        GC.SuppressFinalize(this);
    }

    private const string ConfigJson = """
        {
          "model_type": "deepseek_v3", "vocab_size": 300, "hidden_size": 200, "intermediate_size": 64, "moe_intermediate_size": 24,
          "num_hidden_layers": 4, "first_k_dense_replace": 1, "moe_layer_freq": 1, "num_attention_heads": 2, "num_key_value_heads": 2,
          "q_lora_rank": 16, "kv_lora_rank": 16, "qk_nope_head_dim": 8, "qk_rope_head_dim": 8, "v_head_dim": 8,
          "n_routed_experts": 16, "n_shared_experts": 1, "num_experts_per_tok": 4, "n_group": 4, "topk_group": 2,
          "scoring_func": "sigmoid", "topk_method": "noaux_tc", "norm_topk_prob": true, "routed_scaling_factor": 1.5,
          "num_nextn_predict_layers": 0, "hidden_act": "silu", "rms_norm_eps": 1e-06, "rope_theta": 10000, "rope_scaling": null,
          "max_position_embeddings": 4096, "tie_word_embeddings": false, "attention_bias": false,
          "bos_token_id": 0, "eos_token_id": 1, "torch_dtype": "bfloat16"
        }
        """;
}

/// <summary>The same with an MTP module behind its layers, which has experts too.</summary>
public sealed class PredictingExpertModel() : ExpertModel(predictionModules: 1);

/// <summary>One silo's experts with their transport, without grains.</summary>
internal sealed class ExpertSilo : IDisposable
{
    private static int Count;

    public ExpertSilo(ExpertModel model, Action<TransportOptions>? change = null)
    {
        Address = SiloAddress.New(new IPEndPoint(IPAddress.Loopback, 20_000 + (Interlocked.Increment(ref Count) % 30_000)), 1).ToParsableString();
        Experts = new SiloExperts(model.Checkpoint, TimeProvider.System);
        Service = new ExpertService(model.Checkpoint.Config, Experts, threads: 1);
        var options = new TransportOptions { SuspectMs = PatientSilo.LongMs };
        change?.Invoke(options);
        Transport = new TensorTransport(options);
        Transport.Handle(ExpertService.RequestKind, Service);
        Transport.Start();
    }

    public string Address { get; }

    public SiloExperts Experts { get; }

    public ExpertService Service { get; }

    public TensorTransport Transport { get; }

    public SiloOffer Offer => new() { Silo = Address, Slots = 1, TransportAddress = Transport.Address };

    public string SlotKey => SiloKey.Slot(0, Address);

    public void Dispose()
    {
        Transport.Dispose();
        Service.Dispose();
        Experts.Dispose();
    }
}

/// <summary>Silos of one process, the first with a rank, and a map that says which silos hold an expert.</summary>
internal sealed unsafe class ExpertCluster : IDisposable
{
    /// <summary>Nobody is asked twice who is only slow, and nothing given up.</summary>
    public static readonly DispatchOptions Patient = new() { RequestTimeoutMs = PatientSilo.LongMs, MissingTimeoutMs = PatientSilo.LongMs };

    private readonly Arena _pages = new();
    private readonly WorkerPool _workers;
    private readonly StepBatch _batch;
    private readonly Transformer _transformer;
    private readonly ModelConfig _config;
    private long _version;

    /// <param name="model">The checkpoint.</param>
    /// <param name="siloCount">Silos.</param>
    /// <param name="holders">Silos that hold an expert, by layer and expert.</param>
    /// <param name="options">How the rank reaches them.</param>
    /// <param name="change">Changes options of all transports.</param>
    public ExpertCluster(ExpertModel model, int siloCount, Func<int, int, int[]> holders, DispatchOptions? options = null, Action<TransportOptions>? change = null)
    {
        _config = model.Checkpoint.Config;
        Silos = [.. Enumerable.Range(0, siloCount).Select(_ => new ExpertSilo(model, change))];
        _workers = new WorkerPool(2);
        Dispatch = new ClusterExpertDispatch(model.Checkpoint, Silos[0].Experts, _workers, options ?? Patient, Silos[0].Address, Silos[0].Transport, TimeProvider.System);
        _transformer = new Transformer(model.Checkpoint, Dispatch, _workers, 128);
        _batch = new StepBatch(_config, 128, 128);
        Dispatch.Use(Load(holders));
        foreach (TransportPeer peer in Silos[0].Transport.Peers) Assert.True(peer.WaitAlive(TimeSpan.FromMinutes(2)));
    }

    public ExpertSilo[] Silos { get; }

    public ClusterExpertDispatch Dispatch { get; }

    public Transformer Transformer => _transformer;

    /// <summary>Layers with routed experts.</summary>
    public IEnumerable<int> Layers => Enumerable.Range(0, _config.LayerCount).Where(_config.IsMoeLayer);

    /// <summary>The view in which silos hold what <paramref name="holders"/> says; returns when they do.</summary>
    public ClusterView Load(Func<int, int, int[]> holders)
    {
        long version = ++_version;
        int experts = _config.RoutedExpertCount;
        int[][] replicas = [.. Enumerable.Range(0, _config.LayerCount * experts).Select(i => _config.IsMoeLayer(i / experts) ? holders(i / experts, i % experts) : [])];
        for (int silo = 0; silo < Silos.Length; silo++)
        {
            int[] pairs = [.. Enumerable.Range(0, replicas.Length).Where(pair => replicas[pair].Contains(silo))];
            ExpertSilo holder = Silos[silo];
            holder.Experts.Hold(holder.SlotKey, new ShardLoad { MapVersion = version, Layers = [.. pairs.Select(p => p / experts)], Experts = [.. pairs.Select(p => p % experts)] });
            Assert.True(SpinWait.SpinUntil(() => holder.Experts.Status(holder.SlotKey).MapVersion == version, TimeSpan.FromMinutes(2)));
        }

        return new ClusterView
        {
            Map = new ExpertMap { Version = version, SlotKeys = [.. Silos.Select(silo => silo.SlotKey)], ExpertCount = experts, Replicas = replicas },
            Ranks = [Silos[0].Address],
            Silos = [.. Silos.Select(silo => silo.Offer)],
            Epoch = version,
        };
    }

    /// <summary>Lets every silo forget what older maps than the last loaded one needed.</summary>
    public void RetainNewest()
    {
        foreach (ExpertSilo silo in Silos) silo.Experts.Retain(silo.SlotKey, _version);
    }

    /// <summary>An empty sequence with room for 128 tokens.</summary>
    public KvPageTable NewSequence()
    {
        var pages = new KvPageTable(2, _transformer.KvLayout.PageTokens);
        for (int i = 0; i < 2; i++) pages.Add((nint)_pages.Bytes(_transformer.KvLayout.PageSizeBytes));
        return pages;
    }

    /// <summary>One step that appends <paramref name="tokens"/>; the bits of all logits.</summary>
    public int[] Step(KvPageTable pages, ReadOnlySpan<int> tokens)
    {
        _batch.Clear();
        _batch.Add(pages, tokens, LogitRows.All);
        _transformer.Forward(_batch);
        var bits = new List<int>();
        for (int i = 0; i < _batch.LogitRowCount; i++) bits.AddRange(MemoryMarshal.Cast<float, int>(_batch.Logits(i)));
        return [.. bits];
    }

    /// <summary>A step of one token that keeps nothing.</summary>
    public void Decode(KvPageTable[] sequences, int token)
    {
        _batch.Clear();
        foreach (KvPageTable pages in sequences) _batch.Add(pages, new ReadOnlySpan<int>(in token), LogitRows.Last);
        _transformer.Forward(_batch);
    }

    /// <summary>A prompt of 50 tokens and then five single ones: the bits of all logits.</summary>
    public int[] Run()
    {
        var random = new Random(1);
        KvPageTable pages = NewSequence();
        int[] tokens = [.. Enumerable.Range(0, 55).Select(_ => random.Next(300))];
        return [.. Step(pages, tokens.AsSpan(0, 50)), .. Enumerable.Range(50, 5).SelectMany(i => Step(pages, tokens.AsSpan(i, 1)))];
    }

    public void Dispose()
    {
        Dispatch.Close();
        _transformer.Dispose();
        Dispatch.Dispose();
        _batch.Dispose();
        _workers.Dispose();
        foreach (ExpertSilo silo in Silos) silo.Dispose();
        _pages.Dispose();
    }
}
