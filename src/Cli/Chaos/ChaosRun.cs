using System.Collections.Concurrent;
using System.Diagnostics;
using Conclave.Cli.Admin;
using Conclave.Cli.Local;
using Conclave.Grains;

namespace Conclave.Cli.Chaos;

/// <summary>
/// Works through the schedule on a cluster under load. Between two events the cluster becomes whole again (every expert in all its replicas, every silo
/// in service), so that it is always able to serve: what is shown is that no single blow is felt, not that a cluster without members answers.
/// </summary>
internal sealed class ChaosRun(LocalCluster cluster, AdminClient admin, int silos, int replicas, Action<string> report)
{
    private static readonly TimeSpan WholeLimit = TimeSpan.FromMinutes(2), LeaveLimit = TimeSpan.FromMinutes(2), WakeLimit = TimeSpan.FromMinutes(2), AnswerLimit = TimeSpan.FromSeconds(20), Poll = TimeSpan.FromMilliseconds(100);

    private readonly List<Disturbance> _disturbances = [];
    private readonly List<Task> _background = [];
    private readonly ConcurrentQueue<string> _faults = new();
    private volatile Member[] _silos = [.. cluster.Alive(MemberKind.Silo)], _gateways = [.. cluster.Alive(MemberKind.Gateway)];
    private long _started;

    /// <summary>Gateways that serve.</summary>
    public IReadOnlyList<Member> Gateways => _gateways;

    /// <summary>What was done, in order.</summary>
    public IReadOnlyList<Disturbance> Disturbances => _disturbances;

    /// <summary>What went otherwise than it must, apart from answers.</summary>
    public IReadOnlyCollection<string> Faults => _faults;

    /// <summary>Events that were left out for want of time.</summary>
    public int Skipped { get; private set; }

    /// <summary>Runs until the schedule or the time ends, then waits until the cluster is whole.</summary>
    public async Task Run(IReadOnlyList<ChaosEvent> events, int durationMs, CancellationToken cancellationToken)
    {
        _started = Stopwatch.GetTimestamp();
        for (int i = 0; i < events.Count; i++)
        {
            ChaosEvent next = events[i];
            TimeSpan early = TimeSpan.FromMilliseconds(next.AtMs) - Stopwatch.GetElapsedTime(_started);
            if (early > TimeSpan.Zero) await Task.Delay(early, cancellationToken);
            if (Stopwatch.GetElapsedTime(_started).TotalMilliseconds > durationMs - ChaosPlan.MarginMs)
            {
                Skipped = events.Count - i;
                break;
            }

            long began = Stopwatch.GetTimestamp();
            int at = _disturbances.Count;
            string name = await Do(next, cancellationToken);
            bool overlapped = i + 1 < events.Count && events[i + 1].Overlaps;
            if (!overlapped) await BecomeWhole($"{next.Kind} of {name}", cancellationToken);
            _disturbances.Insert(at, new Disturbance(next.Kind, name, began, Stopwatch.GetTimestamp()));
            report($"{At(began)} {Word(next.Kind)} {name}; whole after {Stopwatch.GetElapsedTime(began).TotalSeconds:F1} s");
        }

        await Task.WhenAll(_background);
        TimeSpan left = TimeSpan.FromMilliseconds(durationMs) - Stopwatch.GetElapsedTime(_started);
        if (left > TimeSpan.Zero) await Task.Delay(left, cancellationToken);
    }

    private async Task<string> Do(ChaosEvent next, CancellationToken cancellationToken)
    {
        ChaosKind kind = next.Kind;
        // A silo may have come back to itself, or another may be lost without our doing: the rule of how many must live comes before the schedule.
        _silos = [.. _silos.Where(silo => silo.IsAlive)];
        if (kind is ChaosKind.Kill or ChaosKind.Stop or ChaosKind.Drain && _silos.Length <= ChaosPlan.Least(silos)) kind = ChaosKind.Join;
        if (kind == ChaosKind.Join) return await Join(cancellationToken);
        if (kind == ChaosKind.Gateway) return await ReplaceGateway(_gateways[next.Pick % _gateways.Length], cancellationToken);
        Member silo = _silos[next.Pick % _silos.Length];
        switch (kind)
        {
            case ChaosKind.Kill:
                _silos = [.. _silos.Where(other => other != silo)];
                silo.Process.Send(Signal.Kill);
                break;
            case ChaosKind.Stop:
                await Stop(silo, next, cancellationToken);
                break;
            default:
                _silos = [.. _silos.Where(other => other != silo)];
                await Drain(silo, cancellationToken);
                break;
        }

        return silo.Name;
    }

    private async Task<string> Join(CancellationToken cancellationToken)
    {
        Member silo = cluster.StartSilo();
        await cluster.WaitForReady(silo, cancellationToken);
        _silos = [.. _silos, silo];
        return silo.Name;
    }

    private async Task<string> ReplaceGateway(Member gateway, CancellationToken cancellationToken)
    {
        _gateways = [.. _gateways.Where(other => other != gateway)];
        gateway.Process.Send(Signal.Kill);
        Member next = cluster.StartGateway();
        await cluster.WaitForReady(next, cancellationToken);
        _gateways = [.. _gateways, next];
        return gateway.Name;
    }

