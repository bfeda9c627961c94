using Conclave.Engine.Scheduling;

namespace Conclave.Engine;

/// <summary>Places in the batch and KV pages: who joins, who grows, who gives way.</summary>
internal sealed partial class Scheduler
{
    // Pages that stay free when a sequence joins are 1 a running sequence, but no more than this part of all: what runs can go on for a while before anyone has to give way.
    private const int HeadroomDivisor = 8;

    /// <summary>Sequences that wait because they gave way.</summary>
    public int PreemptedCount
    {
        get
        {
            int count = 0;
            foreach (Sequence sequence in _waiting)
                count += sequence.HasJoined ? 1 : 0;
            return count;
        }
    }

    /// <summary>How often a sequence gave way since the start.</summary>
    public long Preemptions { get; private set; }

    /// <summary>Tokens that had to be computed once more since the start, because their sequence gave way.</summary>
    public long RecomputedTokens { get; private set; }

    /// <summary>Tokens of sequences that gave way and whose pages were still there when they came back.</summary>
    public long RestoredTokens { get; private set; }

    /// <summary>Every running sequence gets room for all the tokens that it has, the last one sampled included; where there is none, whoever ranks last gives way.</summary>
    private void Grow()
    {
        for (int i = 0; i < _running.Count;)
        {
            Sequence sequence = _running[i];
            if (sequence.IsOver || memory.TryGrow(sequence.Pages, sequence.TokenCount))
            {
                i++;
                continue;
            }

            // It may be the sequence itself, or one before it in the list.
            Preempt(LastInRank()!);
            i = Math.Min(i, _running.IndexOf(sequence) is var place and >= 0 ? place : i);
        }
    }

    /// <summary>Rows that the pages of a decoding sequence have room for behind its last token; drafts may take a page that is to be had, but make nobody give way.</summary>
    private int RoomForDrafts(Sequence sequence)
    {
        if (sequence.DraftCount == 0)
            return 0;
        memory.TryGrow(sequence.Pages, sequence.TokenCount + sequence.DraftCount);
        return sequence.Pages.Capacity - sequence.TokenCount;
    }

    /// <summary>Lets waiting sequences join, in the order of <see cref="NextWaiting"/>; none overtakes one that waits for pages.</summary>
    private void Admit(long nowMs)
    {
        memory.TakeFetched();
        while (NextWaiting() is { } next && MakeRoom(next))
        {
            // Others may join while its pages are on their way from disk.
            if (!next.HasPages && memory.IsFetching(ref next.Fetch, next.Tokens, next.Request.CacheScope))
                continue;
            if (!TryTakePages(next))
                break;
            EndWait(next);
            if (!next.HasJoined)
            {
                onJoin?.Invoke(nowMs - next.Standing.ArrivalMs);
                FairShare.Charge(next.Standing.Account, next.TokenCount - next.Pages.Length, 0);
            }

            int place = _running.Count;
            while (place > 0 && _running[place - 1].Standing.Priority < next.Standing.Priority)
                place--;
            _running.Insert(place, next);
            next.Join();
        }
    }

    /// <summary>
    /// Who joins next. Those that hold pages; else of the priority of whoever ranks first those that gave way, by rank, then the rest by their keys' turn.
    /// </summary>
    private Sequence? NextWaiting()
    {
        Sequence? first = null;
        foreach (Sequence sequence in _waiting)
        {
            if (!IsReady(sequence))
                continue;
            if (sequence.HasPages)
                return sequence;
            if (first is null || IsSenior(sequence, first))
                first = sequence;
        }

        Sequence? next = first;
        foreach (Sequence sequence in _waiting)
        {
            if (IsReady(sequence) && sequence.Standing.Priority == first!.Standing.Priority && GoesBefore(sequence, next!))
                next = sequence;
        }

        return next;
    }

    private static bool IsReady(Sequence sequence) => !sequence.IsOver && sequence.Fetch is not { IsDone: false };

