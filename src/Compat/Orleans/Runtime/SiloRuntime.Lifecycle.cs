using System.Collections.Concurrent;
using System.Net;
using System.Net.Sockets;
using Orleans.Configuration;

namespace Orleans.Runtime;

/// <content>Joining and leaving the cluster.</content>
internal sealed partial class SiloRuntime
{
    private static readonly TimeSpan FarewellLimit = TimeSpan.FromSeconds(2);

    private readonly LocalSiloDetails _details;
    private readonly EndpointOptions _endpoints;
    private readonly IFatalErrorHandler _fatal;
    private readonly FailureDetector _detector;
    private readonly ConcurrentDictionary<Connection, byte> _accepted = new();
    private readonly List<ConnectionListener> _listeners = [];
    private readonly CancellationTokenSource _stop = new();
    private ITimer? _collector;
    private volatile bool _started;
    private volatile bool _isFallingSilent;
    private int _left;

    /// <summary>Whether the silo has left the cluster, of its own will or not.</summary>
    public bool HasLeft => Volatile.Read(ref _left) != 0;

    /// <summary>Opens the ports and joins; waits as long as the table cannot be reached.</summary>
    /// <exception cref="OrleansConfigurationException">A port is taken.</exception>
    public async Task JoinAsync(MembershipTable table, CancellationToken token)
    {
        try
        {
            Listen();
            Membership.Changed += OnMembershipChanged;
            Membership.DeclaredDead += OnDeclaredDead;
            Outgoing.ToldDead += Membership.OnDeclaredDead;
            _started = true;
            await Membership.EnterAsync(table, _details.Name, _endpoints.GatewayPort, token);
            await Membership.SetStatusAsync(SiloStatus.Active, token);
        }
        catch
        {
            Detach("The silo could not join.");
            await Membership.DisposeAsync();
            throw;
        }
        _ = Task.Run(() => _detector.RunAsync(_stop.Token), CancellationToken.None);
        _collector = Clock.CreateTimer(static silo => ((SiloRuntime)silo!).CollectIdle(), this, CollectionOptions.CollectionQuantum, CollectionOptions.CollectionQuantum);
    }

    /// <summary>Leaves: grains are deactivated and found elsewhere by their next call. A cancelled token drops them instead.</summary>
    public async Task LeaveAsync(CancellationToken token)
    {
        if (!_started || HasLeft) return;
        try
        {
            await Membership.SetStatusAsync(SiloStatus.ShuttingDown, token);
            _collector?.Dispose();
            await FallSilentAsync(token).WaitAsync(token);
        }
        catch (OperationCanceledException)
        {
            Logger.StopCut(Address, _activations.Count);
        }
        await SayFarewellAsync(token);
        Detach($"Silo {Address} was stopped.");
        await Membership.DisposeAsync();
    }

    /// <summary>A host that is disposed without being stopped ends like a silo that crashed.</summary>
    public override void Dispose()
    {
        base.Dispose();
        if (_started) Detach($"Silo {Address} was stopped.");
    }

    private void ThrowIfNotStarted()
    {
        if (!_started) throw new InvalidOperationException("The silo has not been started; grain calls work once the host runs.");
    }

    private void Listen()
    {
        IPEndPoint silos = _endpoints.SiloListeningEndpoint ?? Address.Endpoint;
        _listeners.Add(new ConnectionListener(silos, hello => Admit(hello, isGateway: false), OnAccepted, OpenLimit, Codecs, Logger));
        if (_endpoints.GatewayPort == 0) return;
        IPEndPoint clients = _endpoints.GatewayListeningEndpoint ?? new IPEndPoint(Address.Endpoint.Address, _endpoints.GatewayPort);
        _listeners.Add(new ConnectionListener(clients, hello => Admit(hello, isGateway: true), OnAccepted, OpenLimit, Codecs, Logger));
    }

    private Answer Admit(Hello hello, bool isGateway)
    {
        string? reason = hello.ClusterId != _details.ClusterId ? $"this is silo {Address} of cluster \"{_details.ClusterId}\", not of \"{hello.ClusterId}\""
            : hello.Caller.IsClient != isGateway ? $"silos connect to port {Address.Endpoint.Port}, clients to port {_endpoints.GatewayPort}"
            : hello.Callee.Generation != 0 && !hello.Callee.Equals(Address) ? $"this is silo {Address}"
            : HasLeft ? $"silo {Address} was stopped"
            : null;
        if (reason is not null) return new Answer(Admission.Refused, reason, Address);
        bool isDead = !isGateway && Membership.Current.GetSiloStatus(hello.Caller) == SiloStatus.Dead;
        return isDead
            ? new Answer(Admission.Dead, $"Silo {hello.Caller} was declared dead, as silo {Address} knows from the membership.", Address)
            : new Answer(Admission.Welcome, "", Address);
    }

