using System.Collections.Concurrent;
using System.Reflection;
using System.Runtime.CompilerServices;
using Conclave.Engine;
using Conclave.Gateway.Ranks;
using Conclave.Gateway.Tests.Support;
using Conclave.Grains;
using Microsoft.Extensions.Logging.Abstractions;
using Orleans;

namespace Conclave.Gateway.Tests.Ranks;

/// <summary>A cluster whose ranks do what a test tells them. Its sequences are a function of the prompt, so that every resume can be checked.</summary>
internal sealed class FakeCluster : IAsyncDisposable
{
    private readonly ConcurrentDictionary<string, FakeRank> _ranks = new();
    private readonly IExpertMapGrain _map = DispatchProxy.Create<IExpertMapGrain, CallsByName>();

    public FakeCluster(FailoverOptions? options = null, params string[] silos)
    {
        foreach (string silo in silos) Add(silo);
        ((CallsByName)(object)_map).Call = (_, _) => MapFault is { } fault
            ? Task.FromException<ClusterView>(fault)
            : Task.FromResult(ClusterView.Empty with { Ranks = [.. _ranks.Keys.Where(silo => !Hidden.Contains(silo)).Order(StringComparer.Ordinal)] });
        var client = DispatchProxy.Create<IClusterClient, GrainsByKey>();
        ((GrainsByKey)(object)client).Find = (type, key) => type == typeof(IExpertMapGrain) ? _map : Rank(key[(key.IndexOf('/', StringComparison.Ordinal) + 1)..]).Grain;
        Options = options ?? new FailoverOptions { SilenceMs = 300, PatienceMs = 20_000, RefreshMs = 50, ProbeTimeoutMs = 300, ViewTimeoutMs = 300 };
        var model = new ServedModel(new ServedModelOptions(TestModels.Demo(), null));
        Directory = new RankDirectory(client, model, Options, TimeProvider.System, NullLogger<RankDirectory>.Instance);
        Runner = new SequenceRunner(Directory, Options, TimeProvider.System, NullLogger<SequenceRunner>.Instance);
    }

    public FailoverOptions Options { get; }

    public RankDirectory Directory { get; }

    public SequenceRunner Runner { get; }

    /// <summary>Ranks that the view does not name.</summary>
    public HashSet<string> Hidden { get; } = [];

    /// <summary>What reading the view ends with; null for the view.</summary>
    public Exception? MapFault { get; set; }

    public FakeRank Rank(string silo) => _ranks.TryGetValue(silo, out FakeRank? rank) ? rank : throw new InvalidOperationException($"no rank {silo}");

    public FakeRank Add(string silo) => _ranks[silo] = new FakeRank();

    public async Task<FakeCluster> StartAsync()
    {
        await Directory.StartAsync(default);
        return this;
    }

    /// <summary>All tokens of a command and how it ended.</summary>
    public async Task<(List<int> Tokens, FinishReason End)> RunAsync(GenerateCommand command, CancellationToken cancellationToken = default)
    {
        var tokens = new List<int>();
        FinishReason end = FinishReason.None;
        await foreach (RunChunk run in Runner.Run(command, cancellationToken))
        {
            if (run.Tokens is not { } chunk) continue;
            Assert.Equal(tokens.Count, chunk.Position);
            Assert.Null(chunk.MovedTo);
            tokens.AddRange(chunk.Ids);
            end = chunk.FinishReason;
        }

        return (tokens, end);
    }

    public static GenerateCommand Command(int maxTokens = 30) => new() { SequenceId = Guid.NewGuid(), PromptIds = [3, 1, 4], MaxTokens = maxTokens, StopTokenIds = [], Seed = 9, TopLogprobs = -1 };

    /// <summary>Token <paramref name="index"/> of every sequence.</summary>
    public static int Token(int index) => ((index * 37) + 11) % 500;

    public static int[] Whole(int count) => [.. Enumerable.Range(0, count).Select(Token)];

    public async ValueTask DisposeAsync()
    {
        await Directory.StopAsync(default);
        Directory.Dispose();
    }
}

/// <summary>One rank: generates the tokens that are due, and does what it is told before any of them.</summary>
internal sealed class FakeRank
{
    // Not a class that implements the interface: Orleans would take that for a grain.
    public FakeRank()
    {
        Grain = DispatchProxy.Create<IGatewayGrain, CallsByName>();
        ((CallsByName)(object)Grain).Call = (method, args) => method == nameof(IGatewayGrain.Status) ? Answer() : Generate((GenerateCommand)args[0]!, (CancellationToken)args[1]!);
    }

    /// <summary>Its front.</summary>
    public IGatewayGrain Grain { get; }

    /// <summary>Commands it got.</summary>
    public ConcurrentQueue<GenerateCommand> Commands { get; } = [];

    /// <summary>Streams that were disposed or ran to their end.</summary>
    public int Closed;

    /// <summary>Called before token n of a stream and after the last one, until it returns null: may throw, wait, or return a chunk to send, after which the stream ends if it says so.</summary>
    public Func<int, CancellationToken, Task<TokenChunk?>>? Before { get; set; }

    /// <summary>What it says when asked.</summary>
    public Func<Task<RankStatus>> Answer { get; set; } = () => Task.FromResult(new RankStatus());

    private async IAsyncEnumerable<TokenChunk> Generate(GenerateCommand command, [EnumeratorCancellation] CancellationToken cancellationToken)
    {
        Commands.Enqueue(command);
        try
        {
            Assert.Equal(FakeCluster.Whole(command.ResumedCount), command.PromptIds[^command.ResumedCount..]);
            await Task.Yield();
            for (int i = command.ResumedCount; i <= command.MaxTokens; i++)
            {
                while (Before is { } before && await before(i, cancellationToken) is { } special)
                {
                    yield return special;
                    if (special.FinishReason != FinishReason.None) yield break;
                }

                cancellationToken.ThrowIfCancellationRequested();
                yield return i < command.MaxTokens
                    ? new TokenChunk { Position = i, Ids = [FakeCluster.Token(i)] }
                    : new TokenChunk { Position = i, Ids = [], FinishCode = (int)FinishReason.Length };
            }
        }
        finally
        {
            Interlocked.Increment(ref Closed);
        }
    }

    /// <summary>Does something once, before token <paramref name="index"/>.</summary>
    public void Once(int index, Func<CancellationToken, Task<TokenChunk?>> what)
    {
        int left = 1;
        Before = (at, token) => at == index && Interlocked.Exchange(ref left, 0) == 1 ? what(token) : Task.FromResult<TokenChunk?>(null);
    }
}

/// <summary>A grain reference whose calls a function answers.</summary>
public class CallsByName : DispatchProxy
{
    public Func<string, object?[], object> Call { get; set; } = (_, _) => throw new InvalidOperationException("not set");

    protected override object? Invoke(MethodInfo? targetMethod, object?[]? args) => Call(targetMethod!.Name, args ?? []);
}

/// <summary>Finds grains by interface and key.</summary>
public class GrainsByKey : DispatchProxy
{
    public Func<Type, string, object> Find { get; set; } = (_, _) => throw new InvalidOperationException("not set");

    protected override object? Invoke(MethodInfo? targetMethod, object?[]? args) => Find(targetMethod!.GetGenericArguments()[0], (string)args![0]!);
}
