using System.Collections.Concurrent;
using System.Diagnostics;
using System.Reflection;
using System.Runtime.CompilerServices;
using Conclave.Engine;
using Conclave.Gateway.Ranks;
using Conclave.Gateway.Tests.Support;
using Conclave.Grains;
using Conclave.Tests.Support;
using Microsoft.Extensions.Logging.Abstractions;
using Orleans;

namespace Conclave.Gateway.Tests.Ranks;

/// <summary>
/// A cluster whose ranks do what a test tells them. Its sequences are a function of the prompt, so that every resume can be checked. Time passes only where a test or one of its ranks says so:
/// however long a thread has to wait, no rank is silent and nobody loses patience for it.
/// </summary>
internal sealed class FakeCluster : IAsyncDisposable
{
    /// <summary>How long anything may really take.</summary>
    public static readonly TimeSpan Limit = TimeSpan.FromMinutes(4);

    // Of all that is waited for only pauses, between two attempts or until a rank is looked for again, are that short.
    private static readonly TimeSpan LongestPause = TimeSpan.FromSeconds(2);

    private readonly ConcurrentDictionary<string, FakeRank> _ranks = new();
    private readonly IExpertMapGrain _map = DispatchProxy.Create<IExpertMapGrain, CallsByName>();

    public FakeCluster(FailoverOptions? options = null, params string[] silos)
    {
        foreach (string silo in silos) Add(silo);
        ((CallsByName)(object)_map).Call = (_, _) => View();
        var client = DispatchProxy.Create<IClusterClient, GrainsByKey>();
        ((GrainsByKey)(object)client).Find = (type, key) => type == typeof(IExpertMapGrain) ? _map : Rank(key[(key.IndexOf('/', StringComparison.Ordinal) + 1)..]).Grain;
        Options = (options ?? new FailoverOptions { PatienceMs = int.MaxValue }) with { SilenceMs = 60_000, RefreshMs = 5000, ProbeTimeoutMs = 60_000, ViewTimeoutMs = 60_000 };
        var model = new ServedModel(new ServedModelOptions(TestModels.Demo(), null));
        Directory = new RankDirectory(client, model, Options, Clock, NullLogger<RankDirectory>.Instance);
        Runner = new SequenceRunner(Directory, Options, Clock, NullLogger<SequenceRunner>.Instance);
    }

    public FailoverOptions Options { get; }

    /// <summary>Everybody's clock.</summary>
    public HandClock Clock { get; } = new();

    public RankDirectory Directory { get; }

    public SequenceRunner Runner { get; }

    /// <summary>A rank that the view does not name.</summary>
    public volatile string? Hidden;

    /// <summary>What reading the view ends with; null for the view.</summary>
    public volatile Exception? MapFault;

    /// <summary>How often the view was asked for.</summary>
    public int Looks;

    /// <summary>Whether the directory waits until it is time for its next look at the cluster. Nobody else waits for so short a time, unless a sequence pauses.</summary>
    public bool IsAtRest => Clock.ShortestWait <= TimeSpan.FromMilliseconds(Options.RefreshMs);

    public FakeRank Rank(string silo) => _ranks.TryGetValue(silo, out FakeRank? rank) ? rank : throw new InvalidOperationException($"no rank {silo}");

    public FakeRank Add(string silo) => _ranks[silo] = new FakeRank();

    public async Task<FakeCluster> StartAsync()
    {
        await Directory.StartAsync(default);
        return this;
    }

    /// <summary>All tokens of a command and how it ended. Pauses pass.</summary>
    public Task<(List<int> Tokens, FinishReason End)> RunAsync(GenerateCommand command, CancellationToken cancellationToken = default) => PassAsync(ReadAsync(command, cancellationToken));

    /// <summary>Lets pauses pass until <paramref name="work"/> is done.</summary>
    public async Task<T> PassAsync<T>(Task<T> work)
    {
        await UntilAsync(() => work.IsCompleted, () => Clock.EndShortWait(LongestPause));
        return await work;
    }

    /// <summary>Lets <paramref name="time"/> pass in small steps, while others may do what they have to.</summary>
    public async Task PassAsync(TimeSpan time)
    {
        long start = Clock.GetTimestamp();
        await UntilAsync(() => Clock.GetElapsedTime(start) >= time, () => Clock.Advance(TimeSpan.FromSeconds(1)));
    }

    /// <summary>Does <paramref name="step"/> again and again until <paramref name="holds"/>.</summary>
    public static async Task UntilAsync(Func<bool> holds, Action step)
    {
        for (long start = Stopwatch.GetTimestamp(); !holds(); step())
        {
            Assert.True(Stopwatch.GetElapsedTime(start) < Limit, "waited too long");
            await Task.Delay(1);
        }
    }

    private Task<ClusterView> View()
    {
        Interlocked.Increment(ref Looks);
        return MapFault is { } fault
            ? Task.FromException<ClusterView>(fault)
            : Task.FromResult(ClusterView.Empty with { Ranks = [.. _ranks.Keys.Where(silo => silo != Hidden).Order(StringComparer.Ordinal)] });
    }

    private async Task<(List<int> Tokens, FinishReason End)> ReadAsync(GenerateCommand command, CancellationToken cancellationToken)
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
