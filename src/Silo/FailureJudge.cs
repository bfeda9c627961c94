using Conclave.Grains;
using Conclave.Grains.Transport;
using Microsoft.Extensions.Logging;
using Orleans.Runtime;

namespace Conclave.Silo;

/// <summary>
/// Turns the transport's suspicions into deaths: a silo that enough others do not hear is declared dead to Orleans, so that its grains move at once
/// instead of after its probes. Should it live, it finds itself declared dead and exits.
/// </summary>
internal sealed partial class FailureJudge : IDisposable
{
    private static readonly TimeSpan Period = TimeSpan.FromMilliseconds(100);
    private static readonly TimeSpan KillPause = TimeSpan.FromSeconds(1);

    // A silo that only starts (code is compiled, weights are read) may be deaf for a while, and nobody waits for it yet.
    private static readonly TimeSpan StartingDelay = TimeSpan.FromSeconds(5);
    private static readonly TimeSpan CallLimit = TimeSpan.FromSeconds(5);
    private static readonly TimeSpan Absence = TimeSpan.FromSeconds(1);

    private readonly ClusterWatch _watch;
    private readonly SiloPeers _peers;
    private readonly TensorTransport _transport;
    private readonly IClusterMembershipService _membership;
    private readonly TimeSpan _delay;
    private readonly TimeProvider _clock;
    private readonly ILogger<FailureJudge> _logger;
    private readonly Lock _gate = new();
    private readonly FailureVerdicts _verdicts = new();
    private readonly HashSet<string> _suspects = [];
    private readonly Dictionary<string, long> _condemnedSince = [];
    private readonly Dictionary<string, long> _killedAt = [];
    private volatile bool _wasAway;
    private Task _lookingUp = Task.CompletedTask;

    /// <summary>Listens to the transport.</summary>
    public FailureJudge(ClusterWatch watch, SiloPeers peers, TensorTransport transport, IClusterMembershipService membership, SiloOptions options, TimeProvider clock, ILogger<FailureJudge> logger)
    {
        (_watch, _peers, _transport, _membership, _clock, _logger) = (watch, peers, transport, membership, clock, logger);
        _delay = TimeSpan.FromMilliseconds(options.EvictionDelayMs);
        transport.PeerSuspected += OnSuspected;
        transport.PeerRecovered += OnRecovered;
        transport.SuspicionsHeard += OnHeard;
    }

    /// <summary>Judges until cancelled.</summary>
    public async Task RunAsync(CancellationToken cancellationToken)
    {
        using var timer = new PeriodicTimer(Period, _clock);
        long before = _clock.GetTimestamp();
        while (await timer.WaitForNextTickAsync(cancellationToken))
        {
            if (_wasAway || _clock.GetElapsedTime(before) > Absence) LookUp();
            before = _clock.GetTimestamp();
            foreach (string silo in Due()) await KillAsync(silo);
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        _transport.PeerSuspected -= OnSuspected;
        _transport.PeerRecovered -= OnRecovered;
        _transport.SuspicionsHeard -= OnHeard;
    }

    private void OnSuspected(string address)
    {
        if (_peers.SiloAt(address) is not { } silo) return;
        LogSuspected(silo);
        lock (_gate)
        {
            _suspects.Add(silo);
            _verdicts.Report(_watch.Silo, _suspects);
        }
    }

    private void OnRecovered(string address)
    {
        if (_peers.SiloAt(address) is not { } silo) return;
        LogRecovered(silo);
        _wasAway = true;
        lock (_gate)
        {
            _suspects.Remove(silo);
            _verdicts.Report(_watch.Silo, _suspects);
        }
    }

    private void OnHeard(string from, IReadOnlyList<string> suspects)
    {
        if (_peers.SiloAt(from) is not { } reporter) return;
        lock (_gate) _verdicts.Report(reporter, suspects.Select(_peers.SiloAt).OfType<string>());
    }

    /// <summary>Silos that have been condemned for long enough.</summary>
    private List<string> Due()
    {
        var due = new List<string>();
        lock (_gate)
        {
            string[] members = Members();
            foreach (string gone in _suspects.Except(members).ToArray()) Forget(gone);
            IReadOnlyList<string> condemned = _suspects.Count == 0 ? [] : _verdicts.Condemned(_watch.Silo, members);
            foreach (string pardoned in _condemnedSince.Keys.Except(condemned).ToArray()) _condemnedSince.Remove(pardoned);
            foreach (string silo in condemned)
            {
                if (!_condemnedSince.TryGetValue(silo, out long since)) _condemnedSince[silo] = since = _clock.GetTimestamp();
                bool wasTried = _killedAt.TryGetValue(silo, out long at) && _clock.GetElapsedTime(at) < KillPause;
                if (_clock.GetElapsedTime(since) < (IsNeeded(silo) ? _delay : StartingDelay) || wasTried) continue;
                _killedAt[silo] = _clock.GetTimestamp();
                due.Add(silo);
            }
        }

        return due;
    }

    /// <summary>Whether steps or sequences may wait for it: it has a rank, experts or work to hand over.</summary>
    private bool IsNeeded(string silo) => _watch.View is var view && (view.Ranks.Contains(silo) || view.Draining.Contains(silo) || view.Map.Names(silo));

    private void Forget(string silo)
    {
        _suspects.Remove(silo);
        _killedAt.Remove(silo);
        _verdicts.Forget(silo);
    }

    /// <summary>Members that Orleans does not take for dead.</summary>
    private string[] Members()
    {
        ClusterMembershipSnapshot members = _membership.CurrentSnapshot;
        return [.. _watch.View.Silos.Select(offer => offer.Silo).Where(silo => members.GetSiloStatus(SiloAddress.FromParsableString(silo)) != SiloStatus.Dead)];
    }

    /// <summary>A process that was stopped or cut off may have been declared dead meanwhile: Orleans, once it has read so, ends it.</summary>
    private void LookUp()
    {
        if (!_lookingUp.IsCompleted) return;
        _wasAway = false;
        _lookingUp = LookUpAsync();
    }

    private async Task LookUpAsync()
    {
        try
        {
            await _membership.Refresh().AsTask().WaitAsync(CallLimit, _clock);
        }
        catch (Exception e) when (e is not OutOfMemoryException)
        {
            LogNotRead(e.Message);
            _wasAway = true;
        }
    }

    private async Task KillAsync(string silo)
    {
        LogKilling(silo);
        try
        {
            bool isDead = await _membership.TryKill(SiloAddress.FromParsableString(silo)).WaitAsync(CallLimit, _clock);
            if (!isDead) LogNotKilled(silo, "membership did not take it");
        }
        catch (Exception e) when (e is not OutOfMemoryException)
        {
            // Membership's storage may be gone for a while; the suspicion stays, and so does the next attempt.
            LogNotKilled(silo, e.Message);
        }
    }

    [LoggerMessage(Level = LogLevel.Warning, Message = "silo {Silo} is not heard any more")]
    private partial void LogSuspected(string silo);

    [LoggerMessage(Level = LogLevel.Information, Message = "silo {Silo} is heard again")]
    private partial void LogRecovered(string silo);

    [LoggerMessage(Level = LogLevel.Warning, Message = "silo {Silo} is declared dead: enough silos do not hear it")]
    private partial void LogKilling(string silo);

    [LoggerMessage(Level = LogLevel.Warning, Message = "silo {Silo} could not be declared dead, another attempt follows: {Reason}")]
    private partial void LogNotKilled(string silo, string reason);

    [LoggerMessage(Level = LogLevel.Debug, Message = "the membership cannot be read at the moment: {Reason}")]
    private partial void LogNotRead(string reason);
}
