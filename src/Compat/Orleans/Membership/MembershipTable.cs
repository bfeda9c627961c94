using System.Collections.Immutable;
using System.Runtime.CompilerServices;

namespace Orleans.Runtime;

/// <summary>The membership of a cluster whose silos share this process.</summary>
internal sealed class MembershipTable
{
    private readonly Lock _gate = new();
    private Version _latest = new(new ClusterMembershipSnapshot(ImmutableDictionary<SiloAddress, ClusterMember>.Empty, new MembershipVersion(0)));

    /// <summary>Raised after each change of a member.</summary>
    public event Action<ClusterMember>? Changed;

    public ClusterMembershipSnapshot Current => Volatile.Read(ref _latest).Snapshot;

    /// <summary>Changes a member; false if it is dead already, which is final.</summary>
    public bool Set(SiloAddress silo, SiloStatus status, string name)
    {
        var member = new ClusterMember(silo, status, name);
        Version previous;
        lock (_gate)
        {
            previous = _latest;
            ClusterMembershipSnapshot old = previous.Snapshot;
            if (old.Members.TryGetValue(silo, out ClusterMember? known) && (known.Status == SiloStatus.Dead || known.Equals(member))) return false;
            _latest = new Version(new ClusterMembershipSnapshot(old.Members.SetItem(silo, member), new MembershipVersion(old.Version.Value + 1)));
        }
        previous.Next.SetResult();
        Changed?.Invoke(member);
        return true;
    }

    public async IAsyncEnumerable<ClusterMembershipSnapshot> Updates([EnumeratorCancellation] CancellationToken token = default)
    {
        while (true)
        {
            Version version = Volatile.Read(ref _latest);
            yield return version.Snapshot;
            await version.Next.Task.WaitAsync(token);
        }
    }

    private sealed class Version(ClusterMembershipSnapshot snapshot)
    {
        public ClusterMembershipSnapshot Snapshot { get; } = snapshot;

        /// <summary>Completes when there is a newer version.</summary>
        public TaskCompletionSource Next { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);
    }
}

/// <summary>The membership as services of a silo see it.</summary>
internal sealed class ClusterMembershipService(SiloRuntime silo) : IClusterMembershipService
{
    public ClusterMembershipSnapshot CurrentSnapshot => silo.Cluster.Membership.Current;

    public IAsyncEnumerable<ClusterMembershipSnapshot> MembershipUpdates => silo.Cluster.Membership.Updates();

    public ValueTask Refresh(MembershipVersion minimumVersion = default, CancellationToken cancellationToken = default) => default;

    public Task<bool> TryKill(SiloAddress siloAddress)
    {
        MembershipTable membership = silo.Cluster.Membership;
        string name = membership.Current.Members.TryGetValue(siloAddress, out ClusterMember? member) ? member.Name : siloAddress.ToString();
        membership.Set(siloAddress, SiloStatus.Dead, name);
        return Task.FromResult(membership.Current.GetSiloStatus(siloAddress) == SiloStatus.Dead);
    }
}

/// <inheritdoc cref="ILocalSiloDetails"/>
internal sealed class LocalSiloDetails : ILocalSiloDetails
{
    public LocalSiloDetails(Microsoft.Extensions.Options.IOptions<Configuration.EndpointOptions> endpoints, Microsoft.Extensions.Options.IOptions<Configuration.ClusterOptions> cluster, Microsoft.Extensions.Options.IOptions<Configuration.SiloOptions> silo)
    {
        int generation = SiloAddress.AllocateNewGeneration();
        ClusterId = cluster.Value.ClusterId;
        SiloAddress = SiloAddress.New(endpoints.Value.AdvertisedIPAddress, endpoints.Value.SiloPort, generation);
        GatewayAddress = SiloAddress.New(endpoints.Value.AdvertisedIPAddress, endpoints.Value.GatewayPort, generation);
        Name = string.IsNullOrEmpty(silo.Value.SiloName) ? $"Silo_{SiloAddress}" : silo.Value.SiloName;
    }

    public string Name { get; }

    public string ClusterId { get; }

    public string DnsHostName => Environment.MachineName;

    public SiloAddress SiloAddress { get; }

    public SiloAddress GatewayAddress { get; }
}
