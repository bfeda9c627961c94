using System.Collections.Concurrent;
using System.Diagnostics;
using Conclave.Cli.Local;

namespace Conclave.Cli.Chaos;

/// <summary>Keeps a number of requests under way, compares every answer with the undisturbed one, and takes note of whatever is wrong.</summary>
internal sealed class LoadRunner(IReadOnlyList<ChaosCase> cases, IReadOnlyList<Answer> expected, Func<IReadOnlyList<Member>> gateways) : IDisposable
{
    private const int MaxTries = 5;
    private static readonly TimeSpan RetryPause = TimeSpan.FromMilliseconds(100), DeathLimit = TimeSpan.FromSeconds(30);

    private readonly LoadClient _client = new();
    private readonly ConcurrentQueue<Exchange> _exchanges = new();
    private readonly ConcurrentQueue<string> _mismatches = new(), _errors = new();
    private int _next = -1, _retries;

    /// <summary>Requests that were answered.</summary>
    public IReadOnlyCollection<Exchange> Exchanges => _exchanges;

    /// <summary>Answers other than the undisturbed one.</summary>
    public IReadOnlyCollection<string> Mismatches => _mismatches;

    /// <summary>Requests that were refused, broken off or never answered.</summary>
    public IReadOnlyCollection<string> Errors => _errors;

    /// <summary>Requests that were sent again through another gateway because theirs had been killed.</summary>
    public int Retries => Volatile.Read(ref _retries);

    /// <summary>Runs until <paramref name="enough"/> is cancelled; requests that are under way then are run to their ends.</summary>
    public Task Run(int streams, CancellationToken enough) => Task.WhenAll(Enumerable.Range(0, streams).Select(_ => Work(enough)));

    public void Dispose() => _client.Dispose();

    private async Task Work(CancellationToken enough)
    {
        while (!enough.IsCancellationRequested)
        {
            int turn = Interlocked.Increment(ref _next);
            ChaosCase @case = cases[turn % cases.Count];
            if (await Ask(@case, turn) is not { } exchange) continue;
            _exchanges.Enqueue(exchange);
            Answer due = expected[@case.Number];
            if (exchange.Answer != due) _mismatches.Enqueue($"request {@case.Number}: {exchange.Answer.Difference(due)}");
        }
    }

    /// <summary>The gateways take turns. A connection that breaks because its gateway was killed is the client's to mend, as everywhere: once more, elsewhere.</summary>
    private async Task<Exchange?> Ask(ChaosCase @case, int turn)
    {
        for (int attempt = 0; ; attempt++)
        {
            IReadOnlyList<Member> alive = gateways();
            Member gateway = alive[(turn + attempt) % alive.Count];
            long began = Stopwatch.GetTimestamp();
            try
            {
                return await _client.Run(LocalCluster.Address(gateway), @case, CancellationToken.None);
            }
            catch (Exception e) when (e is HttpRequestException or IOException or TimeoutException or System.Text.Json.JsonException)
            {
                // The connection of a killed process may break a moment before the process is gone.
                bool broke = e is HttpRequestException { StatusCode: null } or IOException;
                if (broke && attempt < MaxTries && await gateway.Process.WaitForExit(DeathLimit))
                {
                    Interlocked.Increment(ref _retries);
                    continue;
                }

                _errors.Enqueue($"request {@case.Number} through {gateway.Name} after {Stopwatch.GetElapsedTime(began).TotalSeconds:F1} s: {e.Message.ReplaceLineEndings(" ")}");
                // A cluster that refuses everything is not to be asked thousands of times a second.
                await Task.Delay(RetryPause);
                return null;
            }
        }
    }
}