    private bool GoesBefore(Sequence a, Sequence b)
    {
        if (a.HasJoined != b.HasJoined)
            return a.HasJoined;
        return a.HasJoined ? IsSenior(a, b) : QueueOrder.IsFairer(a.Standing, b.Standing);
    }

    private bool IsSenior(Sequence a, Sequence b) => QueueOrder.IsSenior(a.Standing, b.Standing, options.AgingMs);

    /// <summary>Sees to a place and pages for <paramref name="next"/>, if need be those of sequences of lower priority; nobody is interrupted where it is plain that it would be in vain.</summary>
    private bool MakeRoom(Sequence next)
    {
        int needed = PagesNeeded(next);
        int places = options.MaxBatch - _running.Count, pages = memory.AvailableCount;
        foreach (Sequence running in _running)
        {
            if (!QueueOrder.MayReplace(next.Standing, running.Standing, options.AgingMs))
                continue;
            places++;
            pages += running.Pages.PageCount;
        }

        if (places == 0 || pages < needed)
            return false;
        while (_running.Count == options.MaxBatch || memory.AvailableCount < needed + Math.Min(_running.Count, memory.PageCount / HeadroomDivisor))
        {
            Sequence last = LastInRank()!;
            if (!QueueOrder.MayReplace(next.Standing, last.Standing, options.AgingMs))
                return false;
            Preempt(last);
            needed = PagesNeeded(next);
        }

        return true;
    }

    /// <summary>Pages that <paramref name="next"/> would take from those that can be had.</summary>
    private int PagesNeeded(Sequence next) => next.HasPages
        ? memory.PagesFor(next.TokenCount) - next.Pages.PageCount
        : memory.PagesNeeded(next.Tokens, next.Request.CacheScope, next.TokenCount);

    private bool TryTakePages(Sequence next)
    {
        if (next.HasPages)
            return memory.TryGrow(next.Pages, next.TokenCount);
        if (!memory.TryAdmit(next.Tokens, next.Request.CacheScope, next.TokenCount, next.Pages, out int cachedTokens))
            return false;
        if (next.HasJoined)
        {
            RestoredTokens += next.Pages.Length;
            RecomputedTokens += Math.Max(0, next.LostTokens - next.Pages.Length);
        }
        else
        {
            next.CachedTokens = Math.Min(cachedTokens, next.Request.PromptTokens / memory.PageTokens * memory.PageTokens);
        }

        return true;
    }

    /// <summary>The last in rank of those that hold pages, running or not.</summary>
    private Sequence? LastInRank()
    {
        Sequence? last = null;
        foreach (Sequence sequence in _running)
            last = last is null || IsSenior(last, sequence) ? sequence : last;
        foreach (Sequence sequence in _waiting)
        {
            if (sequence.HasPages && (last is null || IsSenior(last, sequence)))
                last = sequence;
        }

        return last;
    }

    /// <summary>Takes the pages of <paramref name="sequence"/>, and its place in the batch if it has one. What was full of them can still be found until it is evicted.</summary>
    private void Preempt(Sequence sequence)
    {
        if (_running.Remove(sequence))
        {
            Preemptions++;
            Wait(sequence);
        }

        sequence.LostTokens = sequence.Pages.Length;
        sequence.DraftCount = 0;
        sequence.Fetch = null;
        memory.Release(sequence.Pages);
    }

    /// <summary>Charges what <paramref name="sequence"/> was served since the last time, and makes its full pages findable.</summary>
    private void Settle(Sequence sequence)
    {
        FairShare.Charge(sequence.Standing.Account, 0, sequence.OutputCount - sequence.ChargedOutput);
        sequence.ChargedOutput = sequence.OutputCount;
        if (!sequence.HasFailed)
            memory.Publish(sequence.Request.CacheScope, sequence.Tokens, sequence.Pages);
    }
}
