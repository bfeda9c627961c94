namespace Conclave.Grains.Transport;

/// <summary>
/// Who suspects whom, and when that is enough to declare a silo dead. With two silos one's word decides. With more, at least two must agree,
/// and a majority of those that live: the silos this one hears, and itself. Where a network has fallen apart, only the larger part may declare
/// the rest dead; of two halves the one with the first name, so that never both do. What no part may decide is left to Orleans' own, slower
/// detection. Names are whatever the caller uses for silos. Not for several threads.
/// </summary>
public sealed class FailureVerdicts
{
    private readonly Dictionary<string, HashSet<string>> _suspects = [];

    /// <summary><paramref name="reporter"/> suspects exactly these now; what it said before is forgotten.</summary>
    public void Report(string reporter, IEnumerable<string> suspects) => _suspects[reporter] = [.. suspects];

    /// <summary>A silo has left: neither its word nor a word about it counts any more.</summary>
    public void Forget(string silo)
    {
        _suspects.Remove(silo);
        foreach (HashSet<string> named in _suspects.Values) named.Remove(silo);
    }

    /// <summary>The silos to be declared dead, in ordinal order.</summary>
    /// <param name="self">This silo's name; its own suspicions are reported like the others'.</param>
    /// <param name="members">Every silo that is a member and not known to be dead, with this one.</param>
    public IReadOnlyList<string> Condemned(string self, IReadOnlyCollection<string> members)
    {
        HashSet<string> own = _suspects.GetValueOrDefault(self) ?? [];
        // Whom we do not hear ourselves has no vote: what it said last may be old.
        string[] voters = [.. members.Where(member => !own.Contains(member))];
        if (members.Count > 2 && !IsLargerPart(voters, members)) return [];
        return [.. members.Where(member => member != self && IsCondemned(member, members.Count, voters)).Order(StringComparer.Ordinal)];
    }

    private static bool IsLargerPart(string[] part, IReadOnlyCollection<string> members) =>
        2 * part.Length > members.Count || (2 * part.Length == members.Count && part.Contains(members.Min(StringComparer.Ordinal)));

    private bool IsCondemned(string member, int memberCount, string[] voters)
    {
        int votes = 0, others = 0;
        foreach (string voter in voters)
        {
            if (voter == member) continue;
            others++;
            if (_suspects.TryGetValue(voter, out HashSet<string>? named) && named.Contains(member)) votes++;
        }

        return memberCount == 2 ? votes == 1 : votes >= Math.Max(2, (others / 2) + 1);
    }
}
