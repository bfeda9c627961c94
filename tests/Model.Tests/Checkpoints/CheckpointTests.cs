using System.Text.Json.Nodes;
using Conclave.Model.Checkpoints;

namespace Conclave.Model.Tests.Checkpoints;

public sealed unsafe class CheckpointTests : IDisposable
{
    private readonly TemporaryDirectory _directory = new();

    public void Dispose() => _directory.Dispose();

    [Theory]
    [InlineData("tiny-f32")]
    [InlineData("fp8-aligned")]
    [InlineData("mtp")]
    [InlineData("dsa")]
    public void Opens_the_golden_checkpoints(string name)
    {
        using var checkpoint = Checkpoint.Open(Repository.PathTo("tests/goldens", name));

        Assert.Equal(0, checkpoint.MissingPredictLayers);
        Assert.All(TensorCatalog.All(checkpoint.Config), expected => Assert.Equal(expected.Name, checkpoint.Require(expected.Name, expected.Shape).Name));
        Assert.Equal(checkpoint.Tensors.Count(tensor => tensor.Value.DType == DType.F8E4M3), checkpoint.Tensors.Keys.Count(key => key.EndsWith("_scale_inv", StringComparison.Ordinal)));
        Assert.Equal(checkpoint.StoredTensorCount, checkpoint.Tensors.Count);
    }

