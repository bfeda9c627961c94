using System.Security.Cryptography;
using System.Text.Json.Nodes;
using Conclave.Model.Checkpoints;
using Conclave.Model.Tokenization;

namespace Conclave.Model.Tests.Checkpoints;

public sealed unsafe class SynthesizerTests : IDisposable
{
    private readonly TemporaryDirectory _directory = new();

    public void Dispose() => _directory.Dispose();

    [Theory]
    [InlineData("tiny-f32", DType.BF16)]
    [InlineData("tiny-f32", DType.F8E4M3)]
    [InlineData("mtp", DType.F8E4M3)]
    [InlineData("dsa", DType.BF16)]
    [InlineData("dsa", DType.F8E4M3)]
    public void A_synthesized_checkpoint_opens_and_is_what_the_catalog_says(string golden, DType weights)
    {
        var reports = new Reports();
        Synthesizer.Write(Repository.PathTo("tests/goldens", golden, "config.json"), 7, weights, _directory.PathTo("out"), reports);

        using var checkpoint = Checkpoint.Open(_directory.PathTo("out"));
        Assert.Equal(weights == DType.F8E4M3 ? 128 : null, checkpoint.Config.QuantizationBlockSize);
        Assert.Equal(ModelConfig.Load(Repository.PathTo("tests/goldens", golden)).NextTokenPredictLayers, checkpoint.Config.NextTokenPredictLayers);
        Assert.Equal(Synthesizer.SizeBytes(checkpoint.Config, weights), reports.Last);
        Assert.Equal(reports.Last, CheckpointSummary.Of(checkpoint).SizeBytes);
        Assert.Equal(CheckpointSummary.Of(checkpoint.Config, weights).MainParameterCount, CheckpointSummary.Of(checkpoint).MainParameterCount);
        Assert.Equal(weights, checkpoint.Require("model.layers.1.mlp.experts.3.up_proj.weight", checkpoint.Config.MoeIntermediateSize, checkpoint.Config.HiddenSize).DType);
        Assert.Equal(DType.BF16, checkpoint.Tensors["model.layers.1.mlp.gate.weight"].DType);
        Assert.Equal(DType.F32, checkpoint.Tensors["model.layers.1.mlp.gate.e_score_correction_bias"].DType);
    }

    [Fact]
    public void The_same_seed_gives_the_same_files_in_shards_of_any_size_and_another_seed_others()
    {
        var config = Repository.PathTo("tests/goldens/mtp/config.json");
        foreach (var (name, seed, shard) in new[] { ("a", 1UL, 1L << 40), ("b", 1UL, 300_000L), ("c", 2UL, 300_000L) })
            Synthesizer.Write(config, seed, DType.BF16, _directory.PathTo(name), shardSizeBytes: shard);
        using var a = Checkpoint.Open(_directory.PathTo("a"));
        using var b = Checkpoint.Open(_directory.PathTo("b"));
        using var c = Checkpoint.Open(_directory.PathTo("c"));

        Assert.True(Directory.GetFiles(b.Directory, "model-*.safetensors").Length > 3);
        Assert.True(File.Exists(Path.Combine(a.Directory, "model.safetensors")));
        Assert.Equal(a.Tensors.Keys.Order(), b.Tensors.Keys.Order());
        Assert.All(a.Tensors, tensor => Assert.Equal(Hash(tensor.Value), Hash(b.Tensors[tensor.Key])));
        Assert.All(a.Tensors, tensor => Assert.NotEqual(Hash(tensor.Value), Hash(c.Tensors[tensor.Key])));
        Assert.Equal(a.Tensors.Count, a.Tensors.Values.Select(Hash).Distinct().Count());
    }

    [Theory]
    [InlineData(DType.BF16)]
    [InlineData(DType.F8E4M3)]
    public void Weights_have_the_deviation_that_keeps_activations_near_one(DType weights)
    {
        Synthesizer.Write(Repository.PathTo("tests/goldens/fp8-aligned/config.json"), 3, weights, _directory.PathTo("out"));
        using var checkpoint = Checkpoint.Open(_directory.PathTo("out"));
        const string Name = "model.layers.0.mlp.down_proj.weight";
        var values = Values(checkpoint.Require(Name, 256, 384), checkpoint.Tensors.GetValueOrDefault(TensorCatalog.ScaleName(Name)));

        Assert.InRange(values.Average(), -0.001, 0.001);
        Assert.InRange(Math.Sqrt(values.Average(value => value * value)) * Math.Sqrt(384), 0.93, 1.07);
    }

