using System.Runtime.InteropServices;
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
