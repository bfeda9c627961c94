using System.Diagnostics;
using Conclave.Model;
using Conclave.Model.Checkpoints;
using Conclave.Model.Experts;

namespace Conclave.Cli.Commands.Bench;

/// <summary>One measurement of one context length, milliseconds.</summary>
/// <param name="PrefillMs">A chunk whose last token stands at the end of the context.</param>
/// <param name="PrefillAttentionMs">Attention's part of it.</param>
/// <param name="DecodeMs">Median step that decodes one token behind the context.</param>
/// <param name="DecodeAttentionMs">Attention's part of it: norm, projections, indexer, attention over the pages.</param>
internal sealed record ContextSample(double PrefillMs, double PrefillAttentionMs, double DecodeMs, double DecodeAttentionMs);

/// <summary>
/// One sequence of random text behind contexts of different lengths. Its pages are filled with random latents at first: as much work as those of the text, without computing it. <see cref="Prefill"/> computes
/// as much of the text as there is time for.
/// </summary>
internal sealed class ContextRun : IDisposable
{
    private readonly Arena _memory = new();
    private readonly LocalExpertDispatch _experts;
    private readonly Transformer _model;
    private readonly StepBatch _batch;
    private readonly StepTimeline _timeline;
    private readonly KvPageTable _pages;
    private readonly int[] _text;
    private readonly int _steps;
    private readonly int _chunk;

    public ContextRun(Checkpoint checkpoint, WorkerPool workers, KvOptions kv, int longest, int chunk, int steps)
    {
        ModelConfig config = checkpoint.Config;
        RequireRoom(config, longest);
        (_steps, _chunk) = (steps, chunk);
        _experts = new LocalExpertDispatch(config, new ExpertTable(config, [new ExpertShard(checkpoint, ExpertShard.AllOf(config))]), workers);
        _model = new Transformer(checkpoint, _experts, workers, chunk, kv: kv);
        _batch = new StepBatch(config, chunk, 1);
        _model.Timeline = _timeline = new StepTimeline(TimeProvider.System);
        _pages = NewSequence(longest + 1);
        var random = new Random(7);
        _text = [.. Enumerable.Range(0, longest + 1).Select(_ => random.Next(config.VocabularySize))];
        KvFiller.Fill(_model.KvLayout, _pages, longest, seed: 1);
    }

    /// <summary>Shape of the pages.</summary>
    public KvLayout Layout => _model.KvLayout;

    /// <summary>Which kernels run.</summary>
    public string Kernels => _model.KernelTier.ToString();

    /// <summary>Bytes of the pages that a context takes, divided by its tokens.</summary>
    public double SizeBytesPerToken(int length) => (double)Layout.PagesFor(length) * Layout.PageSizeBytes / length;

    /// <summary>Checks that the longest context fits the model's, before anything is loaded.</summary>
    /// <exception cref="ArgumentException">It does not.</exception>
    public static void RequireRoom(ModelConfig config, int longest)
    {
        if (longest + 1 > config.MaxPositions) throw new ArgumentException($"--lengths: {longest} tokens and one to decode exceed the model's context of {config.MaxPositions}");
    }

    /// <summary>Runs everything often enough for the just-in-time compiler to have done its best.</summary>
    public async Task WarmUp(int length, CancellationToken cancellationToken)
    {
        for (int round = 0; round < 3; round++)
        {
            Step(Math.Max(0, length - _chunk), Math.Min(length, _chunk));
            for (int step = 0; step < 10; step++) Step(length, 1);
            // Methods are compiled again in the background once they have been called often.
            await Task.Delay(150, cancellationToken);
        }
    }

    /// <summary>
    /// Computes the whole text from its first token on, in chunks, until <paramref name="limit"/> is reached: seconds for each of <paramref name="lengths"/>, null where there was not enough time. What is not computed
    /// stays random.
    /// </summary>
    public double?[] Prefill(int[] lengths, TimeSpan limit, CancellationToken cancellationToken)
    {
        var seconds = new double?[lengths.Length];
        double elapsed = 0, told = 0;
        int position = 0;
        foreach (int length in lengths.Distinct().Order())
        {
            while (position < length && elapsed < limit.TotalSeconds)
            {
                cancellationToken.ThrowIfCancellationRequested();
                int rows = Math.Min(_chunk, length - position);
                elapsed += Step(position, rows).Ms / 1e3;
                position += rows;
                if (elapsed - told < 10) continue;
                told = elapsed;
                BenchOptions.Progress($"{position} tokens of the prompt computed in {elapsed:F0} s");
            }

            for (int i = 0; i < lengths.Length && position == length; i++) seconds[i] = lengths[i] == length ? elapsed : seconds[i];
        }

        return seconds;
    }

    /// <summary>Measures once; the context stays as it was but for its last chunk.</summary>
    public ContextSample Measure(int length)
    {
        int rows = Math.Min(length, _chunk);
        (double prefillMs, double prefillAttentionMs) = Step(length - rows, rows);
        Step(length, 1);
        var steps = Enumerable.Range(0, _steps).Select(_ => Step(length, 1)).ToList();
        return new ContextSample(prefillMs, prefillAttentionMs, MachineSpeed.Median(steps.Select(step => step.Ms)), MachineSpeed.Median(steps.Select(step => step.AttentionMs)));
    }

    public void Dispose()
    {
        _model.Dispose();
        _experts.Dispose();
        _batch.Dispose();
        _memory.Dispose();
    }

    private (double Ms, double AttentionMs) Step(int position, int rows)
    {
        _pages.Length = position;
        _batch.Clear();
        _batch.Add(_pages, _text.AsSpan(position, rows), LogitRows.Last);
        _timeline.Clear();
        long start = Stopwatch.GetTimestamp();
        _model.Forward(_batch);
        double ms = Stopwatch.GetElapsedTime(start).TotalMilliseconds;
        long attention = 0;
        foreach (StepSpan span in _timeline.Spans)
            attention += span.Activity == StepActivity.Attention ? span.End - span.Start : 0;
        return (ms, TimeProvider.System.GetElapsedTime(0, attention).TotalMilliseconds);
    }

    private unsafe KvPageTable NewSequence(int tokens)
    {
        int count = Layout.PagesFor(tokens);
        var pages = new KvPageTable(count, Layout.PageTokens);
        for (int i = 0; i < count; i++) pages.Add((nint)_memory.Bytes(Layout.PageSizeBytes));
        return pages;
    }
}
