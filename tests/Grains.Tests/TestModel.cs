using Conclave.Engine;
using Conclave.Model.Checkpoints;

namespace Conclave.Grains.Tests;

/// <summary>A tiny model of random weights on disk, and what one silo makes of requests.</summary>
public sealed class TestModel : IAsyncLifetime
{
    private readonly string _root = Directory.CreateTempSubdirectory("conclave-model-").FullName;
    private readonly SemaphoreSlim _one = new(1);
    private readonly Dictionary<(int, int), int[][]> _expected = [];

    /// <summary>The checkpoint's directory.</summary>
    public string Path => System.IO.Path.Combine(_root, "tiny-random");

    public Task InitializeAsync()
    {
        string config = System.IO.Path.Combine(_root, "config.json");
        File.WriteAllText(config, TestSilo.ConfigJson);
        Synthesizer.Write(config, seed: 3, DType.BF16, Path);
        return Task.CompletedTask;
    }

    public Task DisposeAsync()
    {
        Directory.Delete(_root, recursive: true);
        return Task.CompletedTask;
    }

    /// <summary>The tokens of the first <paramref name="requests"/> of <see cref="TestCluster.Command"/> from one silo.</summary>
    public async Task<int[][]> ExpectedAsync(int requests, int tokens)
    {
        await _one.WaitAsync();
        try
        {
            if (_expected.TryGetValue((requests, tokens), out int[][]? known)) return known;
            await using var cluster = new TestCluster(Path, options => options with { Transport = null, Primary = null });
            TestCluster.Member silo = await cluster.StartAsync();
            var all = new List<int[]>();
            for (int i = 0; i < requests; i++) all.Add(await silo.GenerateAsync(TestCluster.Command(i, tokens)));
            return _expected[(requests, tokens)] = [.. all];
        }
        finally
        {
            _one.Release();
        }
    }
}
