using System.Diagnostics;
using Conclave.Engine;
using Conclave.Engine.Speculation;
using Conclave.Model;
using Conclave.Model.Checkpoints;
using Conclave.Model.Experts;

namespace Conclave.Cli.Commands.Bench;

/// <summary>Sums over all texts.</summary>
/// <param name="Tokens">Tokens generated while decoding.</param>
/// <param name="Seconds">Time for them.</param>
/// <param name="AllTokens">Tokens generated in all.</param>
/// <param name="Drafted">Drafts verified.</param>
/// <param name="Accepted">Those that were right.</param>
internal readonly record struct SpeculateTotals(long Tokens, double Seconds, long AllTokens, long Drafted, long Accepted)
{
    /// <summary>Rate while decoding.</summary>
    public double TokensPerSecond => Tokens / Seconds;

    /// <summary>Steps, counted for each sequence.</summary>
    public long Steps => Math.Max(1, AllTokens - Accepted);

    public static SpeculateTotals operator +(SpeculateTotals a, SpeculateTotals b) =>
        new(a.Tokens + b.Tokens, a.Seconds + b.Seconds, a.AllTokens + b.AllTokens, a.Drafted + b.Drafted, a.Accepted + b.Accepted);
}

/// <summary>One model, and an engine for each setting; they take turns over the same requests, a few at a time.</summary>
internal sealed class SpeculateRun : IDisposable
{
    private readonly LocalExpertDispatch _experts;
    private readonly Transformer _model;
    private readonly Engine.Engine[] _engines;
    private readonly int _batch;

    public SpeculateRun(Checkpoint checkpoint, WorkerPool workers, SpeculationOptions[] settings, int batch)
    {
        ModelConfig config = checkpoint.Config;
        _batch = batch;
        _experts = new LocalExpertDispatch(config, new ExpertTable(config, [new ExpertShard(checkpoint, ExpertShard.AllOf(config))]), workers);
        int rows = Math.Max(256, batch * (1 + SpeculationOptions.MaxDrafts));
        _model = new Transformer(checkpoint, _experts, workers, rows);
        _engines = [.. settings.Select(setting => new Engine.Engine(
            _model,
            new EngineOptions { MaxBatch = batch, MaxStepRows = rows, KvMemorySizeBytes = 256L << 20, Speculation = setting },
            TimeProvider.System))];
    }

    /// <summary>
    /// Runs <paramref name="requests"/> through every engine, group by group in turns, and checks that all give the same tokens. As many rounds as asked for count; one before them,
    /// in which code is compiled and auto finds its way, does not.
    /// </summary>
    /// <returns>Totals of each group in each round, by setting.</returns>
    public async Task<SpeculateTotals[][]> Measure(GenerationRequest[] requests, int rounds, CancellationToken cancellationToken)
    {
        GenerationRequest[][] groups = [.. requests.Chunk(_batch)];
        var expected = new List<int>[groups.Length][];
        List<SpeculateTotals[]> totals = [];
        for (int turn = 0; turn < (rounds + 1) * groups.Length; turn++)
        {
            int group = turn % groups.Length, round = turn / groups.Length;
            var sums = new SpeculateTotals[_engines.Length];
            for (int i = 0; i < _engines.Length; i++)
            {
                cancellationToken.ThrowIfCancellationRequested();
                int setting = (i + group + round) % _engines.Length;
                (List<int>[] tokens, sums[setting]) = await Run(_engines[setting], groups[group], Guid.NewGuid().ToString());
                expected[group] ??= tokens;
                if (!expected[group].Zip(tokens).All(pair => pair.First.SequenceEqual(pair.Second))) throw new InvalidOperationException("drafts have changed tokens");
            }

            if (round > 0) totals.Add(sums);
        }

        return [.. totals];
    }

    public void Dispose()
    {
        foreach (Engine.Engine engine in _engines) engine.Dispose();
        _model.Dispose();
        _experts.Dispose();
    }

    /// <summary>All requests of a group at once; the clock runs from when each has its first token.</summary>
    private static async Task<(List<int>[] Tokens, SpeculateTotals Totals)> Run(Engine.Engine engine, GenerationRequest[] requests, string cacheScope)
    {
        EngineStatus before = engine.Status;
        Sequence[] sequences = [.. requests.Select(request => engine.Submit(request with { CacheScope = cacheScope }))];
        List<int>[] tokens = [.. sequences.Select(_ => new List<int>())];
        for (int i = 0; i < sequences.Length; i++) await Read(sequences[i], tokens[i], isFirst: true);
        int count = tokens.Sum(read => read.Count);
        long start = Stopwatch.GetTimestamp();
        for (int i = 0; i < sequences.Length; i++) await Read(sequences[i], tokens[i], isFirst: false);
        double seconds = Stopwatch.GetElapsedTime(start).TotalSeconds;
        foreach (Sequence sequence in sequences) sequence.Dispose();
        EngineStatus after = engine.Status;
        long all = tokens.Sum(read => read.Count);
        return (tokens, new SpeculateTotals(all - count, seconds, all, after.DraftedTokens - before.DraftedTokens, after.AcceptedTokens - before.AcceptedTokens));
    }

    private static async Task Read(Sequence sequence, List<int> tokens, bool isFirst)
    {
        while (await sequence.WaitToReadAsync(CancellationToken.None))
        {
            while (sequence.TryRead(out GeneratedToken token)) tokens.Add(token.Id);
            if (isFirst) return;
        }
    }
}
