using System.Diagnostics;
using Conclave.Engine;
using Conclave.Engine.Sampling;
using Conclave.Model;
using Conclave.Model.Checkpoints;
using Conclave.Model.Experts;

namespace Conclave.Cli.Commands.Bench;

/// <summary>One measurement: a prompt, or a number of decode steps.</summary>
/// <param name="Steps">Steps.</param>
/// <param name="Seconds">All of them together.</param>
/// <param name="MedianStepMs">The middle step.</param>
/// <param name="BestStepMs">The shortest step.</param>
/// <param name="WeightBytes">Weights read: each matrix and each chosen expert once a step.</param>
/// <param name="Flops">Floating-point operations of matrix products and attention.</param>
/// <param name="KernelShare">Share of the time inside loops over kernels, of the middle step: where others use the machine too, that is one that was not interrupted.</param>
/// <param name="ExpertsPerLayer">Different experts a step and layer.</param>
internal sealed record ModelSample(int Steps, double Seconds, double MedianStepMs, double BestStepMs, double WeightBytes, double Flops, double KernelShare, double ExpertsPerLayer)
{
    /// <summary>Memory bandwidth around the measurement, GB/s.</summary>
    public double Bandwidth { get; init; }
}

/// <summary>
/// The real step without server and scheduler: forward pass, local experts, greedy choice of every row's token. Each sequence has random text of its own, and decoding feeds
/// the text's next token: what a random model would say to itself soon repeats, and then all sequences choose the same experts.
/// </summary>
internal sealed class ModelRun : IDisposable
{
    /// <summary>Rows of a prefill step, unless told otherwise.</summary>
    public const int MaxChunk = 512;

    private static readonly SamplingParameters Greedy = new() { Temperature = 0 };
    private readonly Arena _pages = new();
    private readonly LocalExpertDispatch _experts;
    private readonly Transformer _model;
    private readonly StepBatch _batch;
    private readonly SamplerScratch _sampler;
    private readonly ModelWork _work;
    private readonly StepTimeline _timeline = new(TimeProvider.System);
    private readonly KvPageTable[] _sequences;
    private readonly int[][] _texts;
    private readonly int _context;
    private readonly int _steps;
    private readonly int _chunk;

    public ModelRun(Checkpoint checkpoint, WorkerPool workers, int sequences, int context, int steps, int prefill, KvOptions kv, int chunk = MaxChunk)
    {
        ModelConfig config = checkpoint.Config;
        (_context, _steps, _chunk) = (context, steps, chunk);
        RequireRoom(config, context, steps, prefill);
        _experts = new LocalExpertDispatch(config, new ExpertTable(config, [new ExpertShard(checkpoint, ExpertShard.AllOf(config))]), workers);
        int rows = Math.Max(sequences, Math.Min(chunk, Math.Max(prefill, context)));
        _model = new Transformer(checkpoint, _experts, workers, rows, kv: kv);
        _batch = new StepBatch(config, rows, sequences);
        _sampler = new SamplerScratch(config.VocabularySize);
        _model.Probe = _work = new ModelWork(checkpoint);
        var random = new Random(7);
        _texts = [.. Enumerable.Range(0, sequences).Select(_ => Text(random, config, Math.Max(prefill, context + steps)))];
        _sequences = [.. Enumerable.Range(0, sequences).Select(i => NewSequence(i == 0 ? Math.Max(prefill, context + steps) : context + steps))];
    }

    /// <summary>Which kernels run.</summary>
    public string Kernels => _model.KernelTier.ToString();

    /// <summary>Takes note of what steps spend their time with; null for nothing.</summary>
    public StepProfile? Profile { get; set; }

    /// <summary>Runs everything often enough for the just-in-time compiler to have done its best, and gives every sequence its context.</summary>
    public async Task WarmUp(CancellationToken cancellationToken)
    {
        for (int round = 0; round < 3; round++)
        {
            if (round == 0)
            {
                for (int i = 0; i < _sequences.Length; i++) Fill(i, _context);
            }

            foreach (int batch in new[] { 1, 2, _sequences.Length })
            {
                for (int step = 0; step < Math.Min(_steps, 12) && batch <= _sequences.Length; step++) DecodeStep(batch, step);
            }

            // Methods are compiled again in the background once they have been called often.
            await Task.Delay(150, cancellationToken);
        }
    }

