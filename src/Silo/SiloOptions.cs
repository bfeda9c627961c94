using Conclave.Engine;
using Conclave.Grains;

namespace Conclave.Silo;

/// <summary>What one silo is told when it starts; checked by <see cref="Validate"/> before anything else happens.</summary>
public sealed record SiloOptions
{
    /// <summary>The checkpoint's directory.</summary>
    public required string ModelDirectory { get; init; }

    /// <summary>Threads of the forward pass.</summary>
    public int Threads { get; init; } = Environment.ProcessorCount;

    /// <summary>Slots of expert memory.</summary>
    public int Slots { get; init; } = 1;

    /// <summary>Silo-to-silo port.</summary>
    public int SiloPort { get; init; } = 11111;

    /// <summary>Port for Orleans clients.</summary>
    public int GatewayPort { get; init; } = 30000;

    /// <summary>The cluster's name: silos of different clusters never meet.</summary>
    public string ClusterId { get; init; } = "conclave";

    /// <summary>Limits of the rank's engine.</summary>
    public EngineOptions Engine { get; init; } = new();

    /// <summary>How the rank reaches its experts.</summary>
    public DispatchOptions Dispatch { get; init; } = new();

    /// <summary>The model's name in the cluster: the directory's.</summary>
    public string ModelName => Path.GetFileName(Path.TrimEndingDirectorySeparator(Path.GetFullPath(ModelDirectory)));

    /// <summary>Checks every value.</summary>
    /// <exception cref="ArgumentException">The message names the option and its range.</exception>
    public void Validate()
    {
        if (!File.Exists(Path.Combine(ModelDirectory, "config.json")))
            throw new ArgumentException($"--model: '{ModelDirectory}' is not a checkpoint directory (it has no config.json)");
        Check(Threads is >= 1 and <= 1024, "--threads", "1 to 1024", Threads);
        Check(Slots is >= 0 and <= 4096, "--slots", "0 to 4096", Slots);
        Check(Engine.MaxBatch is >= 1 and <= 4096, "--max-batch", "1 to 4096", Engine.MaxBatch);
        Check(Engine.MaxStepRows >= Engine.MaxBatch, "rows of a step", $"at least --max-batch ({Engine.MaxBatch})", Engine.MaxStepRows);
        Dispatch.Validate();
        Check(Engine.KvMemorySizeBytes > 0, "--kv-memory", "more than 0", Engine.KvMemorySizeBytes);
    }

    private static void Check(bool holds, string option, string range, long value)
    {
        if (!holds) throw new ArgumentException($"{option}: {value} is out of range; it must be {range}");
    }
}
