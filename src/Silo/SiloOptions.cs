using System.Net;
using Conclave.Engine;
using Conclave.Grains;
using Conclave.Grains.Transport;
using Conclave.Model;
using Conclave.Model.Kernels;

namespace Conclave.Silo;

/// <summary>What a silo does.</summary>
[Flags]
public enum SiloRoles
{
    /// <summary>Its rank serves sequences.</summary>
    Attention = 1,

    /// <summary>Its slots hold experts.</summary>
    Expert = 2,

    /// <summary>Both.</summary>
    Both = Attention | Expert,
}

/// <summary>What one silo is told when it starts; checked by <see cref="Validate"/> before anything else happens.</summary>
public sealed record SiloOptions
{
    /// <summary>The checkpoint's directory.</summary>
    public required string ModelDirectory { get; init; }

    /// <summary>The silo's name for people; empty for its address.</summary>
    public string Name { get; init; } = "";

    /// <summary>Threads of the forward pass.</summary>
    public int Threads { get; init; } = Environment.ProcessorCount;

    /// <summary>Threads that compute rows of other silos; 0 for as many as <see cref="Threads"/>.</summary>
    public int ExpertThreads { get; init; }

    /// <summary>What it does.</summary>
    public SiloRoles Roles { get; init; } = SiloRoles.Both;

    /// <summary>Slots of expert memory; of no account without the role.</summary>
    public int Slots { get; init; } = 1;

    /// <summary>Most bytes of expert weights over all slots; 0 for no limit.</summary>
    public long ExpertMemorySizeBytes { get; init; }

    /// <summary>Labels such as <c>gpu=a100,zone=east</c>. <c>host</c> is the machine's name unless given.</summary>
    public IReadOnlyDictionary<string, string> Labels { get; init; } = new Dictionary<string, string>();

    /// <summary>Replicas of every expert, on different silos.</summary>
    public int Replicas { get; init; } = 1;

    /// <summary>Further replicas for the busiest experts of each layer.</summary>
    public int RedundantExperts { get; init; }

    /// <summary>Where other silos and clients reach this one; it listens there too.</summary>
    public IPAddress AdvertisedAddress { get; init; } = IPAddress.Loopback;

    /// <summary>Listens on all addresses of the machine, not only on the advertised one.</summary>
    public bool ListenOnAllAddresses { get; init; }

    /// <summary>Silo-to-silo port.</summary>
    public int SiloPort { get; init; } = 11111;

    /// <summary>Port for Orleans clients.</summary>
    public int GatewayPort { get; init; } = 30000;

    /// <summary>The cluster's name: silos of different clusters never meet.</summary>
    public string ClusterId { get; init; } = "conclave";

    /// <summary>First part of the cluster's keys in Redis.</summary>
    public string ServiceId { get; init; } = "conclave";

    /// <summary>Redis as its clients take it, <c>host:port,password=...,ssl=true</c>; null for clustering on this host by a primary silo.</summary>
    public string? RedisConnection { get; init; }

    /// <summary>Without Redis: the silo port of the first silo on this host; null if that is this one.</summary>
    public IPEndPoint? Primary { get; init; }

    /// <summary>How activations travel to other silos; null for a silo that stays alone: then nothing listens for them.</summary>
    public TransportOptions? Transport { get; init; }

    /// <summary>How the rank reaches its experts.</summary>
    public DispatchOptions Dispatch { get; init; } = new();

    /// <summary>A silo that all others suspect this long is declared dead.</summary>
    public int EvictionDelayMs { get; init; } = 200;

    /// <summary>How long a silo that stops waits for its sequences and experts to move.</summary>
    public int DrainGraceSeconds { get; init; } = 30;

    /// <summary>The host has started before the silo serves: health tells when it does. Otherwise the start waits for it.</summary>
    public bool StartsInBackground { get; init; }

    /// <summary>The arithmetic of the large matrix products; tokens depend on it, so all silos must agree.</summary>
    public ComputeType Compute { get; init; }

    /// <summary>Limits of the rank's engine.</summary>
    public EngineOptions Engine { get; init; } = new();

    /// <summary>The model's name in the cluster: the directory's.</summary>
    public string ModelName => Path.GetFileName(Path.TrimEndingDirectorySeparator(Path.GetFullPath(ModelDirectory)));

    /// <summary>What tokens depend on apart from the weights: the same on all silos of a cluster, and for all that is left on disk.</summary>
    internal string Arithmetic => $"products in {Compute}, rows to experts as {Dispatch.Type}, KV pages as {Engine.Kv.Type}";

    internal bool HasRank => Roles.HasFlag(SiloRoles.Attention);

    internal int SlotCount => Roles.HasFlag(SiloRoles.Expert) ? Slots : 0;