    private async Task Drain(Member silo, CancellationToken cancellationToken)
    {
        string address = SiloNames.Find((await admin.AskMap(map => map.Current(), cancellationToken)).Silos, silo.Name).Silo;
        await admin.AskMap(map => map.Drain(address), cancellationToken);
        if (!await silo.Process.WaitForExit(LeaveLimit, cancellationToken)) _faults.Enqueue($"{silo.Name} was drained but has not ended after {LeaveLimit.TotalSeconds:F0} s");
        else if (await cluster.ExitCode(silo) is not 0 and var code) _faults.Enqueue($"{silo.Name} was drained and ended with {code}, not 0");
    }

    /// <summary>Frozen for long, a silo is given up by the others; when it wakes up it must find that out and end. Frozen for a moment, it may go on.</summary>
    private async Task Stop(Member silo, ChaosEvent next, CancellationToken cancellationToken)
    {
        silo.Process.Send(Signal.Stop);
        bool isShort = next.HoldMs < 1_000;
        if (!isShort) _silos = [.. _silos.Where(other => other != silo)];
        Task wake = Wake(silo, next, cancellationToken);
        if (isShort) await wake;
        else _background.Add(wake);
    }

    private async Task Wake(Member silo, ChaosEvent next, CancellationToken cancellationToken)
    {
        await Task.Delay(next.HoldMs, cancellationToken);
        silo.Process.Send(next.Resumes || next.HoldMs < 1_000 ? Signal.Continue : Signal.Kill);
        // A member of the cluster goes on; who was given up must notice and end, with an exit code that says so.
        long woke = Stopwatch.GetTimestamp();
        while (silo.IsAlive && Stopwatch.GetElapsedTime(woke) < WakeLimit)
        {
            if (Stopwatch.GetElapsedTime(woke) > TimeSpan.FromSeconds(2) && (await admin.AskMap(map => map.Current(), cancellationToken)).Silos.Any(offer => offer.Name == silo.Name))
            {
                _silos = [.. _silos.Where(other => other != silo), silo];
                return;
            }

            await Task.Delay(Poll, cancellationToken);
        }

        _silos = [.. _silos.Where(other => other != silo)];
        if (silo.IsAlive) _faults.Enqueue($"{silo.Name} was given up while it was frozen, woke up, and did not end");
        else if (await cluster.ExitCode(silo) is 0) _faults.Enqueue($"{silo.Name} was given up while it was frozen, and ended with 0 as if nothing had happened");
    }

    /// <summary>Waits until every silo that lives serves, and every expert is held as often as wished.</summary>
    private async Task BecomeWhole(string after, CancellationToken cancellationToken)
    {
        long began = Stopwatch.GetTimestamp();
        string missing = "no answer";
        while (Stopwatch.GetElapsedTime(began) < WholeLimit)
        {
            try
            {
                PlacementStatus placement = await admin.Map.Placement().WaitAsync(AnswerLimit, cancellationToken);
                if (Wholeness.Missing(placement, [.. _silos.Where(silo => silo.IsAlive).Select(silo => silo.Name)], replicas) is not { } why) return;
                missing = why;
            }
            catch (Exception e) when (!cancellationToken.IsCancellationRequested)
            {
                // The map grain is on its way to another silo.
                missing = e.Message;
            }

            await Task.Delay(Poll, cancellationToken);
        }

        _faults.Enqueue($"the cluster is not whole {WholeLimit.TotalSeconds:F0} s after {after}: {missing}");
    }

    private string At(long ticks) => $"{Stopwatch.GetElapsedTime(_started, ticks).TotalSeconds,6:F1} s:";

    private static string Word(ChaosKind kind) => kind switch { ChaosKind.Kill => "killed", ChaosKind.Stop => "stopped", ChaosKind.Join => "joined", ChaosKind.Drain => "drained", _ => "killed" };
}

/// <summary>Whether a cluster has all that it should have.</summary>
internal static class Wholeness
{
    /// <summary>What is still missing; null when nothing is.</summary>
    public static string? Missing(PlacementStatus placement, IReadOnlyCollection<string> silos, int replicas)
    {
        ClusterView view = placement.View;
        string[] members = [.. view.Silos.Select(offer => offer.Name)];
        if (!members.Order().SequenceEqual(silos.Order())) return $"members are {string.Join(", ", members)} instead of {string.Join(", ", silos)}";
        if (view.Draining.Length > 0) return "a silo drains";
        if (view.Ranks.Length != view.Silos.Count(offer => offer.Attention)) return $"{view.Ranks.Length} ranks serve";
        if (placement.Target is { } target) return $"map version {target.Version} is in preparation";
        if (view.MissingExperts > 0) return $"{view.MissingExperts} experts have no place";
        int due = Math.Min(replicas, view.Silos.Count(offer => offer.Slots > 0));
        int few = view.Map.Replicas.Count(slots => slots.Length > 0 && slots.Select(slot => SiloOf(view.Map.SlotKeys[slot])).Distinct().Count() < due);
        return few > 0 ? $"{few} experts have fewer than {due} replicas" : null;
    }

    private static string SiloOf(string slotKey) => SiloKey.Silo(slotKey).ToParsableString();
}
