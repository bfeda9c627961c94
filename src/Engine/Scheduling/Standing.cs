namespace Conclave.Engine.Scheduling;

/// <summary>What decides about a sequence's turn.</summary>
/// <param name="Priority">Higher goes first.</param>
/// <param name="ArrivalMs">When it came, by the engine's clock.</param>
/// <param name="Number">How many came before it.</param>
/// <param name="Account">Its key's account.</param>
internal readonly record struct Standing(int Priority, long ArrivalMs, long Number, FairAccount Account);

/// <summary>
/// Who goes first, as pure functions. A level of priority is worth <c>agingMs</c> of waiting, so that nobody starves: since all age alike, a sequence's rank
/// never changes, and is a strict order in which the first of those that run can never be interrupted for another. Among those of one priority it is the keys' turn
/// that counts (<see cref="FairShare"/>), then arrival.
/// </summary>
internal static class QueueOrder
{
    /// <summary>The time at which a sequence of priority 0 would have had to come to rank alike.</summary>
    public static long VirtualArrivalMs(in Standing standing, long agingMs) => standing.ArrivalMs - (standing.Priority * agingMs);

    /// <summary>Whether <paramref name="a"/> ranks before <paramref name="b"/>: a strict total order.</summary>
    public static bool IsSenior(in Standing a, in Standing b, long agingMs)
    {
        long first = VirtualArrivalMs(a, agingMs), second = VirtualArrivalMs(b, agingMs);
        return first != second ? first < second : a.Number < b.Number;
    }

    /// <summary>Whether <paramref name="a"/> may take the place of <paramref name="b"/> in the batch: of higher priority, and <paramref name="b"/> has not aged past it.</summary>
    public static bool MayReplace(in Standing a, in Standing b, long agingMs) => a.Priority > b.Priority && IsSenior(a, b, agingMs);

    /// <summary>Whether <paramref name="a"/> goes before <paramref name="b"/>, which has the same priority.</summary>
    public static bool IsFairer(in Standing a, in Standing b) =>
        a.Account.Served != b.Account.Served ? a.Account.Served < b.Account.Served : a.Number < b.Number;
}
