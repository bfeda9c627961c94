using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace Conclave.Grains;

/// <summary>
/// The replicas of one layer on the slots while it is planned. Every slot has seats; replicas that a slot holds from the previous map stay where seats and
/// counts allow it, the others are put on the lightest slot that is far from the expert's other replicas.
/// </summary>
internal sealed class LayerPlacement
{
    private readonly SlotTopology _slots;
    private readonly int[] _seats;
    private readonly int[] _counts;
    private readonly int _spread;
    private readonly int _first;
    private readonly bool[] _held;
    private readonly bool[] _on;
    private readonly List<int>[] _experts;
    private readonly List<int>[] _places;
    // Experts that two slots share, [slot * slots + other].
    private readonly int[] _pairs;

    /// <param name="slots">The slots.</param>
    /// <param name="seats">Replicas that each slot takes.</param>
    /// <param name="counts">Replicas of each expert; their sum is that of the seats.</param>
    /// <param name="loads">Load of each expert.</param>
    /// <param name="spread">Different silos (hosts, zones, as far as there are so many) that each expert is to be on.</param>
    /// <param name="held">What the slots hold already, <c>[expert * slots + slot]</c>.</param>
    /// <param name="first">The slot that is filled first: if it were the same in all layers, their hottest experts would meet on it.</param>
    public LayerPlacement(SlotTopology slots, int[] seats, int[] counts, double[] loads, int spread, bool[] held, int first)
    {
        (_slots, _seats, _counts, _spread, _held, _first) = (slots, seats, counts, spread, held, first);
        Load = [.. loads.Select((load, expert) => load / Math.Max(counts[expert], 1))];
        SlotLoads = new double[slots.Count];
        _on = new bool[held.Length];
        _pairs = new int[slots.Count * slots.Count];
        _experts = [.. seats.Select(count => new List<int>(count + 1))];
        _places = [.. counts.Select(count => new List<int>(count + 1))];
        for (int expert = 0; expert < counts.Length; expert++)
            for (int slot = 0; slot < slots.Count; slot++)
                if (held[(expert * slots.Count) + slot]) Add(expert, slot);
        foreach (int expert in Enumerable.Range(0, counts.Length)) DropSurplus(expert);
        for (int slot = 0; slot < slots.Count; slot++) DropOverfull(slot);
        foreach (int expert in Enumerable.Range(0, counts.Length).OrderByDescending(expert => Load[expert])) AddMissing(expert);
        if (spread > 1) Separate();
    }

    /// <summary>Load of one replica of each expert.</summary>
    public double[] Load { get; }

    /// <summary>Load of each slot.</summary>
    public double[] SlotLoads { get; }

    /// <summary>Experts on <paramref name="slot"/>.</summary>
    public ReadOnlySpan<int> Experts(int slot) => CollectionsMarshal.AsSpan(_experts[slot]);

    /// <summary>Slots of <paramref name="expert"/>, ascending.</summary>
    public int[] Places(int expert) => [.. _places[expert].Order()];

    /// <summary>Whether <paramref name="expert"/> is on <paramref name="slot"/>.</summary>
    public bool IsOn(int expert, int slot) => _on[(expert * _slots.Count) + slot];

    /// <summary>Whether the previous map has <paramref name="expert"/> on <paramref name="slot"/>.</summary>
    public bool IsHeld(int expert, int slot) => _held[(expert * _slots.Count) + slot];

    /// <summary>Replicas to load more if <paramref name="expert"/> goes from one slot to another: -1 to 1.</summary>
    public int MoveCost(int expert, int from, int to) => (IsHeld(expert, from) ? 1 : 0) - (IsHeld(expert, to) ? 1 : 0);

    /// <summary>Different silos, hosts and zones that <paramref name="expert"/> lacks more if it goes from one slot to another; below 0 its replicas are further apart.</summary>
    public int MoveShortfall(int expert, int from, int to) => _spread == 1 ? 0 : Shortfall(expert, from, to) - Shortfall(expert, from, from);