    private void OnAccepted(Socket socket, SiloAddress caller)
    {
        var connection = new Connection(socket, caller, MaxFrameSize, Events);
        _accepted[connection] = 0;
        if (caller.IsClient) connection.Send(MembersFrame(MessageKind.Members));
        if (_isFallingSilent) connection.Send(MembersFrame(MessageKind.Leaving));
        connection.Start();
        if (HasLeft) connection.Close("the silo was stopped");
    }

    private byte[] MembersFrame(MessageKind kind) => MessageCodec.Write(new Message { Kind = kind, Body = Codecs.Serialize(Membership.Data) }, Codecs);

    private async Task DeactivateAllAsync()
    {
        // Requests under way may activate more grains here until everybody has seen the new status.
        while (!_activations.IsEmpty)
        {
            Activation[] all = [.. _activations.Values];
            foreach (Activation activation in all) activation.Deactivate(new DeactivationReason(DeactivationReasonCode.ShuttingDown, "The silo shuts down."));
            await Task.WhenAll(all.Select(activation => activation.Deactivated));
        }
    }

    private async Task SayFarewellAsync(CancellationToken token)
    {
        using var limit = new CancellationTokenSource(FarewellLimit, Clock);
        try
        {
            await Membership.SetStatusAsync(SiloStatus.Dead, token.IsCancellationRequested ? limit.Token : token);
            await Task.WhenAll(Outgoing.Open.Select(connection => connection.DrainAsync())).WaitAsync(limit.Token);
        }
        catch (OperationCanceledException)
        {
            Logger.LeftUnnoticed(Address);
        }
    }

    private void Detach(string reason)
    {
        if (Interlocked.Exchange(ref _left, 1) != 0) return;
        _stop.Cancel();
        _collector?.Dispose();
        foreach (ConnectionListener listener in _listeners) listener.Dispose();
        foreach (Activation activation in _activations.Values) activation.Abandon();
        _activations.Clear();
        FailAll(_ => new SiloUnavailableException(reason));
        Outgoing.Stop(reason);
        foreach (Connection connection in _accepted.Keys) connection.Close(reason);
    }

    private void OnMembershipChanged(ClusterMembershipSnapshot previous, ClusterMembershipSnapshot current)
    {
        foreach (ClusterMember member in current.Members.Values)
        {
            if (member.Status != SiloStatus.Dead || member.SiloAddress.Equals(Address) || previous.GetSiloStatus(member.SiloAddress) == SiloStatus.Dead) continue;
            if (previous.GetSiloStatus(member.SiloAddress) is SiloStatus.ShuttingDown or SiloStatus.Stopping) AfterLastAnswers(() => Forget(member.SiloAddress));
            else Forget(member.SiloAddress);
        }
        Directory.OnMembershipChanged(current);
        foreach (Connection connection in _accepted.Keys)
            if (connection.Peer.IsClient) connection.Send(MembersFrame(MessageKind.Members));
    }

    /// <summary>Breaks with a silo that is dead: calls of it and to it fail.</summary>
    private void Forget(SiloAddress silo)
    {
        // Should it live after all, it learns the verdict from its last message.
        if (Outgoing.Find(silo) is not null) _ = Control(silo).Gossip(Membership.Data);
        Outgoing.Drop(silo, "the silo was declared dead");
        foreach (Connection connection in _accepted.Keys)
            if (connection.Peer.Equals(silo)) connection.Close("the silo was declared dead");
        FailCallsTo(silo);
        _controls.TryRemove(silo, out _);
    }

    private void OnDeclaredDead(string reason) => _ = Task.Run(() =>
    {
        Logger.DeclaredDead(Address, reason);
        Detach(reason);
        _fatal.OnFatalException(this, reason);
    });

    private void CollectIdle()
    {
        foreach (Activation activation in _activations.Values)
        {
            TimeSpan age = CollectionOptions.ClassSpecificCollectionAge.TryGetValue(activation.Class.Type.FullName!, out TimeSpan own) ? own : CollectionOptions.CollectionAge;
            if (activation.IsIdle(age)) activation.Deactivate(new DeactivationReason(DeactivationReasonCode.ActivationIdle, "Nobody called for the collection age."));
        }
    }
}
