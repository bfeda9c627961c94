using System.Diagnostics;
using System.Runtime.InteropServices;
using Conclave.Grains;
using Conclave.Grains.Transport;
using Conclave.Model.Checkpoints;
using Conclave.Model.Experts;
using Conclave.Model.Kernels;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Orleans.Runtime;

namespace Conclave.Silo;

/// <summary>Where a silo is in its life.</summary>
internal enum SiloPhase
{
    /// <summary>It joins, and waits until every expert has a place.</summary>
    Starting,

    /// <summary>It serves.</summary>
    Serving,

    /// <summary>Its sequences and experts move to other silos.</summary>
    Draining,
}

/// <summary>
/// A silo's way into service and out of it. In: listen for rows, join, wait until the map places every expert, start the engine, announce the rank. Out: take no
/// new sequences, hand over the old ones, wait until no rank uses a map that names this silo, leave. A second signal cuts the way out short.
/// </summary>
internal sealed partial class SiloLifetime(
    ClusterWatch watch, SiloPeers peers, ILocalSiloDetails silo, SiloOptions options, Checkpoint checkpoint, Rank rank, ExpertService service, IHostApplicationLifetime host,
    TimeProvider clock, ILogger<SiloLifetime> logger, TensorTransport? transport = null, FailureJudge? judge = null) : IHostedService, IDisposable
{
    private static readonly TimeSpan ProgressPeriod = TimeSpan.FromSeconds(2);
    private static readonly TimeSpan DrainPoll = TimeSpan.FromMilliseconds(50);
    private static readonly TimeSpan QuietTime = TimeSpan.FromMilliseconds(250);
    private static readonly TimeSpan LeaveLimit = TimeSpan.FromSeconds(5);

    private readonly CancellationTokenSource _stop = new();
    private readonly CancellationTokenSource _forced = new();
    private readonly List<PosixSignalRegistration> _signals = [];
    private readonly List<Task> _running = [];
    private int _signalCount;

    /// <summary>Where it is.</summary>
    public SiloPhase Phase { get; private set; } = SiloPhase.Starting;

    /// <summary>What it waits for, or why it cannot serve; null while it can.</summary>
    public string? Obstacle { get; private set; } = "this silo is starting";

    /// <inheritdoc/>
    public async Task StartAsync(CancellationToken cancellationToken)
    {
        // Only counted here: what the first one does is the host's business.
        foreach (PosixSignal signal in new[] { PosixSignal.SIGTERM, PosixSignal.SIGINT }) _signals.Add(PosixSignalRegistration.Create(signal, _ => OnSignal()));
        transport?.Start();
        Task serving = Task.Run(EnterAsync, CancellationToken.None);
        _running.Add(serving);
        if (!options.StartsInBackground) await serving.WaitAsync(cancellationToken);
    }

    /// <inheritdoc/>
    public async Task StopAsync(CancellationToken cancellationToken)
    {
        using var limit = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken, _forced.Token);
        limit.CancelAfter(TimeSpan.FromSeconds(options.DrainGraceSeconds));
        bool wasMember = watch.View.Silos.Any(o => o.Silo == watch.Silo);
        Phase = SiloPhase.Draining;
        Obstacle = "this silo is draining";
        try
        {
            if (wasMember) await DrainAsync(limit.Token);
        }
        catch (OperationCanceledException) when (limit.IsCancellationRequested)
        {
            LogDrainCut(rank.SequenceCount);
        }

        await _stop.CancelAsync();
        await Task.WhenAll(_running).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        if (wasMember) await LeaveAsync();
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        foreach (PosixSignalRegistration signal in _signals) signal.Dispose();
        _stop.Dispose();
        _forced.Dispose();
    }

    private async Task EnterAsync()
    {
        long started = Stopwatch.GetTimestamp();
        try
        {
            Task following = FollowAsync(Offer()), serving = ServeAsync();
            _running.Add(following);
            if (judge is not null) _running.Add(judge.RunAsync(_stop.Token));
            await await Task.WhenAny(serving, following);
            if (Phase == SiloPhase.Draining) return;
            (Phase, Obstacle) = (SiloPhase.Serving, null);
            LogServing(options.ModelName, silo.SiloAddress, watch.View.Map.Version, watch.View.Map.SlotKeys.Length, watch.View.Silos.Length, KernelSet.Best.Tier, options.Threads, Stopwatch.GetElapsedTime(started).TotalMilliseconds);
            if (checkpoint.Int8 is { } int8) LogInt8(int8.SizeBytes / 1e9);
        }
        catch (OperationCanceledException) when (_stop.IsCancellationRequested)
        {
            LogStartCut();
        }
        catch (Exception e) when (options.StartsInBackground)
        {
            Fail(e);
        }
    }

    private async Task ServeAsync()
    {
        await WaitForExpertsAsync();
        if (!options.HasRank) return;
        rank.Start();
        watch.AnnounceRank();
        await watch.UntilAsync(view => view.Ranks.Contains(watch.Silo) || view.Draining.Contains(watch.Silo), _stop.Token);
    }

    private async Task FollowAsync(SiloOffer offer)
    {
        Task leaving = WatchForDrainAsync();
        try
        {
            await watch.RunAsync(offer, _stop.Token);
        }
        catch (Exception e) when (Phase == SiloPhase.Serving && !_stop.IsCancellationRequested)
        {
            // Without views a silo is lost, whatever the reason.
            Fail(e);
        }

        await leaving;
    }

    private void Fail(Exception exception)
    {
        LogFailed(exception);
        Obstacle = exception.Message;
        Environment.ExitCode = 1;
        host.StopApplication();
    }

    /// <summary>Someone asked the map to drain this silo: the process ends when it is done.</summary>
    private async Task WatchForDrainAsync()
    {
        await watch.UntilAsync(view => view.Draining.Contains(watch.Silo), _stop.Token);
        if (Phase == SiloPhase.Draining) return;
        LogAskedToDrain();
        host.StopApplication();
    }

    private SiloOffer Offer()
    {
        var labels = new Dictionary<string, string>(options.Labels);
        labels.TryAdd("host", Environment.MachineName);
        return new SiloOffer
        {
            Silo = watch.Silo,
            Name = options.Name,
            Slots = options.SlotCount,
            TransportAddress = peers.Address,
            Host = labels["host"],
            Zone = labels.GetValueOrDefault("zone", ""),
            Labels = labels,
            Attention = options.HasRank,
            Fingerprint = $"{ModelFingerprint.Of(options.ModelDirectory)}, {options.Arithmetic}",
            ExpertMemoryBytes = options.ExpertMemorySizeBytes,
            MinReplicas = options.Replicas,
            RedundantExperts = options.RedundantExperts,
        };
    }

    private async Task WaitForExpertsAsync()
    {
        int pairs = ExpertShard.AllOf(checkpoint.Config).Count();
        Task complete = watch.UntilAsync(view => view.IsComplete && view.Silos.Any(o => o.Silo == watch.Silo), _stop.Token);
        while (!complete.IsCompleted)
        {
            await Task.WhenAny(complete, Task.Delay(ProgressPeriod, clock, _stop.Token));
            if (complete.IsCompleted) break;
            ClusterView view = watch.View;
            double placed = view.Map.Version == 0 || pairs == 0 ? 0 : 1 - ((double)view.MissingExperts / pairs);
            Obstacle = $"waiting for silos: {placed:P0} of the experts have a place";
            LogWaiting(placed, view.Silos.Length);
        }

        await complete;
    }

    private async Task DrainAsync(CancellationToken cancellationToken)
    {
        await AskToDrainAsync(cancellationToken);
        string[] targets = [.. watch.View.Ranks.Where(other => other != watch.Silo)];
        LogDraining(rank.SequenceCount, targets.Length);
        Task handOver = HandOverAsync(targets, cancellationToken);
        while (!await AskToDrainAsync(cancellationToken)) await Task.Delay(DrainPoll, clock, cancellationToken);
        await handOver;
        // Rows on their way here were sent by steps that used an older map.
        for (long answered = -1; answered != service.AnsweredRows;)
        {
            answered = service.AnsweredRows;
            await Task.Delay(targets.Length == 0 ? TimeSpan.Zero : QuietTime, clock, cancellationToken);
        }
    }

    private async Task HandOverAsync(string[] targets, CancellationToken cancellationToken)
    {
        if (!options.HasRank) return;
        (int sent, int others) = await rank.DrainAsync(targets, TimeSpan.FromSeconds(options.DrainGraceSeconds), cancellationToken);
        LogHandedOver(sent, others);
    }

    /// <summary>Whether nothing holds this silo back; false too when the map grain does not answer.</summary>
    private async Task<bool> AskToDrainAsync(CancellationToken cancellationToken)
    {
        try
        {
            return await watch.Map.Drain(watch.Silo).WaitAsync(LeaveLimit, clock, cancellationToken);
        }
        catch (Exception e) when (Calls.MayBeRepeated(e) && !cancellationToken.IsCancellationRequested)
        {
            LogNoAnswer(e.Message);
            return false;
        }
    }

    private async Task LeaveAsync()
    {
        try
        {
            await watch.Map.Leave(watch.Silo).WaitAsync(LeaveLimit, clock);
            LogLeft();
        }
        catch (Exception e) when (Calls.MayBeRepeated(e))
        {
            // Membership tells the map grain soon enough.
            LogNoAnswer(e.Message);
        }
    }

    private void OnSignal()
    {
        if (Interlocked.Increment(ref _signalCount) < 2) return;
        LogForced();
        _forced.Cancel();
    }

    [LoggerMessage(Level = LogLevel.Information, Message = "serving {Model} on silo {Silo}: map version {MapVersion}, {Slots} expert slots on {Silos} silos, {Tier} kernels, {Threads} threads; started in {StartMs:F0} ms")]
    private partial void LogServing(string model, SiloAddress silo, long mapVersion, int slots, int silos, KernelTier tier, int threads, double startMs);

    [LoggerMessage(Level = LogLevel.Information, Message = "products are computed in 8 bits (--compute w8a8): {SizeGb:F2} GB of memory hold the rounded weights")]
    private partial void LogInt8(double sizeGb);

    [LoggerMessage(Level = LogLevel.Information, Message = "waiting for silos: {Placed:P0} of the experts have a place on {Silos} silos")]
    private partial void LogWaiting(double placed, int silos);

    [LoggerMessage(Level = LogLevel.Information, Message = "the start was cut short")]
    private partial void LogStartCut();

    [LoggerMessage(Level = LogLevel.Critical, Message = "the silo cannot serve")]
    private partial void LogFailed(Exception exception);

    [LoggerMessage(Level = LogLevel.Information, Message = "asked to drain: this silo hands over its work and ends")]
    private partial void LogAskedToDrain();

    [LoggerMessage(Level = LogLevel.Information, Message = "draining: {Sequences} sequences, {Targets} other ranks")]
    private partial void LogDraining(int sequences, int targets);

    [LoggerMessage(Level = LogLevel.Information, Message = "{Sent} sequences handed over with their pages, {Others} otherwise")]
    private partial void LogHandedOver(int sent, int others);

    [LoggerMessage(Level = LogLevel.Warning, Message = "draining ended before everything had moved: {Sequences} sequences are computed anew elsewhere")]
    private partial void LogDrainCut(int sequences);

    [LoggerMessage(Level = LogLevel.Information, Message = "left the cluster")]
    private partial void LogLeft();

    [LoggerMessage(Level = LogLevel.Warning, Message = "the map grain does not answer: {Reason}")]
    private partial void LogNoAnswer(string reason);

    [LoggerMessage(Level = LogLevel.Warning, Message = "second signal: this silo leaves at once")]
    private partial void LogForced();
}
