using System.Collections.Concurrent;
using Microsoft.Extensions.Logging;

namespace Orleans.Runtime;

/// <summary>
/// Where grains live, over all silos: each active silo answers for a share of the grains. When silos come or go, the new owner of a share asks
/// every silo for the activations it has, and answers for the share only then: no grain gets a second activation meanwhile.
/// </summary>
internal sealed partial class GrainDirectory
{
    private static readonly TimeSpan RetryDelay = TimeSpan.FromMilliseconds(50);
    private const int MaxAttempts = 200;

    private readonly SiloRuntime _silo;
    private readonly ILogger _logger;
    private readonly DirectoryPartition _partition;
    private readonly ConcurrentDictionary<GrainId, GrainAddress> _own = new();
    private readonly Lock _gate = new();
    private DirectoryView _view = DirectoryView.Empty;
    private Task _completing = Task.CompletedTask;

    public GrainDirectory(SiloRuntime silo)
    {
        (_silo, _logger) = (silo, silo.Logger);
        _partition = new DirectoryPartition(silo.IsAlive);
    }

    private DirectoryView View => Volatile.Read(ref _view);

    /// <summary>The activation of a grain that is known to the directory; null if there is none.</summary>
    public async ValueTask<GrainAddress?> LookupAsync(GrainId grain) =>
        (await AskOwnerAsync(grain, (owner, version) => owner.Lookup(grain, version))).Address;

    /// <summary>Enters an activation of this silo unless another one lives. Returns the one that is entered now.</summary>
    public async ValueTask<GrainAddress> RegisterAsync(GrainAddress address, GrainAddress? previous)
    {
        while (true)
        {
            DirectoryAnswer answer = await AskOwnerAsync(address.GrainId, (owner, version) => owner.Register(address, previous, version));
            if (!address.Equals(answer.Address))
            {
                Forget(address);
                return answer.Address!;
            }
            _own[address.GrainId] = address;
            // If the membership changed meanwhile, the next owner may have asked this silo too early to hear of the activation.
            await CatchUpAsync(answer.Version);
            if (View.Version == answer.Version) return address;
        }
    }

    public async ValueTask UnregisterAsync(GrainAddress address)
    {
        Forget(address);
        try
        {
            await AskOwnerAsync(address.GrainId, (owner, version) => owner.Unregister(address, version));
        }
        catch (Exception e) when (e is OrleansException or TimeoutException)
        {
            // Whoever follows the entry here is told better.
            LogNotUnregistered(address, e.Message);
        }
    }

    /// <summary>The activation lives elsewhere now.</summary>
    public void Forget(GrainAddress address) => _own.TryRemove(KeyValuePair.Create(address.GrainId, address));

    public void OnMembershipChanged(ClusterMembershipSnapshot snapshot)
    {
        lock (_gate)
        {
            DirectoryView next = _view.Next(snapshot, _silo.Address);
            Volatile.Write(ref _view, next);
            _partition.Keep(grain => _silo.Address.Equals(next.OwnerOf(grain)));
            if (!next.IsComplete) _completing = Task.Run(() => CompleteAsync(next));
        }
    }

    public Task<DirectoryAnswer> AnswerLookupAsync(GrainId grain, long version) => AnswerAsync(grain, version, () => _partition.Find(grain));

    public Task<DirectoryAnswer> AnswerRegisterAsync(GrainAddress address, GrainAddress? previous, long version) =>
        AnswerAsync(address.GrainId, version, () => _partition.Register(address, previous));

    public Task<DirectoryAnswer> AnswerUnregisterAsync(GrainAddress address, long version) => AnswerAsync(address.GrainId, version, () =>
    {
        _partition.Unregister(address);
        return null;
    });

    public async Task<ActivationsAnswer> AnswerActivationsAsync(SiloAddress owner, long version)
    {
        await CatchUpAsync(version);
        DirectoryView view = View;
        return new ActivationsAnswer([.. _own.Values.Where(address => owner.Equals(view.OwnerOf(address.GrainId)))], view.Version);
    }

