namespace Orleans.Runtime;

/// <summary>What a silo answers about a grain's place.</summary>
/// <param name="Address">Where the grain lives; null if nowhere.</param>
/// <param name="IsOwner">Whether the silo answers for the grain at all; if not, the caller should look at the membership again.</param>
/// <param name="Version">The version of the membership that the answer rests on.</param>
[GenerateSerializer, Immutable]
internal sealed record DirectoryAnswer([property: Id(0)] GrainAddress? Address, [property: Id(1)] bool IsOwner, [property: Id(2)] long Version);

/// <summary>The activations of a silo whose grains are in another silo's share, at a version of the membership.</summary>
[GenerateSerializer, Immutable]
internal sealed record ActivationsAnswer([property: Id(0)] GrainAddress[] Addresses, [property: Id(1)] long Version);

/// <summary>Which silo answers for which grain, at one version of the membership.</summary>
internal sealed class DirectoryView
{
    private readonly Ring _owners;

    /// <summary>The ring of everybody who may have been an owner since the own part was last known to be complete; null if it never was.</summary>
    private readonly Ring? _owedBy;

    private DirectoryView(long version, Ring owners, Ring? owedBy, HashSet<SiloAddress> seen, SiloAddress[] live) =>
        (Version, _owners, _owedBy, Seen, Live) = (version, owners, owedBy, seen, live);

    public static DirectoryView Empty { get; } = new(0, new Ring([]), null, [], []);

    public long Version { get; }

    /// <summary>Silos that may hold activations.</summary>
    public SiloAddress[] Live { get; }

    /// <summary>The silos that are or were active, as far as they were seen.</summary>
    private HashSet<SiloAddress> Seen { get; }

    /// <summary>The view of a silo after a change of the membership.</summary>
    public DirectoryView Next(ClusterMembershipSnapshot snapshot, SiloAddress self)
    {
        SiloAddress[] live = [.. snapshot.Members.Values.Where(member => member.Status is SiloStatus.Active or SiloStatus.ShuttingDown or SiloStatus.Stopping).Select(member => member.SiloAddress)];
        SiloAddress[] active = [.. live.Where(silo => snapshot.GetSiloStatus(silo) == SiloStatus.Active)];
        var owners = new Ring(active.Length > 0 ? active : live);
        // A silo that came and went between two views owned grains meanwhile; one that becomes an owner itself knows of nothing yet.
        SiloAddress[] missed = [.. snapshot.Members.Values.Where(member => member.Status >= SiloStatus.Active && !Seen.Contains(member.SiloAddress)).Select(member => member.SiloAddress)];
        Ring? owedBy = _owedBy is null || !_owners.Silos.Contains(self) ? null : new Ring([.. _owedBy.Silos.Union(owners.Silos).Union(missed)]);
        return new DirectoryView(snapshot.Version.Value, owners, owedBy, [.. Seen, .. missed], live);
    }

    /// <summary>This view once the own part of the directory is complete.</summary>
    public DirectoryView Complete() => new(Version, _owners, _owners, Seen, Live);

    /// <summary>Whether the own part of the directory holds all that is active.</summary>
    public bool IsComplete => _owedBy is not null && _owedBy.Silos.SequenceEqual(_owners.Silos);

    /// <summary>Whether a silo has a share in the directory.</summary>
    public bool IsOwner(SiloAddress silo) => _owners.Silos.Contains(silo);

    /// <summary>The silo that answers for a grain; null if there is none.</summary>
    public SiloAddress? OwnerOf(GrainId grain) => _owners.OwnerOf(grain);

    /// <summary>Whether a silo has answered for a grain all the time, so that its part holds the grain if it is active.</summary>
    public bool IsSettled(GrainId grain, SiloAddress self) => _owedBy is not null && self.Equals(_owedBy.OwnerOf(grain));

    /// <summary>Rendezvous hashing: each grain belongs to the silo with which it has the highest score, so only the grains of silos that come or go change hands.</summary>
    private sealed class Ring(SiloAddress[] silos)
    {
        private readonly uint[] _hashes = [.. silos.Order().Select(silo => StableHash.Of(silo.ToParsableString()))];

        public SiloAddress[] Silos { get; } = [.. silos.Order()];

        public SiloAddress? OwnerOf(GrainId grain)
        {
            uint hash = StableHash.Of(grain.Key.AsSpan(), StableHash.Of(grain.Type.Value.AsSpan()));
            SiloAddress? best = null;
            ulong bestScore = 0;
            for (int i = 0; i < _hashes.Length; i++)
            {
                ulong score = (hash ^ _hashes[i]) * 0x9E3779B97F4A7C15UL;
                score = (score ^ (score >> 29)) * 0xBF58476D1CE4E5B9UL;
                score ^= score >> 32;
                if (best is not null && score <= bestScore) continue;
                (best, bestScore) = (Silos[i], score);
            }
            return best;
        }
    }
}
