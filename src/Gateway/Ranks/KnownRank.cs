using Conclave.Grains;
using Polly;

namespace Conclave.Gateway.Ranks;

/// <summary>A rank as this gateway sees it. Fields change while requests look at them: each is read and written as a whole.</summary>
/// <param name="silo">The silo, parsable address.</param>
/// <param name="grain">Its front.</param>
/// <param name="probing">Policies of looking at it.</param>
/// <param name="timeoutMs">How long it may take to answer.</param>
/// <param name="clock">Tells the time.</param>
internal sealed class KnownRank(string silo, IGatewayGrain grain, ResiliencePipeline<RankStatus> probing, int timeoutMs, TimeProvider clock)
{
    private int _open;
    private volatile int _foreignLoad;
    private volatile bool _isUsable;
    private long _failures;

    public string Silo { get; } = silo;

    public IGatewayGrain Grain { get; } = grain;

    /// <summary>It has answered since it failed last, and takes new sequences.</summary>
    public bool IsUsable => _isUsable;

    /// <summary>Sequences on it: those of this gateway, up to date, and those of others when it was last asked.</summary>
    public int Load => Volatile.Read(ref _open) + _foreignLoad;

    /// <summary>One more stream of this gateway.</summary>
    public void Enter() => Interlocked.Increment(ref _open);

    /// <summary>One stream less.</summary>
    public void Leave() => Interlocked.Decrement(ref _open);

    /// <summary>It failed a request: no more until it answers a question asked from now on.</summary>
    public void Avoid()
    {
        Interlocked.Increment(ref _failures);
        _isUsable = false;
    }

    /// <summary>Asks it how it is. True if that changed whether it is usable; <paramref name="onTrouble"/> is told why it is not.</summary>
    public async Task<bool> Probe(Action<string> onTrouble, CancellationToken cancellationToken)
    {
        bool before = _isUsable;
        long failures = Interlocked.Read(ref _failures);
        int open = Volatile.Read(ref _open);
        try
        {
            RankStatus status = await probing.ExecuteAsync(async token => await Ask(token), cancellationToken);
            _foreignLoad = Math.Max(0, status.Running + status.Waiting - open);
            bool isWell = status.Fault is null && !status.IsDraining;
            // A failure that came in between counts more than an answer to an older question.
            if (failures == Interlocked.Read(ref _failures)) _isUsable = isWell;
            if (!isWell && before) onTrouble(status.Fault ?? "it is draining");
        }
        catch (Exception e) when (!cancellationToken.IsCancellationRequested)
        {
            _isUsable = false;
            if (before) onTrouble(e.Message);
        }

        return before != _isUsable;
    }

    private async Task<RankStatus> Ask(CancellationToken cancellationToken)
    {
        Task<RankStatus> status = Grain.Status();
        if (!await Hearing.Hears(status.WaitAsync(cancellationToken), timeoutMs, clock)) throw new TimeoutException($"no answer within {timeoutMs} ms");
        return await status.WaitAsync(cancellationToken);
    }
}