    /// <summary>Asks the silo that answers for a grain, also when that one changes meanwhile.</summary>
    private async ValueTask<DirectoryAnswer> AskOwnerAsync(GrainId grain, Func<ISiloControl, long, Task<DirectoryAnswer>> ask)
    {
        for (int attempt = 1; ; attempt++)
        {
            DirectoryView view = View;
            SiloAddress owner = view.OwnerOf(grain) ?? throw new SiloUnavailableException($"No silo answers for grain {grain}.");
            try
            {
                DirectoryAnswer answer = await ask(_silo.Control(owner), view.Version);
                if (answer.IsOwner) return answer;
                await CatchUpAsync(answer.Version);
            }
            catch (OrleansMessageRejectionException) when (attempt < MaxAttempts && !_silo.HasLeft)
            {
                // The owner is gone, but membership does not know yet: the calls for its grains pause until it does.
                if (ReferenceEquals(view, View)) await Task.Delay(RetryDelay, _silo.Clock);
            }
            if (attempt >= MaxAttempts) throw new SiloUnavailableException($"The directory's owner of grain {grain}, silo {owner}, cannot be asked.");
        }
    }

    /// <summary>Answers for a grain of the own share, once the share is complete.</summary>
    private async Task<DirectoryAnswer> AnswerAsync(GrainId grain, long version, Func<GrainAddress?> act)
    {
        await CatchUpAsync(version);
        while (true)
        {
            Task completing;
            lock (_gate)
            {
                if (!_silo.Address.Equals(_view.OwnerOf(grain))) return new DirectoryAnswer(null, false, _view.Version);
                if (_view.IsSettled(grain, _silo.Address)) return new DirectoryAnswer(act(), true, _view.Version);
                completing = _completing;
            }
            await completing;
        }
    }

    /// <summary>Waits for a version of the membership to arrive here too, which is a moment after the membership itself knows it.</summary>
    private async Task CatchUpAsync(long version)
    {
        while (View.Version < version)
        {
            await _silo.Membership.CatchUpAsync(version, CancellationToken.None);
            if (View.Version < version) await Task.Delay(TimeSpan.FromMilliseconds(1), _silo.Clock);
        }
    }

    /// <summary>Gathers the activations of the own share from all silos.</summary>
    private async Task CompleteAsync(DirectoryView view)
    {
        await Task.WhenAll(view.Live.Where(silo => !silo.Equals(_silo.Address)).Select(silo => GatherAsync(silo, view)));
        lock (_gate)
        {
            // A silo that is not active yet has no share that could be complete: it gathers when it gets one.
            if (!ReferenceEquals(_view, view) || !view.IsOwner(_silo.Address)) return;
            foreach (GrainAddress address in _own.Values)
                if (_silo.Address.Equals(view.OwnerOf(address.GrainId))) _partition.Register(address, null);
            Volatile.Write(ref _view, view.Complete());
        }
    }

    private async Task GatherAsync(SiloAddress silo, DirectoryView view)
    {
        while (ReferenceEquals(View, view))
        {
            try
            {
                ActivationsAnswer answer = await _silo.Control(silo).ActivationsOf(_silo.Address, view.Version);
                foreach (GrainAddress address in answer.Addresses) _partition.Register(address, null);
                // At a later version some grains may already be another silo's share: then this view is a thing of the past here too.
                if (answer.Version == view.Version) return;
                await CatchUpAsync(answer.Version);
            }
            catch (Exception e) when (!_silo.HasLeft)
            {
                // It is asked until it answers or is declared dead, which makes another view.
                LogNotGathered(silo, e.Message);
                await Task.Delay(RetryDelay, _silo.Clock);
            }
        }
    }

    [LoggerMessage(LogLevel.Debug, "{Address} could not be taken out of the directory: {Reason}")]
    private partial void LogNotUnregistered(GrainAddress address, string reason);

    [LoggerMessage(LogLevel.Debug, "Silo {Silo} has not told its activations: {Reason}")]
    private partial void LogNotGathered(SiloAddress silo, string reason);
}
