using System.Collections.Immutable;
using System.Net;
using Orleans.Runtime;

namespace Conclave.Compat.Tests.Orleans;

/// <summary>Which silo answers for which grain, and when it may.</summary>
public sealed class DirectoryViewTests
{
    private static readonly GrainId[] Grains = [.. Enumerable.Range(0, 3000).Select(i => GrainId.Create("test", $"key-{i}"))];

    private static SiloAddress Silo(int port) => SiloAddress.New(IPAddress.Loopback, port, 1);

    private static ClusterMembershipSnapshot Members(long version, params (int Port, SiloStatus Status)[] silos) =>
        new(silos.ToImmutableDictionary(silo => Silo(silo.Port), silo => new ClusterMember(Silo(silo.Port), silo.Status, "")), new MembershipVersion(version));

    [Fact]
    public void Grains_are_spread_evenly_and_only_those_of_a_silo_that_goes_change_hands()
    {
        DirectoryView three = DirectoryView.Empty.Next(Members(1, (1, SiloStatus.Active), (2, SiloStatus.Active), (3, SiloStatus.Active)), Silo(1));
        DirectoryView two = three.Next(Members(2, (1, SiloStatus.Active), (2, SiloStatus.Dead), (3, SiloStatus.Active)), Silo(1));
        foreach (IGrouping<SiloAddress?, GrainId> share in Grains.GroupBy(three.OwnerOf)) Assert.InRange(share.Count(), 800, 1200);
        foreach (GrainId grain in Grains)
        {
            if (Silo(2).Equals(three.OwnerOf(grain))) Assert.NotEqual(Silo(2), two.OwnerOf(grain));
            else Assert.Equal(three.OwnerOf(grain), two.OwnerOf(grain));
        }
    }

    [Fact]
    public void A_share_that_was_taken_over_is_not_settled_before_it_is_complete()
    {
        DirectoryView both = DirectoryView.Empty.Next(Members(1, (1, SiloStatus.Active), (2, SiloStatus.Active)), Silo(1));
        Assert.DoesNotContain(Grains, grain => both.IsSettled(grain, Silo(1)));
        both = both.Complete();
        Assert.All(Grains, grain => Assert.Equal(Silo(1).Equals(both.OwnerOf(grain)), both.IsSettled(grain, Silo(1))));
        DirectoryView one = both.Next(Members(2, (1, SiloStatus.Active), (2, SiloStatus.ShuttingDown)), Silo(1));
        Assert.False(one.IsComplete);
        Assert.All(Grains, grain => Assert.Equal(Silo(1), one.OwnerOf(grain)));
        Assert.All(Grains, grain => Assert.Equal(Silo(1).Equals(both.OwnerOf(grain)), one.IsSettled(grain, Silo(1))));
        Assert.Contains(Silo(2), one.Live);
    }

    [Fact]
    public void A_silo_that_joins_takes_nothing_that_the_others_have_to_ask_for()
    {
        DirectoryView one = DirectoryView.Empty.Next(Members(1, (1, SiloStatus.Active)), Silo(1)).Complete();
        DirectoryView joining = one.Next(Members(2, (1, SiloStatus.Active), (2, SiloStatus.Joining)), Silo(1));
        Assert.All(Grains, grain => Assert.Equal(Silo(1), joining.OwnerOf(grain)));
        DirectoryView two = joining.Next(Members(3, (1, SiloStatus.Active), (2, SiloStatus.Active)), Silo(1));
        Assert.All(Grains.Where(grain => Silo(1).Equals(two.OwnerOf(grain))), grain => Assert.True(two.IsSettled(grain, Silo(1))));
    }

    [Fact]
    public void A_silo_that_joins_knows_of_nothing_itself()
    {
        DirectoryView joining = DirectoryView.Empty.Next(Members(1, (2, SiloStatus.Active), (1, SiloStatus.Joining)), Silo(1)).Complete();
        DirectoryView active = joining.Next(Members(2, (2, SiloStatus.Active), (1, SiloStatus.Active)), Silo(1));
        Assert.False(active.IsComplete);
        Assert.DoesNotContain(Grains, grain => active.IsSettled(grain, Silo(1)));
    }

    [Fact]
    public void A_silo_that_came_and_went_unseen_had_grains_meanwhile()
    {
        DirectoryView one = DirectoryView.Empty.Next(Members(1, (1, SiloStatus.Active), (2, SiloStatus.Joining)), Silo(1)).Complete();
        DirectoryView later = one.Next(Members(5, (1, SiloStatus.Active), (2, SiloStatus.Dead)), Silo(1));
        Assert.All(Grains, grain => Assert.Equal(Silo(1), later.OwnerOf(grain)));
        Assert.False(later.IsComplete);
        Assert.Contains(Grains, grain => !later.IsSettled(grain, Silo(1)));
    }
}
