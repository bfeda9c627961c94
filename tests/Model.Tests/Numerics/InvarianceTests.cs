using System.Runtime.InteropServices;
using Conclave.Model.Checkpoints;
using Conclave.Model.Kernels;

namespace Conclave.Model.Tests.Numerics;

/// <summary>The promise that a sequence's logits depend on its tokens alone: bit for bit, whatever it is computed with.</summary>
public sealed class InvarianceTests
{
    private const int Length = 100;

    public static TheoryData<string> Models => ["odd-fp8", "sparse-fp8", "v2-lite", "experts-256"];

    [Theory]
    [MemberData(nameof(Models))]
    public void The_cutting_of_the_prompt_and_the_threads_change_no_bit(string name)
    {
        using var checkpoint = RandomCheckpoint.Named(name);
        int[]? reference = null;
        foreach (var threads in new[] { 1, 2 })
        {
            using var model = new TestModel(checkpoint.Directory, threads);
            var ids = RandomCheckpoint.Tokens(Length, model.Config.VocabularySize, 1);
            foreach (var chunk in new[] { int.MaxValue, 1, 7, 64 })
            {
                var bits = Bits(model.Run(model.NewSequence(Length), ids, chunk).Logits);
                reference ??= bits;
                Assert.Equal(reference, bits);
            }
        }
    }

    [Theory]
    [MemberData(nameof(Models))]
    [InlineData("dense")]
    public void Cutting_steps_in_two_changes_no_bit(string name)
    {
        using var checkpoint = RandomCheckpoint.Named(name);
        using var whole = new TestModel(checkpoint.Directory);
        using var cut = new TestModel(checkpoint.Directory, 2, microBatches: 2);
        var ids = RandomCheckpoint.Tokens(Length, whole.Config.VocabularySize, 1);
        var expected = Bits(whole.Run(whole.NewSequence(Length), ids).Logits);
        foreach (var chunk in new[] { int.MaxValue, 1, 2, 7, 64 })
            Assert.Equal(expected, Bits(cut.Run(cut.NewSequence(Length), ids, chunk).Logits));

        // Several sequences at once; the cut goes through the middle one's rows.
        var sequences = Enumerable.Range(0, 3).Select(_ => cut.NewSequence(Length)).ToArray();
        cut.Batch.Clear();
        foreach (var (pages, i) in sequences.Select((pages, i) => (pages, i)))
            cut.Batch.Add(pages, ids.AsSpan(0, Length - (20 * i)), LogitRows.Last);
        cut.Transformer.Forward(cut.Batch);
        for (var i = 0; i < sequences.Length; i++)
            Assert.Equal(expected.Skip((Length - (20 * i) - 1) * whole.Config.VocabularySize).Take(whole.Config.VocabularySize), Bits(cut.Batch.Logits(i)));
    }

    [Fact]
    public void Cutting_a_step_of_the_prediction_module_changes_no_bit()
    {
        using var golden = new GoldenCase("mtp");
        int[]? expected = null;
        for (var microBatches = 1; microBatches <= 2; microBatches++)
        {
            using var model = new TestModel(golden.Directory, microBatches: microBatches);
            using var module = new MtpModule(model.Transformer);
            var pages = model.NewSequence(64);
            var hidden = model.Run(pages, golden.InputIds.AsSpan(0, 21)).Hidden;
            model.Batch.Clear();
            model.Batch.Add(pages, 0, golden.InputIds.AsSpan(1, 20), LogitRows.All);
            module.Forward(model.Batch, hidden.AsSpan(0, 20 * model.Config.HiddenSize));
            var bits = Enumerable.Range(0, 20).SelectMany(i => Bits(model.Batch.Logits(i))).ToArray();
            expected ??= bits;
            Assert.Equal(expected, bits);
        }
    }

