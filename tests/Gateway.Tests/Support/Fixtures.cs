using Conclave.Engine;
using Conclave.Tests.Support;

[assembly: CollectionBehavior(DisableTestParallelization = true)]

namespace Conclave.Gateway.Tests.Support;

/// <summary>A server of a random model with a long context, started once.</summary>
public sealed class RandomServer : IAsyncLifetime
{
    /// <summary>Tokens of prompt and completion together.</summary>
    public const int ContextLength = 16384;

    private string _model = "";

    public TestServer Server { get; private set; } = null!;

    /// <summary>Before the steps of its engine.</summary>
    internal StepGate Steps { get; } = new();

    public async Task InitializeAsync()
    {
        _model = TestModels.Synthesize(ContextLength);
        // Latents of 24 floats and 2 layers: about 27,000 tokens, so that two long prompts do not fit at once.
        var engine = new EngineOptions { MaxBatch = 32, MaxStepRows = 64, KvMemorySizeBytes = 27_000L * 24 * 2 * sizeof(float), BeforeStep = Steps.Pass };
        Server = await TestServer.StartAsync(_model, engine, keepAliveMs: 30);
    }

    public async Task DisposeAsync()
    {
        Steps.Release();
        await Server.DisposeAsync();
        Directory.Delete(Path.GetDirectoryName(_model)!, recursive: true);
    }
}

/// <summary>A server of a random model with a short context, for requests that are mostly refused.</summary>
public sealed class ShortContextServer : IAsyncLifetime
{
    /// <summary>Tokens of prompt and completion together.</summary>
    public const int ContextLength = 512;

    private string _model = "";

    public TestServer Server { get; private set; } = null!;

    public async Task InitializeAsync()
    {
        _model = TestModels.Synthesize(ContextLength);
        Server = await TestServer.StartAsync(_model, new EngineOptions { MaxBatch = 8, MaxStepRows = 64, KvMemorySizeBytes = 4 << 20 });
    }

    public async Task DisposeAsync()
    {
        await Server.DisposeAsync();
        Directory.Delete(Path.GetDirectoryName(_model)!, recursive: true);
    }
}

/// <summary>A server of the demo model, started once, for clients that expect sense.</summary>
public sealed class DemoServer : IAsyncLifetime
{
    public TestServer Server { get; private set; } = null!;

    public async Task InitializeAsync() => Server = await TestServer.StartAsync(TestModels.Demo(), new EngineOptions { KvMemorySizeBytes = 256 << 20 });

    public async Task DisposeAsync() => await Server.DisposeAsync();
}

[CollectionDefinition(nameof(RandomServer))]
public sealed class RandomServerTests : ICollectionFixture<RandomServer>;

[CollectionDefinition(nameof(ShortContextServer))]
public sealed class ShortContextServerTests : ICollectionFixture<ShortContextServer>;

[CollectionDefinition(nameof(DemoServer))]
public sealed class DemoServerTests : ICollectionFixture<DemoServer>;