    [Fact]
    public void Require_names_what_is_missing_or_of_another_shape()
    {
        using var checkpoint = Checkpoint.Open(Repository.PathTo("tests/goldens/mtp"));

        Assert.Contains("tensor model.norm.bias is missing", Assert.Throws<CheckpointException>(() => checkpoint.Require("model.norm.bias", 96)).Message, StringComparison.Ordinal);
        var error = Assert.Throws<CheckpointException>(() => checkpoint.Require("model.norm.weight", 97));
        Assert.Contains("model.safetensors: tensor model.norm.weight has shape [96]", error.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("model.layers.1.mlp.experts.5.up_proj.weight")]
    [InlineData("model.layers.0.self_attn.kv_b_proj.weight_scale_inv")]
    [InlineData("model.layers.2.mlp.gate.e_score_correction_bias")]
    [InlineData("lm_head.weight")]
    public void A_missing_tensor_is_an_error_that_names_it(string name)
    {
        Rewrite("fp8-aligned", (spec, data) => spec.Name == name ? null : (spec, data));

        AssertFails("model.safetensors", $"tensor {name} is missing");
    }

    [Theory]
    [InlineData("model.embed_tokens.weight", DType.BF16, new[] { 256L, 512 }, "has shape [256, 512]")]
    [InlineData("model.norm.weight", DType.BF16, new[] { 1L, 256 }, "has shape [1, 256]")]
    [InlineData("model.norm.weight", DType.F8E4M3, new[] { 256L }, "of type F8_E4M3")]
    [InlineData("lm_head.weight", DType.F8E4M3, new[] { 512L, 256 }, "of type F8_E4M3")]
    [InlineData("model.layers.0.mlp.up_proj.weight", DType.I32, new[] { 384L, 256 }, "of type I32")]
    [InlineData("model.layers.0.mlp.up_proj.weight_scale_inv", DType.F32, new[] { 3L, 3 }, "has shape [3, 3]")]
    [InlineData("model.layers.0.mlp.up_proj.weight_scale_inv", DType.BF16, new[] { 3L, 2 }, "of type BF16")]
    public void A_tensor_of_wrong_shape_or_type_is_an_error_that_names_it(string name, DType type, long[] shape, string expected)
    {
        var changed = new TensorSpec(name, type, shape);
        Rewrite("fp8-aligned", (spec, data) => spec.Name == name ? (changed, new byte[changed.SizeBytes]) : (spec, data));

        AssertFails("model.safetensors", $"tensor {name}", expected);
    }

    [Fact]
    public void Types_that_nothing_reads_are_tolerated_until_they_are_needed()
    {
        CopyGolden("tiny-f32");
        var path = _directory.PathTo("model.safetensors");
        var bytes = File.ReadAllBytes(path);
        // The same length, so that every offset stays: U32 is as wide as F32.
        var place = bytes.AsSpan().IndexOf("\"model.norm.weight\":{\"dtype\":\"F32\""u8);
        Assert.True(place > 0);
        "U32"u8.CopyTo(bytes.AsSpan(place + "\"model.norm.weight\":{\"dtype\":\"".Length));
        File.WriteAllBytes(path, bytes);

        AssertFails("model.safetensors", "tensor model.norm.weight is of type U32");
    }

    [Fact]
    public void An_MTP_layer_that_is_left_out_is_no_MTP_and_a_torn_one_is_an_error()
    {
        Rewrite("mtp", (spec, data) => spec.Name.StartsWith("model.layers.3.", StringComparison.Ordinal) ? null : (spec, data));
        using (var checkpoint = Checkpoint.Open(_directory.Root))
        {
            Assert.Equal(1, checkpoint.MissingPredictLayers);
            Assert.Equal(0, checkpoint.Config.NextTokenPredictLayers);
        }
        Rewrite("mtp", (spec, data) => spec.Name == "model.layers.3.enorm.weight" ? null : (spec, data));
        AssertFails("tensor model.layers.3.enorm.weight is missing");
    }

    [Fact]
    public void An_MTP_layer_without_embedding_and_head_uses_the_main_ones()
    {
        string[] copies = ["model.layers.3.embed_tokens.weight", "model.layers.3.shared_head.head.weight"];
        Rewrite("mtp", (spec, data) => copies.Contains(spec.Name) ? null : (spec, data));
        using var checkpoint = Checkpoint.Open(_directory.Root);

        Assert.Equal(0, checkpoint.MissingPredictLayers);
        Assert.Same(checkpoint.Tensors["model.embed_tokens.weight"], checkpoint.Require(copies[0], 480, 96));
        Assert.Same(checkpoint.Tensors["lm_head.weight"], checkpoint.Require(copies[1], 480, 96));
        Assert.Equal(0, CheckpointSummary.Of(checkpoint).UnusedTensorCount);
        Assert.Equal(checkpoint.StoredTensorCount, CheckpointSummary.Of(checkpoint).Kinds.Sum(kind => kind.TensorCount));
    }

    [Fact]
    public void A_tied_head_is_the_embedding()
    {
        Rewrite("mtp", (spec, data) => spec.Name is "lm_head.weight" or "model.layers.3.shared_head.head.weight" ? null : (spec, data));
        AssertFails("tensor lm_head.weight is missing");
        var config = JsonNode.Parse(File.ReadAllText(_directory.PathTo("config.json")))!;
        config["tie_word_embeddings"] = true;
        File.WriteAllText(_directory.PathTo("config.json"), config.ToJsonString());
        using var checkpoint = Checkpoint.Open(_directory.Root);

        Assert.Same(checkpoint.Tensors["model.embed_tokens.weight"], checkpoint.Tensors["lm_head.weight"]);
        Assert.Same(checkpoint.Tensors["model.embed_tokens.weight"], checkpoint.Tensors["model.layers.3.shared_head.head.weight"]);
    }

    [Theory]
    [InlineData("../outside.safetensors", "no plain file name")]
    [InlineData("/etc/passwd", "no plain file name")]
    [InlineData("sub/x.safetensors", "no plain file name")]
    [InlineData("..", "no plain file name")]
    [InlineData("", "no plain file name")]
    [InlineData("absent.safetensors", "missing")]
    public void An_index_that_leads_elsewhere_is_an_error_that_names_file_and_tensor(string shard, string expected)
    {
        Shards();
        EditIndex(map => map["model.norm.weight"] = shard);

        AssertFails("model.norm.weight", shard, expected);
    }

    [Fact]
    public void An_index_that_does_not_fit_its_shards_is_an_error()
    {
        var first = Shards()[0];
        EditIndex(map => map["model.extra.weight"] = first);
        AssertFails("index.json: tensor model.extra.weight should be in", first);
        EditIndex(map => map["model.extra.weight"] = 5);
        AssertFails("model.extra.weight");
        File.WriteAllText(_directory.PathTo("model.safetensors.index.json"), "{\"weight_map\":[]}");
        AssertFails("index.json", "weight_map");
        File.WriteAllText(_directory.PathTo("model.safetensors.index.json"), "{\"weight_map\":{}}");
        AssertFails("holds no tensor");
        File.WriteAllText(_directory.PathTo("model.safetensors.index.json"), "{");
        AssertFails("index.json", "not valid JSON");
        File.Delete(_directory.PathTo("model.safetensors.index.json"));
        AssertFails("neither model.safetensors nor model.safetensors.index.json");
    }

    [Fact]
    public void A_tensor_in_two_shards_is_an_error_that_names_both()
    {
        var shards = Shards();
        using (var writer = new SafetensorsWriter(_directory.PathTo("more.safetensors"), [new("model.extra", DType.F32, 1), new("model.embed_tokens.weight", DType.F32, 1)]))
        {
            writer.Write<float>([1, 2]);
            writer.Complete();
        }
        EditIndex(map => map["model.extra"] = "more.safetensors");

        AssertFails("more.safetensors", shards[0], "tensor model.embed_tokens.weight");
    }

    [Fact]
    public void The_map_of_a_huge_checkpoint_opens_without_touching_its_data()
    {
        // Eight layers of V3 at full width in files that are all holes: 80 GB.
        var source = JsonNode.Parse(File.ReadAllText(Repository.PathTo("bench/deepseek-v3.config.json")))!;
        source["num_hidden_layers"] = 8;
        File.WriteAllText(_directory.PathTo("config.json"), source.ToJsonString());
        WriteHoles(ModelConfig.Load(_directory.Root));
        using var checkpoint = Checkpoint.Open(_directory.Root);

        Assert.True(CheckpointSummary.Of(checkpoint).SizeBytes > 75_000_000_000);
        var touched = ResidentBytes(checkpoint);
        // Some beside each place that is read, since the kernel maps what it has at hand anyway.
        Assert.InRange(touched, 0, 50_000_000);
        // So that the question is known to have an answer.
        Assert.Equal(-1, new ReadOnlySpan<byte>((void*)checkpoint.Tensors["lm_head.weight"].Data, 20_000_000).IndexOfAnyExcept((byte)0));
        Assert.InRange(ResidentBytes(checkpoint), touched + 15_000_000, touched + 50_000_000);
    }

    /// <summary>Bytes of the checkpoint's mapped files that this process has touched, by the kernel's book.</summary>
    private static long ResidentBytes(Checkpoint checkpoint)
    {
        var (sum, isOurs) = (0L, false);
        foreach (var line in File.ReadLines("/proc/self/smaps"))
        {
            var words = line.Split(' ', StringSplitOptions.RemoveEmptyEntries);
            if (!words[0].EndsWith(':'))
                isOurs = words.Length > 5 && words[5].StartsWith(checkpoint.Directory, StringComparison.Ordinal);
            else if (isOurs && words[0] == "Rss:")
                sum += long.Parse(words[1]) * 1024;
        }
        return sum;
    }

    private void WriteHoles(ModelConfig config)
    {
        var specs = TensorCatalog.Stored(config).SelectMany(tensor => TensorCatalog.StoredType(tensor.Role, DType.F8E4M3) is DType.F8E4M3
            ? [new TensorSpec(tensor.Name, DType.F8E4M3, tensor.Shape), new TensorSpec(TensorCatalog.ScaleName(tensor.Name), DType.F32, TensorCatalog.ScaleShape(tensor.Shape))]
            : new[] { new TensorSpec(tensor.Name, DType.BF16, tensor.Shape) });
        var map = new JsonObject();
        foreach (var (shard, index) in specs.Chunk(700).Select((shard, index) => (shard, index)))
        {
            var name = $"model-{index:D5}.safetensors";
            using (var writer = new SafetensorsWriter(_directory.PathTo(name), shard))
                Assert.NotEmpty(shard);
            using var stream = File.OpenWrite(_directory.PathTo(name));
            stream.SetLength(stream.Length + shard.Sum(spec => spec.SizeBytes));
            foreach (var spec in shard)
                map[spec.Name] = name;
        }
        File.WriteAllText(_directory.PathTo("model.safetensors.index.json"), new JsonObject { ["weight_map"] = map }.ToJsonString());
    }

    private string[] Shards()
    {
        Synthesizer.Write(Repository.PathTo("tests/goldens/tiny-f32/config.json"), 1, DType.BF16, _directory.Root, shardSizeBytes: 400_000);
        return [.. Directory.GetFiles(_directory.Root, "model-*").Select(path => Path.GetFileName(path)).Order()];
    }

    private void EditIndex(Action<JsonObject> edit)
    {
        var path = _directory.PathTo("model.safetensors.index.json");
        var index = JsonNode.Parse(File.ReadAllText(path))!;
        edit(index["weight_map"]!.AsObject());
        File.WriteAllText(path, index.ToJsonString());
    }

    private void CopyGolden(string name) => _directory.With(Repository.PathTo("tests/goldens", name), "config.json", "model.safetensors");

    /// <summary>Writes a golden checkpoint again with some of its tensors changed or, where <paramref name="change"/> gives null, left out.</summary>
    private void Rewrite(string golden, Func<TensorSpec, byte[], (TensorSpec Spec, byte[] Data)?> change)
    {
        var source = Repository.PathTo("tests/goldens", golden);
        File.Copy(Path.Combine(source, "config.json"), _directory.PathTo("config.json"), overwrite: true);
        using var file = SafetensorsFile.Open(Path.Combine(source, "model.safetensors"));
        var kept = file.Tensors.Values
            .Select(tensor => change(new TensorSpec(tensor.Name, tensor.DType, [.. tensor.Shape]), new ReadOnlySpan<byte>((void*)tensor.Data, (int)tensor.SizeBytes).ToArray()))
            .OfType<(TensorSpec Spec, byte[] Data)>().ToList();
        using var writer = new SafetensorsWriter(_directory.PathTo("model.safetensors"), [.. kept.Select(tensor => tensor.Spec)]);
        foreach (var (_, data) in kept)
            writer.Write<byte>(data);
        writer.Complete();
    }

    private void AssertFails(params string[] expected)
    {
        var error = Assert.Throws<CheckpointException>(() => Checkpoint.Open(_directory.Root).Dispose());
        Assert.All(expected, part => Assert.Contains(part, error.Message, StringComparison.Ordinal));
    }
}
