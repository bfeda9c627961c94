using System.Runtime.InteropServices;
using Conclave.Model.Kernels;

namespace Conclave.Model.Tests.Numerics;

/// <summary>The promise that a sequence's logits depend on its tokens alone: bit for bit, whatever it is computed with.</summary>
public sealed class InvarianceTests
{
    private const int Length = 130;

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
    public void The_tier_changes_no_bit(string name)
    {
        using var checkpoint = RandomCheckpoint.Named(name);
        int[]? reference = null;
        foreach (var tier in Enum.GetValues<KernelTier>())
        {
            using var model = new TestModel(checkpoint.Directory, 2, tier);
            var ids = RandomCheckpoint.Tokens(40, model.Config.VocabularySize, 1);
            var bits = Bits(model.Run(model.NewSequence(ids.Length), ids, 39).Logits);
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

        for (var size = 2; size <= 33; size++)
        {
            var sequences = Enumerable.Range(0, size).Select(_ => model.NewSequence(Length)).ToArray();
            var place = size * 7 % size;
            for (var i = 0; i < size; i++)
                model.Run(sequences[i], i == place ? prompt : RandomCheckpoint.Tokens(1 + (i * 3 % 40), vocabulary, i));
            model.Batch.Clear();
            var row = 0;
            for (var i = 0; i < size; i++)
            {
                var tokens = i == place ? [5] : RandomCheckpoint.Tokens(1 + (i % 3), vocabulary, 100 + i);
                var logitRow = model.Batch.Add(sequences[i], tokens, LogitRows.Last);
                row = i == place ? logitRow : row;
            }

            model.Transformer.Forward(model.Batch);
            Assert.Equal(expected, Bits(model.Batch.Logits(row)));
        }
    }

    private static int[] Bits(ReadOnlySpan<float> values) => MemoryMarshal.Cast<float, int>(values).ToArray();
}
