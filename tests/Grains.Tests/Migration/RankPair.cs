using Conclave.Engine;
using Conclave.Engine.Speculation;
using Conclave.Grains.Tests.Experts;
using Conclave.Grains.Transport;
using Conclave.Model;
using Conclave.Tests.Support;
using Microsoft.Extensions.Logging.Abstractions;

namespace Conclave.Grains.Tests.Migration;

/// <summary>Two ranks of this process that hold every expert themselves and know each other, without grains.</summary>
internal sealed class RankPair : IDisposable
{
    private readonly List<IDisposable> _parts = [];
    private readonly List<ExpertSilo> _silos;

    /// <param name="model">The checkpoint.</param>
    /// <param name="options">Times of both ranks.</param>
    /// <param name="targetPages">KV pages of the target.</param>
    /// <param name="speculation">Drafts of both ranks.</param>
    /// <param name="sourceClock">The source's clock; the machine's if null.</param>
    /// <param name="targetClock">The target's clock; the machine's if null.</param>
    public RankPair(
        ExpertModel model, RankOptions? options = null, int targetPages = 60, SpeculationOptions? speculation = null, TimeProvider? sourceClock = null, TimeProvider? targetClock = null)
    {
        _silos = [new ExpertSilo(model), new ExpertSilo(model)];
        int experts = model.Checkpoint.Config.RoutedExpertCount, layers = model.Checkpoint.Config.LayerCount + model.Checkpoint.Config.NextTokenPredictLayers;
        foreach (ExpertSilo silo in _silos)
        {
            int[] pairs = [.. Enumerable.Range(0, layers * experts).Where(pair => model.Checkpoint.Config.IsMoeLayer(pair / experts))];
            silo.Experts.Hold(silo.SlotKey, new ShardLoad { MapVersion = 1, Layers = [.. pairs.Select(p => p / experts)], Experts = [.. pairs.Select(p => p % experts)] });
            Assert.True(SpinWait.SpinUntil(() => silo.Experts.Status(silo.SlotKey).MapVersion == 1, TimeSpan.FromMinutes(2)));
        }

        var view = new ClusterView
        {
            Map = new ExpertMap
            {
                Version = 1,
                SlotKeys = [.. _silos.Select(silo => silo.SlotKey)],
                ExpertCount = experts,
                Replicas = [.. Enumerable.Range(0, layers * experts).Select(pair => model.Checkpoint.Config.IsMoeLayer(pair / experts) ? new[] { 0, 1 } : [])],
            },
            Ranks = [.. _silos.Select(silo => silo.Address)],
            Silos = [.. _silos.Select(silo => silo.Offer)],
            Epoch = 1,
        };
        Source = Start(model, _silos[0], view, options ?? PatientSilo.Ranks, pages: 60, speculation, SourceSteps, sourceClock ?? TimeProvider.System);
        Target = Start(model, _silos[1], view, options ?? PatientSilo.Ranks, targetPages, speculation, TargetSteps, targetClock ?? TimeProvider.System);
    }

    public Rank Source { get; }

    public Rank Target { get; }

    public string TargetSilo => _silos[1].Address;

    /// <summary>Before the steps of the source.</summary>
    public StepGate SourceSteps { get; } = new();

    /// <summary>Before the steps of the target.</summary>
    public StepGate TargetSteps { get; } = new();

    public TensorTransport SourceTransport => _silos[0].Transport;

    public TensorTransport TargetTransport => _silos[1].Transport;

    public static GenerateCommand Command(int i = 0, int maxTokens = 400) => new()
    {
        SequenceId = Guid.NewGuid(),
        PromptIds = [0, 7, 8, 9, 40 + i, 41, .. Enumerable.Range(0, 70).Select(token => (token * 13) % 300)],
        MaxTokens = maxTokens,
        StopTokenIds = [],
        Temperature = 0.8f,
        PresencePenalty = 0.4f,
        Seed = (ulong)i,
        TopLogprobs = 1,
    };

    /// <summary>What an undisturbed rank makes of a command.</summary>
    public async Task<string[]> Undisturbed(GenerateCommand command)
    {
        using Sequence sequence = Target.Engine.Submit(command.ToRequest());
        return [.. await ReadAsync(sequence)];
    }

    /// <summary>Everything until the end, with bits.</summary>
    public static async Task<List<string>> ReadAsync(Sequence sequence, int most = int.MaxValue)
    {
        var tokens = new List<string>();
        while (tokens.Count < most && await sequence.WaitToReadAsync(default))
            while (tokens.Count < most && sequence.TryRead(out GeneratedToken token)) tokens.Add($"{token.Id} {BitConverter.SingleToInt32Bits(token.Logprob):x8}");
        return tokens;
    }

    public static GenerateCommand Resumed(GenerateCommand command, List<string> tokens)
    {
        int[] ids = [.. tokens.Select(token => int.Parse(token.Split(' ')[0], System.Globalization.CultureInfo.InvariantCulture))];
        return command with { PromptIds = [.. command.PromptIds, .. ids], ResumedCount = ids.Length };
    }

    public void Dispose()
    {
        SourceSteps.Release();
        TargetSteps.Release();
        _parts.Reverse();
        foreach (IDisposable part in _parts) part.Dispose();
        foreach (ExpertSilo silo in _silos) silo.Dispose();
    }

    private Rank Start(ExpertModel model, ExpertSilo silo, ClusterView view, RankOptions options, int pages, SpeculationOptions? speculation, StepGate steps, TimeProvider clock)
    {
        var workers = new WorkerPool(1);
        var dispatch = new ClusterExpertDispatch(model.Checkpoint, silo.Experts, workers, ExpertCluster.Patient, silo.Address, silo.Transport, TimeProvider.System);
        dispatch.Use(view);
        var engine = new EngineOptions
        {
            MaxBatch = 8,
            MaxStepRows = 64,
            KvMemorySizeBytes = pages * KvLayout.For(model.Checkpoint.Config).PageSizeBytes,
            Speculation = speculation ?? SpeculationOptions.Auto,
            BeforeStep = steps.Pass,
        };
        var rank = new Rank(model.Checkpoint, dispatch, workers, engine, options, clock, NullLogger<Rank>.Instance, silo.Transport);
        rank.Start();
        _parts.AddRange([workers, dispatch, rank]);
        return rank;
    }
}
