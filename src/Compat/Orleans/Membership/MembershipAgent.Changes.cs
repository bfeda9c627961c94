using Microsoft.Extensions.Logging;

namespace Orleans.Runtime;

/// <content>Changes to the table: joining, leaving, notes of life, suspicions and verdicts.</content>
internal sealed partial class MembershipAgent
{
    /// <summary>Enters the silo as one that is starting; an earlier start at its endpoint is dead from then on. Waits for the table.</summary>
    /// <exception cref="OrleansException">The table could not be reached for <see cref="Configuration.ClusterMembershipOptions.MaxJoinAttemptTime"/>.</exception>
    public async Task EnterAsync(MembershipTable table, string name, int gatewayPort, CancellationToken token)
    {
        DateTimeOffset now = _clock.GetUtcNow();
        (_table, _lastReached) = (table, _clock.GetTimestamp());
        _own = new MembershipRow { Silo = _self, Status = SiloStatus.Joining, Name = name, GatewayPort = gatewayPort, Since = now, AliveAt = now };
        table.Restored += RefreshSoon;
        using var limit = CancellationTokenSource.CreateLinkedTokenSource(token);
        limit.CancelAfter(_options.MaxJoinAttemptTime);
        try
        {
            await PatientlyAsync("joining", () => JoinAsync(limit.Token), limit.Token);
        }
        catch (OperationCanceledException) when (!token.IsCancellationRequested)
        {
            throw new OrleansException($"Silo {_self} could not join: the membership table could not be reached for {_options.MaxJoinAttemptTime}.");
        }
        _ = NoteAliveAsync();
        _ = RefreshNowAndThenAsync();
    }

    private async Task JoinAsync(CancellationToken token)
    {
        await Table.PruneAsync(_clock.GetUtcNow() - _options.DefunctSiloExpiration, token);
        await UpdateAsync(_ => _own, token);
        foreach (MembershipRow earlier in Data.Rows.Where(row => row.Silo.Endpoint.Equals(_self.Endpoint) && row.Silo.Generation < _self.Generation && row.Status != SiloStatus.Dead))
            await UpdateAsync(data => data.Find(earlier.Silo) is { Status: not SiloStatus.Dead } row ? Dead(row) : null, token);
    }

    /// <summary>Changes the silo's own status. Waits for the table.</summary>
    public Task SetStatusAsync(SiloStatus status, CancellationToken token)
    {
        MembershipRow row;
        lock (_gate)
        {
            if (_own is null or { Status: SiloStatus.Dead }) return Task.CompletedTask;
            row = _own = status == SiloStatus.Dead ? Dead(_own) : _own with { Status = status, AliveAt = _clock.GetUtcNow() };
        }
        string what = status == SiloStatus.Active ? "joining" : "leaving";
        return PatientlyAsync(what, () => UpdateAsync(data => data.Find(_self) is { Status: SiloStatus.Dead } ? null : row, token), token);
    }

    /// <summary>Declares a silo dead; whether it is dead now.</summary>
    public async Task<bool> TryKillAsync(SiloAddress silo)
    {
        try
        {
            await UpdateAsync(data => (data.Find(silo) ?? Data.Find(silo)) is { Status: not SiloStatus.Dead } row ? Dead(row) : null, _stop.Token);
        }
        catch (Exception e)
        {
            LogNotKilled(silo, e.Message);
        }
        return Current.GetSiloStatus(silo) == SiloStatus.Dead;
    }

    /// <summary>Votes for the death of a silo that does not answer; with enough votes it is dead.</summary>
    public async Task SuspectAsync(SiloAddress silo)
    {
        try
        {
            await UpdateAsync(data => (data.Find(silo) ?? Data.Find(silo)) is { Status: not SiloStatus.Dead } row ? Suspect(data, row) : null, _stop.Token);
        }
        catch (Exception e)
        {
            LogNotKilled(silo, e.Message);
        }
    }

    /// <summary>
    /// No other silo answers. If the table has not been reached for so long either that the others no longer count this silo, and cannot be reached now, its lease has
    /// run out: it is the one that is cut off, and others may have its grains. As long as others answer, a lost table is no reason to stop.
    /// </summary>
    public async Task OnNobodyAnswersAsync()
    {
        TimeSpan lease = _options.IAmAliveTablePublishTimeout * _options.NumMissedTableIAmAliveLimit;
        if (!Table.IsLease || LeaseAge < lease) return;
        // The notes of life are far between: the table may be back since the last one.
        await TryAsync(() => ReadAsync(_stop.Token));
        if (LeaseAge is var age && age >= lease && !_stop.IsCancellationRequested)
            OnDeclaredDead($"Silo {_self} could not renew its lease for {age.TotalSeconds:F0} s: it reaches neither the membership table nor any other silo.");
    }

