using System.Runtime.InteropServices;
using Conclave.Model.Checkpoints;
using Conclave.Model.Kernels;

namespace Conclave.Model.Tests.Numerics;

/// <summary>Contexts of several pages and several segments of attention: whatever the type of the cached values, the bits depend on the tokens alone.</summary>
public sealed class KvInvarianceTests
{
    private const int Length = 1100;

    // The last rows see several segments of 256 keys; the sparse model keeps more keys than a segment holds.
    public static TheoryData<string, KvType> Cases
    {
        get
        {
            var cases = new TheoryData<string, KvType>();
            foreach (var type in Enum.GetValues<KvType>())
            {
                cases.Add("odd", type);
                cases.Add("sparse", type);
            }

            return cases;
        }
    }

    [Theory]
    [MemberData(nameof(Cases))]
    public void Chunks_threads_and_page_sizes_change_no_bit(string name, KvType type)
    {
        using var checkpoint = Make(name);
        int[]? reference = null;
        foreach (var (threads, pageTokens, chunk, microBatches) in new[] { (1, 64, int.MaxValue, 1), (3, 256, 333, 2) })
        {
            using var model = new TestModel(checkpoint.Directory, threads, maxRows: Length, microBatches: microBatches, kv: new KvOptions { Type = type, PageTokens = pageTokens });
            var pages = model.NewSequence(Length + 8);
            var ids = RandomCheckpoint.Tokens(Length, model.Config.VocabularySize, 1);
            var bits = Bits(model.Run(pages, ids, chunk).Logits).ToList();
            // Then a few tokens one at a time: few rows, so that threads share a context.
            for (var i = 0; i < 4; i++)
                bits.AddRange(Bits(model.Run(pages, [i]).Logits));
            reference ??= [.. bits];
            Assert.True(bits.SequenceEqual(reference), $"{threads} threads, pages of {pageTokens}, chunks of {chunk}: other bits");
        }
    }

    [Theory]
    [MemberData(nameof(Cases))]
    public unsafe void Tiers_and_company_change_no_bit(string name, KvType type)
    {
        using var checkpoint = Make(name);
        var kv = new KvOptions { Type = type };
        using var first = new TestModel(checkpoint.Directory, 2, kv: kv);
        var prompt = first.NewSequence(640);
        first.Run(prompt, RandomCheckpoint.Tokens(620, first.Config.VocabularySize, 1));
        int[]? reference = null;
        foreach (var tier in Enum.GetValues<KernelTier>())
        {
            using var model = new TestModel(checkpoint.Directory, 2, tier, kv: kv);
            var vocabulary = model.Config.VocabularySize;
            var pages = model.NewSequence(640);
            for (var i = 0; i < pages.PageCount; i++)
                Buffer.MemoryCopy(prompt.Page(i), pages.Page(i), model.Transformer.KvLayout.PageSizeBytes, model.Transformer.KvLayout.PageSizeBytes);
            pages.Length = prompt.Length;
            var alone = Bits(model.Run(pages, [7]).Logits);
            reference ??= alone;
            Assert.Equal(reference, alone);

            // Drafts that are taken back leave nothing behind, and other sequences beside it change nothing.
            model.Run(pages, [1, 2, 3]);
            pages.Length = 620;
            var other = model.NewSequence(128);
            model.Batch.Clear();
            model.Batch.Add(other, RandomCheckpoint.Tokens(20, vocabulary, 2), LogitRows.None);
            var row = model.Batch.Add(pages, [7], LogitRows.Last);
            model.Transformer.Forward(model.Batch);
            Assert.Equal(reference, Bits(model.Batch.Logits(row)));
        }
    }

    [Fact]
    public void A_long_context_beside_short_ones_changes_no_bit()
    {
        using var checkpoint = Make("odd");
        int[]? reference = null;
        foreach (var threads in new[] { 1, 3 })
        {
            using var model = new TestModel(checkpoint.Directory, threads, maxRows: 400);
            var lengths = new[] { 3, 390, 70, 1000, 20, 300, 9 };
            var sequences = lengths.Select(_ => model.NewSequence(1008)).ToArray();
            for (var i = 0; i < lengths.Length; i++)
                model.Run(sequences[i], RandomCheckpoint.Tokens(lengths[i], model.Config.VocabularySize, i));
            model.Batch.Clear();
            foreach (var pages in sequences)
                model.Batch.Add(pages, [1, 2], LogitRows.All);
            model.Transformer.Forward(model.Batch);
            var bits = Enumerable.Range(0, model.Batch.LogitRowCount).SelectMany(i => Bits(model.Batch.Logits(i))).ToArray();
            reference ??= bits;
            Assert.Equal(reference, bits);
        }
    }

    [Theory]
    [InlineData(KvType.BF16, 0.03)]
    [InlineData(KvType.FP8, 0.3)]
    public void Rounded_pages_give_nearly_the_same_logits(KvType type, double tolerance)
    {
        foreach (var name in new[] { "tiny-f32", "fp8-aligned", "mtp" })
        {
            using var golden = new GoldenCase(name);
            using var model = new TestModel(golden.Directory, kv: new KvOptions { Type = type });
            var (logits, _) = model.Run(model.NewSequence(golden.InputIds.Length), golden.InputIds);
            var expected = golden.Floats("logits");
            var difference = expected.Zip(logits, (a, b) => Math.Abs((double)a - b)).Average() / expected.Average(logit => Math.Abs((double)logit));
            Assert.InRange(difference, 1e-6, tolerance);
        }
    }

    [Fact]
    public void Page_bytes_are_those_of_the_formats()
    {
        // DeepSeek-V3.2: 512 codes, 4 scales, 64 bfloat16; indexer keys of 128 codes and a scale.
        KvLayout Layout(KvType type, int pageTokens = 64) => new(62, 512, 64, 128, new KvOptions { Type = type, PageTokens = pageTokens });
        Assert.Equal(62 * (656 + 132), Layout(KvType.FP8).TokenSizeBytes);
        Assert.Equal(62 * (1152 + 256), Layout(KvType.BF16).TokenSizeBytes);
        Assert.Equal(62 * (2304 + 512), Layout(KvType.F32, 128).TokenSizeBytes);
        Assert.Equal(128 * Layout(KvType.F32).TokenSizeBytes, Layout(KvType.F32, 128).PageSizeBytes);
        Assert.Contains("--page-tokens", Assert.Throws<ArgumentOutOfRangeException>(() => Layout(KvType.F32, 96)).Message, StringComparison.Ordinal);
        Assert.Contains("--kv-dtype", Assert.Throws<ArgumentOutOfRangeException>(() => Layout((KvType)9)).Message, StringComparison.Ordinal);
    }

    private static RandomCheckpoint Make(string name) => name == "sparse"
        ? new("dsa", DType.BF16, 8, ("index_topk", 600), ("index_n_heads", 6), ("num_hidden_layers", 2), ("first_k_dense_replace", 2))
        : new("fp8-aligned", DType.F8E4M3, 9, ("kv_lora_rank", 150), ("num_attention_heads", 9), ("num_key_value_heads", 9), ("num_hidden_layers", 2), ("first_k_dense_replace", 2));

    private static int[] Bits(ReadOnlySpan<float> values) => MemoryMarshal.Cast<float, int>(values).ToArray();
}
