using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;

namespace Orleans.Runtime;

/// <content>Joining and leaving the cluster.</content>
internal sealed partial class SiloRuntime
{
    private ITimer? _collector;
    private string _name = "";
    private bool _left;

    public void Join(ClusterState cluster, string name, int gatewayPort)
    {
        (_cluster, _name) = (cluster, name);
        InProcessNetwork.Attach(Address, gatewayPort, OnFrame);
        cluster.Membership.Set(Address, SiloStatus.Joining, name);
        cluster.Membership.Changed += OnMembershipChanged;
        cluster.Membership.Set(Address, SiloStatus.Active, name);
        _collector = Clock.CreateTimer(static silo => ((SiloRuntime)silo!).CollectIdle(), this, CollectionOptions.CollectionQuantum, CollectionOptions.CollectionQuantum);
    }

    /// <summary>Leaves: grains are deactivated and found elsewhere by their next call. A cancelled token drops them instead.</summary>
    public async Task LeaveAsync(CancellationToken token)
    {
        if (_cluster is null || _left) return;
        Cluster.Membership.Set(Address, SiloStatus.ShuttingDown, _name);
        _collector?.Dispose();
        try
        {
            await DeactivateAllAsync().WaitAsync(token);
        }
        catch (OperationCanceledException)
        {
            Logger.StopCut(Address, _activations.Count);
        }
        Detach();
        Cluster.Membership.Set(Address, SiloStatus.Dead, _name);
    }

    /// <summary>A host that is disposed without being stopped leaves like a silo that crashed.</summary>
    public override void Dispose()
    {
        base.Dispose();
        if (_cluster is null || _left) return;
        Detach();
        Cluster.Membership.Set(Address, SiloStatus.Dead, _name);
    }

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

    private void Detach()
    {
        if (_left) return;
        _left = true;
        _collector?.Dispose();
        Cluster.Membership.Changed -= OnMembershipChanged;
        InProcessNetwork.Detach(Address);
        foreach (Activation activation in _activations.Values) activation.Abandon();
        _activations.Clear();
        FailAll(_ => new SiloUnavailableException($"Silo {Address} was stopped."));
    }

    private void OnMembershipChanged(ClusterMember member)
    {
        if (member.Status != SiloStatus.Dead) return;
        if (!member.SiloAddress.Equals(Address))
        {
            FailCallsTo(member.SiloAddress);
            return;
        }
        Logger.DeclaredDead(Address);
        Detach();
        (Services.GetService(typeof(IHostApplicationLifetime)) as IHostApplicationLifetime)?.StopApplication();
    }

    private void CollectIdle()
    {
        foreach (Activation activation in _activations.Values)
        {
            TimeSpan age = CollectionOptions.ClassSpecificCollectionAge.TryGetValue(activation.Class.Type.FullName!, out TimeSpan own) ? own : CollectionOptions.CollectionAge;
            if (activation.IsIdle(age)) activation.Deactivate(new DeactivationReason(DeactivationReasonCode.ActivationIdle, "Nobody called for the collection age."));
        }
    }
}