    /// <summary>The row with this silo's vote; null if that one stands there already and still counts.</summary>
    private MembershipRow? Suspect(MembershipData data, MembershipRow row)
    {
        DateTimeOffset now = _clock.GetUtcNow();
        Suspicion[] fresh = [.. row.Suspicions.Where(suspicion => now - suspicion.At < _options.DeathVoteExpirationTimeout)];
        bool voted = fresh.Any(suspicion => suspicion.By.Equals(_self));
        Suspicion[] votes = voted ? fresh : [.. fresh, new Suspicion(_self, now)];
        TimeSpan stale = _options.IAmAliveTablePublishTimeout * _options.NumMissedTableIAmAliveLimit;
        int voters = data.Rows.Count(other => other.Status == SiloStatus.Active && now - other.AliveAt < stale);
        // In a small cluster half of the silos must do.
        int needed = Math.Min(_options.NumVotesForDeathDeclaration, (voters + 1) / 2);
        if (votes.Length >= needed)
        {
            LogVerdict(row.Silo, votes.Length, needed);
            return Dead(row) with { Suspicions = votes };
        }
        if (voted) return null;
        LogSuspected(row.Silo, votes.Length, needed);
        return row with { Suspicions = votes };
    }

    private MembershipRow Dead(MembershipRow row) =>
        row with { Status = SiloStatus.Dead, Since = _clock.GetUtcNow(), Suspicions = row.Silo.Equals(_self) || row.Suspicions.Length > 0 ? row.Suspicions : [new Suspicion(_self, _clock.GetUtcNow())] };

    /// <summary>Reads the table, changes a row and writes it, again and again until nobody came in between. No row means nothing to do.</summary>
    private async Task UpdateAsync(Func<MembershipData, MembershipRow?> change, CancellationToken token)
    {
        while (true)
        {
            MembershipData data = await Table.ReadAsync(token);
            Adopt(data);
            if (change(data) is not { } row) return;
            long next = Math.Max(data.Version, Data.Version) + 1;
            if (await Table.TryWriteAsync(data.Version, next, row, token))
            {
                Adopt(data.With(row, next));
                Gossip();
                return;
            }
            await Task.Delay(TimeSpan.FromMilliseconds(Random.Shared.Next(1, 10)), _clock, token);
        }
    }

    /// <summary>Tells the other silos what this one knows.</summary>
    private void Gossip()
    {
        MembershipData data = Data;
        foreach (MembershipRow row in data.Rows)
            if (row.Status != SiloStatus.Dead && !row.Silo.Equals(_self)) _ = _control(row.Silo).Gossip(data);
    }

    private async Task PatientlyAsync(string what, Func<Task> change, CancellationToken token)
    {
        while (true)
        {
            try
            {
                await change();
                return;
            }
            catch (Exception e) when (e is not OperationCanceledException || !token.IsCancellationRequested)
            {
                if (Table.IsGone(Data)) return;
                LogWaiting(_self, what, e.Message);
                await Task.Delay(RetryDelay, _clock, token);
            }
        }
    }

    private Task NoteAliveAsync() => RepeatAsync(_options.IAmAliveTablePublishTimeout, async () =>
    {
        await Table.NoteAliveAsync(_self, _clock.GetUtcNow(), _stop.Token);
        Volatile.Write(ref _lastReached, _clock.GetTimestamp());
    });

    private Task RefreshNowAndThenAsync() => RepeatAsync(_options.TableRefreshTimeout, () => ReadAsync(_stop.Token));

    private async Task RepeatAsync(TimeSpan period, Func<Task> action)
    {
        using var timer = new PeriodicTimer(period, _clock);
        while (!_stop.IsCancellationRequested)
            await TryAsync(async () =>
            {
                if (await timer.WaitForNextTickAsync(_stop.Token)) await action();
            });
    }

    private async Task TryAsync(Func<Task> action)
    {
        try
        {
            await action();
        }
        catch (Exception e)
        {
            if (!_stop.IsCancellationRequested) LogNotRead(e.Message);
        }
    }

    [LoggerMessage(LogLevel.Warning, "Silo {Silo} waits with {What}, since the membership table cannot be reached: {Reason}")]
    private partial void LogWaiting(SiloAddress silo, string what, string reason);

    [LoggerMessage(LogLevel.Warning, "Silo {Silo} could not be declared dead: {Reason}")]
    private partial void LogNotKilled(SiloAddress silo, string reason);

    [LoggerMessage(LogLevel.Warning, "Silo {Silo} does not answer; {Votes} of {Needed} votes for its death")]
    private partial void LogSuspected(SiloAddress silo, int votes, int needed);

    [LoggerMessage(LogLevel.Error, "Silo {Silo} does not answer and is declared dead with {Votes} of {Needed} votes")]
    private partial void LogVerdict(SiloAddress silo, int votes, int needed);
}
