using Conclave.Engine;
using Conclave.Gateway.Ranks;
using Conclave.Grains;
using Orleans.Runtime;
using Polly;
using Polly.Bulkhead;
using Polly.CircuitBreaker;
using Polly.Retry;
using Polly.Timeout;

namespace Conclave.Gateway;

/// <summary>
/// Every policy for what may fail around a request, with its reason. None of them is on the way of a token: they guard looking at the cluster, starting a
/// stream and starting it anew.
/// </summary>
internal static class Resilience
{
    /// <summary>
    /// Reading the cluster's view: a timeout only. The map grain may sit on a dead silo, where a call hangs for as long as Orleans allows; the loop that
    /// reads comes back by itself, so a retry here would only delay it.
    /// </summary>
    public static ResiliencePipeline<ClusterView> View(FailoverOptions options, TimeProvider clock) => new ResiliencePipelineBuilder<ClusterView> { TimeProvider = clock }
        .AddTimeout(TimeSpan.FromMilliseconds(options.ViewTimeoutMs))
        .Build();

    /// <summary>
    /// Asking a rank for its state: a short timeout, since what it says in a second is of no use to requests that must be placed now (the usual end is
    /// <see cref="Hearing"/>'s, which knows a busy machine from a silent rank; this one is the bound of that); and a circuit breaker, since
    /// each question to a dead silo stays with Orleans until its own timeout, and they must not pile up. The break is short: it is also how long a rank
    /// that has come back waits for sequences.
    /// </summary>
    public static ResiliencePipeline<RankStatus> Probe(FailoverOptions options, TimeProvider clock) => new ResiliencePipelineBuilder<RankStatus> { TimeProvider = clock }
        .AddCircuitBreaker(new CircuitBreakerStrategyOptions<RankStatus>
        {
            FailureRatio = 1,
            MinimumThroughput = 4,
            SamplingDuration = TimeSpan.FromSeconds(10),
            BreakDuration = TimeSpan.FromSeconds(1),
            // Only silence: a silo that refuses answers quickly, and may take it back as quickly.
            ShouldHandle = new PredicateBuilder<RankStatus>().Handle<TimeoutRejectedException>().Handle<TimeoutException>(),
        })
        .AddTimeout(TimeSpan.FromMilliseconds(4 * options.ProbeTimeoutMs))
        .Build();

    /// <summary>
    /// One sequence: started on a rank, and again on another one as often as <paramref name="isWorthwhile"/> says. At once after the first failure, since the next
    /// rank is most likely well; then with growing pauses, so that a cluster that has nothing to offer is not stormed by all its clients. Jitter, because
    /// all streams of a dead rank begin at the same time.
    /// </summary>
    public static ResiliencePipeline<bool> Sequence(Func<Exception, bool> isWorthwhile, TimeProvider clock) => new ResiliencePipelineBuilder<bool> { TimeProvider = clock }
        .AddRetry(new RetryStrategyOptions<bool>
        {
            MaxRetryAttempts = int.MaxValue,
            ShouldHandle = outcome => ValueTask.FromResult(outcome.Outcome.Exception is { } failure && isWorthwhile(failure)),
            DelayGenerator = attempt => ValueTask.FromResult<TimeSpan?>(Pause(attempt.AttemptNumber)),
        })
        .Build();

    /// <summary>
    /// A bulkhead around all completions of a process: beyond it a client is told to come back rather than that all of them wait for memory. No queue of our own: the
    /// ranks queue, and they know the order of arrival over all gateways.
    /// </summary>
    public static AsyncBulkheadPolicy Completions(FailoverOptions options) => Policy.BulkheadAsync(options.MaxCompletions, maxQueuingActions: 0);

    /// <summary>
    /// Whether another rank, or the same one later, may succeed where this failed. What the client did wrong is wrong everywhere; a full queue is an
    /// answer to a new request, but no reason to lose one that was already running.
    /// </summary>
    /// <param name="failure">What happened.</param>
    /// <param name="hasBegun">A rank had accepted the sequence before.</param>
    public static bool MayResume(Exception failure, bool hasBegun) => failure switch
    {
        ClusterException { Error: OperatingError.Overloaded } => hasBegun,
        ClusterException remote => remote.Error is OperatingError.Unavailable,
        OperatingException local => local.Error is OperatingError.Unavailable,
        // The silo is gone, or refuses what it does not know.
        SiloUnavailableException or OrleansMessageRejectionException or EnumerationAbortedException => true,
        // Nobody answers; and so does a gateway whose connection to the cluster is lost.
        TimeoutException or OrleansException => true,
        // A stream that its rank cancelled, on its way down: a client that leaves is seen by its own token before.
        OperationCanceledException => true,
        _ => false,
    };

    private static TimeSpan Pause(int failures) =>
        failures == 0 ? TimeSpan.Zero : TimeSpan.FromMilliseconds(Math.Min(1000, 25 << Math.Min(failures, 6)) * (0.75 + (Random.Shared.NextDouble() / 2)));
}