    [Fact]
    public void A_directory_in_use_a_bad_configuration_and_a_stop_are_heeded()
    {
        var config = Repository.PathTo("tests/goldens/tiny-f32/config.json");
        File.WriteAllText(_directory.PathTo("keep.txt"), "x");
        File.WriteAllText(_directory.PathTo("bad.json"), "{}");
        using var stop = new CancellationTokenSource();
        stop.Cancel();

        Assert.Contains("not empty", Assert.Throws<CheckpointException>(() => Synthesizer.Write(config, 1, DType.BF16, _directory.Root)).Message, StringComparison.Ordinal);
        Assert.Contains("model_type", Assert.Throws<CheckpointException>(() => Synthesizer.Write(_directory.PathTo("bad.json"), 1, DType.BF16, _directory.PathTo("n"))).Message, StringComparison.Ordinal);
        Assert.Throws<ArgumentOutOfRangeException>(() => Synthesizer.Write(config, 1, DType.F32, _directory.PathTo("f")));
        Assert.Throws<OperationCanceledException>(() => Synthesizer.Write(config, 1, DType.BF16, _directory.PathTo("stopped"), cancellation: stop.Token));
        Assert.Throws<CheckpointException>(() => Checkpoint.Open(_directory.PathTo("stopped")));
    }

    [Theory]
    [InlineData("tests/goldens/tiny-f32/config.json", 400)]
    [InlineData("bench/bench-v3-1b.config.json", 32768)]
    public void The_tokenizer_gives_every_id_a_text_and_has_the_markers(string file, int size)
    {
        SyntheticTokenizer.Write(ModelConfig.LoadFile(Repository.PathTo(file)), _directory.Root);
        var root = JsonNode.Parse(File.ReadAllText(_directory.PathTo("tokenizer.json")))!;
        var added = root["added_tokens"]!.AsArray().ToDictionary(token => (string)token!["content"]!, token => (int)token!["id"]!);
        var vocabulary = root["model"]!["vocab"]!.AsObject().ToDictionary(token => token.Key, token => (int)token.Value!);

        Assert.Equal(Enumerable.Range(0, size), added.Values.Concat(vocabulary.Values).Order());
        Assert.Equal((0, 1), (added["<｜begin▁of▁sentence｜>"], added["<｜end▁of▁sentence｜>"]));
        Assert.Contains("<｜Assistant｜>", added.Keys);
        Assert.Equal(256, vocabulary.Keys.Count(text => text.Length == 1));
        Assert.Contains("Ġ", vocabulary.Keys);
    }

    [Fact]
    public void The_tokenizer_of_a_synthesized_checkpoint_encodes_any_text_and_its_markers()
    {
        var config = Repository.PathTo("tests/goldens/tiny-f32/config.json");
        File.Copy(config, _directory.PathTo("config.json"));
        SyntheticTokenizer.Write(ModelConfig.LoadFile(config), _directory.Root);
        var tokenizer = Tokenizer.Load(_directory.Root);
        const string Text = "<｜User｜>Hi, Grüße 你好 🙂\n\0<｜Assistant｜><think>";
        var ids = tokenizer.Encode(Text);

        Assert.Equal((400, 0), (tokenizer.VocabularySize, tokenizer.BosTokenId!.Value));
        Assert.Equal(tokenizer.TokenId("<｜User｜>"), ids[0]);
        Assert.Equal(tokenizer.TokenId("<think>"), ids[^1]);
        Assert.Equal(Text, tokenizer.Decode(ids));
        Assert.All(Enumerable.Range(0, 400), id => Assert.False(tokenizer.TokenBytes(id).IsEmpty));
    }

    private static string Hash(TensorView tensor) => Convert.ToHexString(SHA256.HashData(new ReadOnlySpan<byte>((void*)tensor.Data, (int)tensor.SizeBytes)));

    private static List<double> Values(TensorView tensor, TensorView? scale)
    {
        var values = new List<double>();
        for (var i = 0; i < tensor.Shape[0] * tensor.Shape[1]; i++)
        {
            if (tensor.DType == DType.BF16)
                values.Add(BitConverter.UInt32BitsToSingle((uint)((ushort*)tensor.Data)[i] << 16));
            else
                values.Add(E4M3(((byte*)tensor.Data)[i]) * ((float*)scale!.Data)[(i / tensor.Shape[1] / 128 * scale.Shape[1]) + (i % tensor.Shape[1] / 128)]);
        }
        return values;
    }

    private static double E4M3(byte code)
    {
        Assert.NotEqual(0x7F, code & 0x7F);
        var (exponent, mantissa) = ((code >> 3) & 15, code & 7);
        var magnitude = exponent == 0 ? mantissa / 8.0 * Math.Pow(2, -6) : (1 + (mantissa / 8.0)) * Math.Pow(2, exponent - 7);
        return code < 0x80 ? magnitude : -magnitude;
    }

    private sealed class Reports : IProgress<long>
    {
        public long Last { get; private set; }

        public void Report(long value)
        {
            Assert.True(value > Last);
            Last = value;
        }
    }
}