    /// <summary>Checks every value.</summary>
    /// <exception cref="ArgumentException">The message names the option and its range.</exception>
    public void Validate()
    {
        if (!File.Exists(Path.Combine(ModelDirectory, "config.json")))
            throw new ArgumentException($"--model: '{ModelDirectory}' is not a checkpoint directory (it has no config.json)");
        Check(Threads is >= 1 and <= 1024, "--threads", "1 to 1024", Threads);
        Check(ExpertThreads is >= 0 and <= 1024, "--expert-threads", "0 to 1024", ExpertThreads);
        Check((Roles & ~SiloRoles.Both) == 0 && Roles != 0, "--roles", "attention, expert or both", (long)Roles);
        Check(Slots is >= 0 and <= 4096, "--slots", "0 to 4096", Slots);
        Check(ExpertMemorySizeBytes >= 0, "--expert-memory", "at least 0", ExpertMemorySizeBytes);
        Check(Replicas is >= 1 and <= 64, "--replicas", "1 to 64", Replicas);
        Check(RedundantExperts is >= 0 and <= 4096, "--redundant-experts", "0 to 4096", RedundantExperts);
        Check(SiloPort is >= 1 and <= IPEndPoint.MaxPort, "--silo-port", "1 to 65535", SiloPort);
        Check(GatewayPort is >= 1 and <= IPEndPoint.MaxPort && GatewayPort != SiloPort, "--gateway-port", "1 to 65535 and not --silo-port", GatewayPort);
        Check(EvictionDelayMs is >= 0 and <= 600_000, "--eviction-delay", "0 to 600000 ms", EvictionDelayMs);
        Check(DrainGraceSeconds is >= 0 and <= 86_400, "--drain-grace", "0 to 86400 seconds", DrainGraceSeconds);
        CheckClustering();
        if (Roles == SiloRoles.Attention && Transport is null) throw new ArgumentException("--roles: a silo without experts needs others, so it cannot stay alone");
        Transport?.Validate();
        Dispatch.Validate();
        Check(Engine.MaxBatch is >= 1 and <= 4096, "--max-batch", "1 to 4096", Engine.MaxBatch);
        Check(Engine.MaxStepRows >= Engine.MaxBatch, "rows of a step", $"at least --max-batch ({Engine.MaxBatch})", Engine.MaxStepRows);
        Check(Engine.Kv.PageTokens >= KvLayout.BlockTokens && Engine.Kv.PageTokens <= KvLayout.MaxPageTokens && Engine.Kv.PageTokens % KvLayout.BlockTokens == 0, "--page-tokens", $"a multiple of {KvLayout.BlockTokens} up to {KvLayout.MaxPageTokens}", Engine.Kv.PageTokens);
        Check(Engine.MaxQueue is >= 1 and <= 1_000_000, "--max-queue", "1 to 1000000", Engine.MaxQueue);
        Check(Engine.StepTokens == 0 || (Engine.StepTokens >= Engine.MaxBatch && Engine.StepTokens <= Engine.MaxStepRows), "--step-tokens", $"--max-batch ({Engine.MaxBatch}) to {Engine.MaxStepRows}", Engine.StepTokens);
        Engine.KvDisk?.Validate();
        Check(Engine.KvMemorySizeBytes > 0, "--kv-memory", "more than 0", Engine.KvMemorySizeBytes);
    }

    /// <summary>Reads labels such as <c>gpu=a100,zone=east</c>.</summary>
    /// <exception cref="ArgumentException">A part is not NAME=VALUE, or a name occurs twice.</exception>
    public static IReadOnlyDictionary<string, string> ParseLabels(string text)
    {
        var labels = new Dictionary<string, string>();
        foreach (string part in text.Split(',', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries))
        {
            int equals = part.IndexOf('=', StringComparison.Ordinal);
            if (equals <= 0 || equals == part.Length - 1) throw new ArgumentException($"--labels: '{part}' is not NAME=VALUE");
            if (!labels.TryAdd(part[..equals].Trim(), part[(equals + 1)..].Trim())) throw new ArgumentException($"--labels: '{part[..equals]}' is given twice");
        }

        return labels;
    }

    private void CheckClustering()
    {
        if (ClusterId.Length == 0) throw new ArgumentException("--cluster-id: it must not be empty");
        if (ServiceId.Length == 0) throw new ArgumentException("--redis-prefix: it must not be empty");
        if (RedisConnection is not null && Primary is not null) throw new ArgumentException("--primary: give either --redis or, for a cluster on this host alone, --primary");
        if (RedisConnection is null && !IPAddress.IsLoopback(AdvertisedAddress))
            throw new ArgumentException($"--advertise: {AdvertisedAddress} is for other hosts, but without --redis all silos are on this one");
        if (AdvertisedAddress.Equals(IPAddress.Any) || AdvertisedAddress.Equals(IPAddress.IPv6Any))
            throw new ArgumentException($"--advertise: {AdvertisedAddress} is no address that others can reach; name one of this machine's");
    }

    private static void Check(bool holds, string option, string range, long value)
    {
        if (!holds) throw new ArgumentException($"{option}: {value} is out of range; it must be {range}");
    }
}
