using Conclave.Model.Attention;
using Conclave.Model.Tests.Checkpoints;

namespace Conclave.Model.Tests.Numerics;

/// <summary>The values of DeepSeek's own programs, within the tolerances of tests/goldens/README.md.</summary>
public sealed class GoldenTests
{
    public static TheoryData<string> Cases => ["tiny-f32", "fp8-aligned", "mtp", "dsa"];

    [Theory]
    [MemberData(nameof(Cases))]
    public void Prefill_gives_the_reference_logits_routes_and_layer_outputs(string name)
    {
        using var golden = new GoldenCase(name);
        using var model = new TestModel(golden.Directory, threads: 2);
        var probe = new RecordingProbe();
        model.Transformer.Probe = probe;
        var (logits, hidden) = model.Run(model.NewSequence(golden.InputIds.Length), golden.InputIds);

        for (var layer = 0; layer < model.Config.LayerCount; layer++)
        {
            GoldenCase.Close(golden.Floats($"layer_out.{layer}"), [.. probe.LayerOutputs[layer]], meanAbs: 1e-4);
            CheckSelection(golden, probe, layer);
            if (!model.Config.IsMoeLayer(layer))
                continue;
            Assert.Equal(golden.Integers($"route.ids.{layer}"), probe.Ids[layer]);
            GoldenCase.Close(golden.Floats($"route.weights.{layer}"), [.. probe.Weights[layer]], maxAbs: 1e-4);
        }

        GoldenCase.Close(golden.Floats("final_hidden"), hidden);
        GoldenCase.Close(golden.Floats("logits"), logits);
    }

    [Theory]
    [MemberData(nameof(Cases))]
    public void Cached_decoding_gives_the_reference_tokens_and_logits(string name)
    {
        using var golden = new GoldenCase(name);
        using var model = new TestModel(golden.Directory);
        var pages = model.NewSequence(golden.InputIds.Length + golden.GreedyTokens.Length);
        var (logits, _) = model.Run(pages, golden.InputIds, chunk: 17);
        var (tokens, decodeLogits) = model.Decode(pages, logits.AsSpan()[^model.Config.VocabularySize..], golden.GreedyTokens.Length);
        Assert.Equal(golden.GreedyTokens, tokens);
        GoldenCase.Close(golden.Floats("decode_logits"), decodeLogits);
    }

    [Theory]
    [MemberData(nameof(Cases))]
    public unsafe void Rotary_table_and_softmax_scale_are_the_reference_ones(string name)
    {
        using var golden = new GoldenCase(name);
        var config = ModelConfig.Load(golden.Directory);
        var table = new RopeTable(config);
        var pairs = config.QkRopeHeadDim / 2;
        float[] cosines = new float[golden.InputIds.Length * pairs], sines = new float[cosines.Length];
        fixed (float* c = cosines, s = sines)
        {
            for (var position = 0; position < golden.InputIds.Length; position++)
                table.Fill(position, c + (position * pairs), s + (position * pairs));
        }

        GoldenCase.Close(golden.Floats("rope.cos"), cosines, 2e-6, 2e-7);
        GoldenCase.Close(golden.Floats("rope.sin"), sines, 2e-6, 2e-7);
        Assert.Equal(golden.SoftmaxScale, RopeTable.SoftmaxScale(config), 1e-7);
    }

    /// <summary>The formulas of DeepSeek's program in float64, at positions that no golden case reaches.</summary>
    [Fact]
    public unsafe void YaRN_holds_to_the_end_of_the_longest_context()
    {
        const int Dimensions = 64;
        var config = ModelConfig.LoadFile(Repository.PathTo("bench", "deepseek-v3.config.json"));
        Assert.Equal(163840, config.MaxPositions);
        double Correction(double rotations) => Dimensions * Math.Log(4096 / (rotations * 2 * Math.PI)) / (2 * Math.Log(10000));
        double low = Math.Floor(Correction(32)), high = Math.Ceiling(Correction(1));
        float[] cosines = new float[Dimensions / 2], sines = new float[Dimensions / 2];
        var table = new RopeTable(config);
        foreach (var position in new[] { 0, 4095, 4096, 65535, 131071, 163839 })
        {
            fixed (float* c = cosines, s = sines)
                table.Fill(position, c, s);
            for (var i = 0; i < Dimensions / 2; i++)
            {
                var ramp = Math.Clamp((i - low) / (high - low), 0, 1);
                var frequency = Math.Pow(10000, -2.0 * i / Dimensions);
                frequency = (frequency / 40 * ramp) + (frequency * (1 - ramp));
                Assert.Equal(frequency, table.Frequencies[i], frequency * 4e-7);

                // The angle itself is float32, as it is there: at these positions its rounding shows more than anything else.
                var angle = (double)(position * table.Frequencies[i]);
                Assert.Equal(Math.Cos(angle), cosines[i], 1e-7);
                Assert.Equal(Math.Sin(angle), sines[i], 1e-7);
            }
        }

        var mscale = (0.1 * Math.Log(40)) + 1;
        Assert.Equal(mscale * mscale / Math.Sqrt(192), RopeTable.SoftmaxScale(config), 1e-7);
    }

    [Theory]
    [InlineData(int.MaxValue)]
    [InlineData(9)]
    public void The_MTP_module_gives_the_reference_logits(int chunk)
    {
        using var golden = new GoldenCase("mtp");
        using var model = new TestModel(golden.Directory);
        using var module = new MtpModule(model.Transformer);
        var ids = golden.InputIds;
        var pages = model.NewSequence(ids.Length);
        var (_, hidden) = model.Run(pages, ids);
        var probe = new RecordingProbe();
        model.Transformer.Probe = probe;
        var logits = new List<float>();
        var width = model.Config.HiddenSize;
        for (var start = 0; start < ids.Length - 1; start += Math.Min(chunk, ids.Length))
        {
            var count = Math.Min(chunk, ids.Length - 1 - start);
            model.Batch.Clear();
            model.Batch.Add(pages, start, ids.AsSpan(start + 1, count), LogitRows.All);
            module.Forward(model.Batch, hidden.AsSpan(start * width, count * width));
            for (var i = 0; i < count; i++)
                logits.AddRange(model.Batch.Logits(i));
        }

        Assert.Equal(ids.Length, pages.Length);
        Assert.Equal(golden.Integers("route.ids.3"), probe.Ids[3]);
        GoldenCase.Close(golden.Floats("route.weights.3"), [.. probe.Weights[3]], maxAbs: 1e-4);
        GoldenCase.Close(golden.Floats("mtp_hidden"), [.. probe.LayerOutputs[3]], meanAbs: 1e-4);
        GoldenCase.Close(golden.Floats("mtp_logits"), [.. logits]);
    }

    private static void CheckSelection(GoldenCase golden, RecordingProbe probe, int layer)
    {
        if (!golden.Has($"index.topk.{layer}"))
            return;
        var expected = golden.Integers($"index.topk.{layer}");
        var width = expected.Length / golden.InputIds.Length;
        for (var row = 0; row < golden.InputIds.Length; row++)
        {
            var chosen = expected.AsSpan(row * width, width).ToArray().Where(position => position >= 0).ToArray();
            Assert.Equal(chosen, probe.Keys.TryGetValue((layer, row), out var keys) ? keys : Enumerable.Range(0, row + 1));
        }
    }
}
