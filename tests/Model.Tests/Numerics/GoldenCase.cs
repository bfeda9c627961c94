using System.Runtime.InteropServices;
using System.Text.Json;
using Conclave.Model.Checkpoints;
using Conclave.Model.Tests.Checkpoints;

namespace Conclave.Model.Tests.Numerics;

/// <summary>One case of tests/goldens: inputs and the reference program's values.</summary>
internal sealed unsafe class GoldenCase : IDisposable
{
    private readonly SafetensorsFile _expected;

    public GoldenCase(string name)
    {
        Directory = Repository.PathTo("tests", "goldens", name);
        using var json = JsonDocument.Parse(File.ReadAllText(Path.Combine(Directory, "case.json")));
        InputIds = Ints(json.RootElement.GetProperty("input_ids"));
        GreedyTokens = Ints(json.RootElement.GetProperty("greedy_tokens"));
        SoftmaxScale = json.RootElement.GetProperty("softmax_scale").GetDouble();
        _expected = SafetensorsFile.Open(Path.Combine(Directory, "expected.safetensors"));
    }

    public string Directory { get; }

    public int[] InputIds { get; }

    public int[] GreedyTokens { get; }

    public double SoftmaxScale { get; }

    public bool Has(string tensor) => _expected.Tensors.ContainsKey(tensor);

    public float[] Floats(string tensor) => Read<float>(_expected, tensor);

    public int[] Integers(string tensor) => Read<int>(_expected, tensor);

    public static T[] Read<T>(SafetensorsFile file, string tensor)
        where T : unmanaged
    {
        var view = file.Tensors[tensor];
        return MemoryMarshal.Cast<byte, T>(new ReadOnlySpan<byte>((void*)view.Data, (int)view.SizeBytes)).ToArray();
    }

    /// <summary>Fails unless both are equally long, the largest difference is at most <paramref name="maxAbs"/> and the mean difference at most <paramref name="meanAbs"/>.</summary>
    public static void Close(float[] expected, float[] actual, double maxAbs = 1e-3, double meanAbs = 5e-5)
    {
        Assert.Equal(expected.Length, actual.Length);
        var differences = expected.Zip(actual, (a, b) => Math.Abs((double)a - b)).ToArray();
        var max = differences.Max();
        var mean = differences.Average();
        Assert.True(max <= maxAbs && mean <= meanAbs, $"max abs {max}, mean abs {mean}, first at {Array.FindIndex(differences, d => !(d <= maxAbs))}");
    }

    public void Dispose() => _expected.Dispose();

    private static int[] Ints(JsonElement array) => [.. array.EnumerateArray().Select(e => e.GetInt32())];
}

/// <summary>Records what a pass shows.</summary>
internal sealed class RecordingProbe : IForwardProbe
{
    public Dictionary<int, List<int>> Ids { get; } = [];

    public Dictionary<int, List<float>> Weights { get; } = [];

    public Dictionary<int, List<float>> LayerOutputs { get; } = [];

    public Dictionary<(int Layer, int Row), int[]> Keys { get; } = [];

    public void Routed(int layer, ReadOnlySpan<int> expertIds, ReadOnlySpan<float> weights)
    {
        Of(Ids, layer).AddRange(expertIds);
        Of(Weights, layer).AddRange(weights);
    }

    public void LayerOutput(int layer, ReadOnlySpan<float> hidden) => Of(LayerOutputs, layer).AddRange(hidden);

    public void KeysSelected(int layer, int row, ReadOnlySpan<int> positions) => Keys[(layer, row)] = positions.ToArray();

    private static List<T> Of<T>(Dictionary<int, List<T>> map, int layer) => map.TryGetValue(layer, out var list) ? list : map[layer] = [];
}