    /// <summary>Puts <paramref name="a"/> where <paramref name="b"/> is and the other way round. Neither may be on the other's slot.</summary>
    public void Swap(int a, int slotA, int b, int slotB)
    {
        Remove(a, slotA);
        Remove(b, slotB);
        Add(a, slotB);
        Add(b, slotA);
    }

    /// <summary>Replicas on slots that did not hold them.</summary>
    public int MovedCount()
    {
        int moved = 0;
        for (int i = 0; i < _on.Length; i++)
            if (_on[i] && !_held[i]) moved++;
        return moved;
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private int Nearness(int expert, int slot, int except)
    {
        int sum = 0;
        foreach (int other in _places[expert])
            if (other != except) sum += _slots.Nearness(slot, other);
        return sum;
    }

    private void Add(int expert, int slot)
    {
        _on[(expert * _slots.Count) + slot] = true;
        _experts[slot].Add(expert);
        CountPairs(expert, slot, 1);
        _places[expert].Add(slot);
        SlotLoads[slot] += Load[expert];
    }

    private void Remove(int expert, int slot)
    {
        _on[(expert * _slots.Count) + slot] = false;
        _experts[slot].Remove(expert);
        _places[expert].Remove(slot);
        CountPairs(expert, slot, -1);
        SlotLoads[slot] -= Load[expert];
    }

    private void CountPairs(int expert, int slot, int change)
    {
        foreach (int other in _places[expert])
        {
            _pairs[(slot * _slots.Count) + other] += change;
            _pairs[(other * _slots.Count) + slot] += change;
        }
    }

    /// <summary>Drops replicas above the expert's count, and those that stand in the way of enough different silos: near ones first, then from the fullest slot.</summary>
    private void DropSurplus(int expert)
    {
        List<int> places = _places[expert];
        while (places.Count > 0)
        {
            int silos = places.Select(slot => _slots.Silo[slot]).Distinct().Count();
            // Every silo that is still to come takes one of the expert's replicas.
            int missing = Math.Max(0, Math.Min(_spread, _counts[expert]) - silos);
            if (places.Count + missing <= _counts[expert]) return;
            Remove(expert, places.OrderByDescending(slot => Nearness(expert, slot, slot)).ThenByDescending(slot => _experts[slot].Count - _seats[slot]).ThenByDescending(slot => SlotLoads[slot]).First());
        }
    }

    /// <summary>
    /// Drops what a slot has no seats for: of experts that miss the fewest replicas so far (two of one expert need two slots to go to), first replicas with
    /// another one near, then those that bring the slot's load closest to the mean.
    /// </summary>
    private void DropOverfull(int slot)
    {
        double mean = Load.Zip(_counts).Sum(pair => pair.First * pair.Second) / _slots.Count;
        for (int surplus = _experts[slot].Count - _seats[slot]; surplus > 0; surplus--)
        {
            double wanted = (SlotLoads[slot] - mean) / surplus;
            int dropped = _experts[slot].OrderBy(expert => _counts[expert] - _places[expert].Count).ThenByDescending(expert => Nearness(expert, slot, slot)).ThenBy(expert => Math.Abs(Load[expert] - wanted)).ThenBy(expert => expert).First();
            Remove(dropped, slot);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private void AddMissing(int expert)
    {
        while (_places[expert].Count < _counts[expert])
        {
            int best = -1;
            (int Nearness, double Load) least = default;
            for (int i = 0; i < _seats.Length; i++)
            {
                int slot = (_first + i) % _seats.Length;
                if (!HasSeatFor(expert, slot)) continue;
                var key = (Nearness(expert, slot, -1), SlotLoads[slot]);
                if (best < 0 || key.CompareTo(least) < 0) (best, least) = (slot, key);
            }

            if (best >= 0) Add(expert, LeastPaired(expert, least.Nearness, least.Load + Load[expert], best));
            else if (!MakeRoom(expert)) return;
        }
    }

    private bool HasSeatFor(int expert, int slot) => _experts[slot].Count < _seats[slot] && !IsOn(expert, slot);

    /// <summary>
    /// Of the slots that are about as light as the lightest: the one that shares the fewest experts with the slots of this one's other replicas. A slot's
    /// partners are then many, and when it is lost each of them has only a little to take over.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private int LeastPaired(int expert, int nearness, double mostLoad, int lightest)
    {
        if (_places[expert].Count == 0) return lightest;
        int best = lightest;
        (int Pairs, double Load) least = (int.MaxValue, 0);
        for (int i = 0; i < _seats.Length; i++)
        {
            int slot = (_first + i) % _seats.Length;
            if (SlotLoads[slot] > mostLoad || !HasSeatFor(expert, slot) || Nearness(expert, slot, -1) > nearness) continue;
            int pairs = 0;
            foreach (int other in _places[expert]) pairs += _pairs[(slot * _slots.Count) + other];
            var key = (pairs, SlotLoads[slot]);
            if (key.CompareTo(least) < 0) (best, least) = (slot, key);
        }

        return best;
    }

    /// <summary>All slots with a free seat have the expert already: moves another expert to one of them and takes its place.</summary>
    private bool MakeRoom(int expert)
    {
        (int Nearness, int Cost, double Load) least = (int.MaxValue, 0, 0);
        (int Other, int From, int To)? best = null;
        for (int to = 0; to < _seats.Length; to++)
        {
            if (_experts[to].Count >= _seats[to]) continue;
            for (int from = 0; from < _seats.Length; from++)
            {
                if (from == to || IsOn(expert, from)) continue;
                int near = Nearness(expert, from, -1);
                foreach (int other in _experts[from])
                {
                    if (IsOn(other, to)) continue;
                    var key = (near + Nearness(other, to, from) - Nearness(other, from, from), MoveCost(other, from, to), SlotLoads[to] + Load[other]);
                    if (key.CompareTo(least) >= 0) continue;
                    (best, least) = ((other, from, to), key);
                }
            }
        }

        if (best is not var (moved, source, target)) return false;
        Remove(moved, source);
        Add(moved, target);
        Add(expert, source);
        return true;
    }

    /// <summary>Swaps replicas of experts that are on too few silos, hosts or zones to where they are apart, with the fewest moves.</summary>
    private void Separate()
    {
        for (int expert = 0; expert < _counts.Length; expert++)
            while (Shortfall(expert, -1, -1) > 0 && SeparateOne(expert)) { }
    }

    private bool SeparateOne(int expert)
    {
        (int Shortfall, int Cost) least = (0, int.MinValue);
        (int Slot, int Other, int OtherSlot)? best = null;
        foreach (int slot in _places[expert])
            for (int there = 0; there < _seats.Length; there++)
            {
                if (IsOn(expert, there)) continue;
                int apart = MoveShortfall(expert, slot, there);
                if (apart >= 0) continue;
                foreach (int other in _experts[there])
                {
                    if (IsOn(other, slot)) continue;
                    var key = (apart + MoveShortfall(other, there, slot), MoveCost(expert, slot, there) + MoveCost(other, there, slot));
                    if (key.CompareTo(least) >= 0) continue;
                    (best, least) = ((slot, other, there), key);
                }
            }

        if (best is not var (from, with, to)) return false;
        Swap(expert, from, with, to);
        return true;
    }

    /// <summary>Different silos, hosts and zones that an expert's replicas lack, with the one on <paramref name="from"/> on <paramref name="to"/> instead.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private int Shortfall(int expert, int from, int to)
    {
        ReadOnlySpan<int> places = CollectionsMarshal.AsSpan(_places[expert]);
        return Lacking(places, from, to, _slots.Silo, _slots.SiloCount) + Lacking(places, from, to, _slots.Host, _slots.HostCount) + Lacking(places, from, to, _slots.Zone, _slots.ZoneCount);
    }

    private int Lacking(ReadOnlySpan<int> places, int from, int to, int[] domain, int domainCount)
    {
        int lacking = Math.Min(places.Length, Math.Min(_spread, domainCount));
        for (int i = 0; i < places.Length && lacking > 0; i++)
        {
            int mine = domain[places[i] == from ? to : places[i]];
            bool seen = false;
            for (int before = 0; before < i && !seen; before++) seen = domain[places[before] == from ? to : places[before]] == mine;
            if (!seen) lacking--;
        }

        return lacking;
    }
}