    /// <summary>Rows that only leave their latents leave the same as in a whole pass: what comes behind them predicts the same.</summary>
    [Theory]
    [InlineData("mtp")]
    [InlineData("dsa")]
    public void Rows_that_the_prediction_module_only_stores_change_no_bit(string name)
    {
        using var checkpoint = new RandomCheckpoint(name, DType.BF16, 8, ("num_nextn_predict_layers", 1));
        using var model = new TestModel(checkpoint.Directory, threads: 2);
        using var module = new MtpModule(model.Transformer);
        var ids = RandomCheckpoint.Tokens(Length, model.Config.VocabularySize, 1);
        using var step = new StepBatch(model.Config, Length, 1);
        using var rows = new StepBatch(model.Config, Length, 1);
        int[]? expected = null;
        foreach (var stored in new[] { 0, 1, 50, Length - 2 })
        {
            var pages = model.NewSequence(Length);
            step.Clear();
            step.Add(pages, ids.AsSpan(0, Length - 1), LogitRows.Last);
            model.Transformer.Forward(step);
            rows.Clear();
            if (stored > 0)
                rows.Add(pages, 0, ids.AsSpan(1, stored), LogitRows.None);
            module.Store(rows, step);
            rows.Clear();
            rows.Add(pages, stored, ids.AsSpan(1 + stored, Length - 1 - stored), LogitRows.Last, stored);
            module.Forward(rows, step);
            var bits = Bits(rows.Logits(0)).ToArray();
            expected ??= bits;
            Assert.Equal(expected, bits);
        }
    }

    [Fact]
    public void Both_halves_of_a_step_are_under_way_at_a_time()
    {
        using var golden = new GoldenCase("tiny-f32");
        using var model = new TestModel(golden.Directory, microBatches: 2);
        model.Transformer.Timeline = new StepTimeline(TimeProvider.System);
        model.Run(model.NewSequence(64), golden.InputIds.AsSpan(0, 2));
        Assert.Equal(2, ((TwoMicroBatches)model.Dispatch).MostUnderWay);
        var spans = model.Transformer.Timeline.Spans;
        Assert.Equal([0, 1, 0, 1], spans.ToArray().Where(s => s.Activity == StepActivity.Attention).Take(4).Select(s => s.MicroBatch));
        for (var i = 1; i < spans.Length; i++)
            Assert.Equal(spans[i - 1].End, spans[i].Start);
    }

    [Theory]
    [MemberData(nameof(Models))]
    public void The_tier_changes_no_bit(string name)
    {
        using var checkpoint = RandomCheckpoint.Named(name);
        int[]? reference = null;
        foreach (var tier in Enum.GetValues<KernelTier>())
        {
            using var model = new TestModel(checkpoint.Directory, 2, tier);
            var ids = RandomCheckpoint.Tokens(20, model.Config.VocabularySize, 1);
            var bits = Bits(model.Run(model.NewSequence(ids.Length), ids, 19).Logits);
            reference ??= bits;
            Assert.Equal(reference, bits);
        }
    }

    [Theory]
    [MemberData(nameof(Models))]
    public void Company_in_the_batch_changes_no_bit(string name)
    {
        using var checkpoint = RandomCheckpoint.Named(name);
        using var model = new TestModel(checkpoint.Directory, threads: 2);
        var vocabulary = model.Config.VocabularySize;
        var prompt = RandomCheckpoint.Tokens(67, vocabulary, 1);
        var alone = model.NewSequence(Length);
        model.Run(alone, prompt);
        var expected = Bits(model.Run(alone, [5]).Logits);

        // Thirty-three other sequences of different lengths; each round all are set back to where they were.
        var others = Enumerable.Range(0, 33).Select(i => (Pages: model.NewSequence(64), Start: 1 + (i * 3 % 40))).ToArray();
        for (var i = 0; i < others.Length; i++)
            model.Run(others[i].Pages, RandomCheckpoint.Tokens(others[i].Start, vocabulary, i));
        for (var size = 2; size <= 33; size++)
        {
            alone.Length = prompt.Length;
            model.Batch.Clear();
            var row = 0;
            for (var i = 0; i < size; i++)
            {
                if (i == (size * 5 / 7) % size)
                {
                    row = model.Batch.Add(alone, [5], LogitRows.Last);
                    continue;
                }

                var other = others[i];
                other.Pages.Length = other.Start;
                model.Batch.Add(other.Pages, RandomCheckpoint.Tokens(1 + (i % 3), vocabulary, 100 + i), LogitRows.Last);
            }

            model.Transformer.Forward(model.Batch);
            Assert.Equal(expected, Bits(model.Batch.Logits(row)));
        }
    }

    private static int[] Bits(ReadOnlySpan<float> values) => MemoryMarshal.Cast<float, int>(values).ToArray();
}