    /// <summary>Checks that prompts and sequences fit the model's context, before anything is loaded.</summary>
    /// <exception cref="ArgumentException">They do not.</exception>
    public static void RequireRoom(ModelConfig config, int context, int steps, int prefill)
    {
        int room = config.MaxPositions;
        if (prefill > room) throw new ArgumentException($"--prefill: {prefill} tokens are more than the model's context of {room}");
        if ((long)context + steps > room) throw new ArgumentException($"--context, --decode: {context} and {steps} tokens are more than the model's context of {room}");
    }

    /// <summary>A whole prompt of <paramref name="tokens"/> of one sequence, in chunks.</summary>
    public ModelSample Prefill(int tokens)
    {
        _work.Clear();
        long kernels = _model.KernelTicks, start = Stopwatch.GetTimestamp();
        Fill(0, tokens, isProfiled: true);
        Choose(0, tokens);
        long ticks = Stopwatch.GetTimestamp() - start;
        ModelSample sample = Sample([ticks], [_model.KernelTicks - kernels], ((double)tokens * (tokens + 1)) / 2);
        Fill(0, _context);
        return sample;
    }

    /// <summary>The first <paramref name="batch"/> sequences decode.</summary>
    public ModelSample Decode(int batch)
    {
        // The first step finds the caches full of what was before.
        DecodeStep(batch, 0);
        _work.Clear();
        long[] steps = new long[_steps], kernels = new long[_steps];
        long before = Stopwatch.GetTimestamp(), kernelsBefore = _model.KernelTicks;
        for (int step = 0; step < _steps; step++)
        {
            DecodeStep(batch, step);
            Profile?.Add(_timeline);
            long now = Stopwatch.GetTimestamp(), kernelsNow = _model.KernelTicks;
            (steps[step], kernels[step]) = (now - before, kernelsNow - kernelsBefore);
            (before, kernelsBefore) = (now, kernelsNow);
        }

        double keys = batch * (double)_steps * (_context + ((_steps + 1) / 2.0));
        return Sample(steps, kernels, keys);
    }

    public void Dispose()
    {
        _model.Dispose();
        _experts.Dispose();
        _batch.Dispose();
        _pages.Dispose();
    }

    private static int[] Text(Random random, ModelConfig config, int length) => [.. Enumerable.Range(0, length).Select(_ => random.Next(config.VocabularySize))];

    private ModelSample Sample(long[] steps, long[] kernels, double keys)
    {
        const double Second = 1, Millisecond = 1e-3;
        static double In(double ticks, double unit) => ticks / Stopwatch.Frequency / unit;
        return new ModelSample(
            steps.Length, In(steps.Sum(), Second), In(MachineSpeed.Median(steps.Select(step => (double)step)), Millisecond), In(steps.Min(), Millisecond), _work.WeightBytes, _work.Flops(keys),
            MachineSpeed.Median(kernels.Zip(steps, (inKernels, step) => (double)inKernels / step)), _work.ExpertsPerLayer);
    }

    private void DecodeStep(int batch, int step)
    {
        _batch.Clear();
        for (int i = 0; i < batch; i++)
        {
            _sequences[i].Length = _context + step;
            _batch.Add(_sequences[i], _texts[i].AsSpan(_context + step, 1), LogitRows.Last);
        }

        _work.Add(batch, batch);
        Forward();
        for (int i = 0; i < batch; i++) Choose(i, _context + step);
    }

    private void Choose(int logitRow, int position) => Sampler.Choose(new SamplingInput { Logits = _batch.Logits(logitRow), Position = position }, Greedy, _sampler);

    private void Fill(int sequence, int tokens, bool isProfiled = false)
    {
        KvPageTable pages = _sequences[sequence];
        pages.Length = 0;
        for (int start = 0; start < tokens; start += _chunk)
        {
            int rows = Math.Min(_chunk, tokens - start);
            bool isLast = start + rows == tokens;
            _batch.Clear();
            _batch.Add(pages, _texts[sequence].AsSpan(start, rows), isLast ? LogitRows.Last : LogitRows.None);
            _work.Add(rows, isLast ? 1 : 0);
            Forward();
            if (isProfiled) Profile?.Add(_timeline);
        }
    }

    private void Forward()
    {
        _timeline.Clear();
        _model.Timeline = Profile is null ? null : _timeline;
        _model.Forward(_batch);
    }

    private unsafe KvPageTable NewSequence(int tokens)
    {
        int count = _model.KvLayout.PagesFor(tokens);
        var pages = new KvPageTable(count, _model.KvLayout.PageTokens);
        for (int i = 0; i < count; i++) pages.Add((nint)_pages.Bytes(_model.KvLayout.PageSizeBytes));
        return pages;
    }
}
