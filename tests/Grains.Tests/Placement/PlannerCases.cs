namespace Conclave.Grains.Tests.Placement;

/// <summary>Inputs for the planner and what must hold of every plan.</summary>
internal static class PlannerCases
{
    /// <summary>Slots of silos on hosts of their own; hosts are dealt out over the zones.</summary>
    public static PlacementSlot[] Slots(int silos, int perSilo = 1, int zones = 1, Func<int, long?>? capacityBytes = null, int hosts = int.MaxValue) =>
        [.. Enumerable.Range(0, silos * perSilo).Select(i => new PlacementSlot
        {
            Key = $"slot{i}",
            Silo = $"silo{i / perSilo}",
            Host = $"host{i / perSilo % hosts}",
            CapacityBytes = capacityBytes?.Invoke(i),
            Labels = zones == 1 ? new Dictionary<string, string>() : new Dictionary<string, string> { ["zone"] = $"zone{i / perSilo % hosts % zones}" },
        })];

    /// <summary>Loads with a log-normal spread: at 0.5 the hottest of 256 has about four times the mean, at 1 about ten times.</summary>
    public static double[] Loads(Random random, int count, double skew)
    {
        double Gauss() => Math.Sqrt(-2 * Math.Log(1 - random.NextDouble())) * Math.Cos(2 * Math.PI * random.NextDouble());
        return [.. Enumerable.Range(0, count).Select(_ => Math.Round(1000 * Math.Exp(skew * Gauss())))];
    }

    /// <summary>DeepSeek-V3 with one MTP layer: 59 layers of 256 experts, FP8.</summary>
    public static PlacementInput V3(PlacementSlot[] slots, double skew = 0, int minReplicas = 1, int redundant = 0) => new()
    {
        ExpertSizeBytes = [0, 0, 0, .. Enumerable.Repeat(44_050_944L, 59)],
        ExpertCount = 256,
        Slots = slots,
        Loads = skew == 0 ? null : Loads(new Random(1), 62 * 256, skew),
        MinReplicas = minReplicas,
        RedundantExperts = redundant,
    };

    /// <summary>What holds of every plan, complete or not.</summary>
    public static void AssertSound(PlacementInput input, PlacementPlan plan)
    {
        ExpertMap map = plan.Map;
        Assert.Equal(input.Slots.Select(slot => slot.Key), map.SlotKeys);
        Assert.Equal((input.Previous?.Version ?? 0) + 1, map.Version);
        Assert.Equal(input.ExpertSizeBytes.Count * input.ExpertCount, map.Replicas.Length);
        var bytes = new long[map.SlotKeys.Length];
        int moved = 0;
        for (int pair = 0; pair < map.Replicas.Length; pair++)
        {
            int[] places = map.Replicas[pair];
            for (int i = 1; i < places.Length; i++) Assert.True(places[i - 1] < places[i]);
            long size = input.ExpertSizeBytes[pair / input.ExpertCount];
            if (size == 0) Assert.Empty(places);
            foreach (int slot in places)
            {
                bytes[slot] += size;
                if (!(input.Previous is { } previous && previous.Replicas[pair].Any(before => previous.SlotKeys[before] == map.SlotKeys[slot]))) moved++;
            }
        }

        Assert.Equal(moved, plan.MovedCount);
        Assert.True(plan.LeastMovedCount <= moved, $"{moved} moved, below the bound of {plan.LeastMovedCount}");
        Assert.Equal(plan.CoveredCount, map.Replicas.Count(places => places.Length > 0));
        for (int slot = 0; slot < bytes.Length; slot++) Assert.True(bytes[slot] <= (input.Slots[slot].CapacityBytes ?? long.MaxValue), $"slot {slot}: {bytes[slot]} bytes of {input.Slots[slot].CapacityBytes}");
    }

    /// <summary>Each expert's replicas are on as many different silos, hosts and zones as there are, up to the minimum wished.</summary>
    public static void AssertSpread(PlacementInput input, PlacementPlan plan)
    {
        Func<PlacementSlot, string>[] domains = [slot => slot.Silo, slot => slot.Host, slot => slot.Zone];
        foreach (Func<PlacementSlot, string> domain in domains)
        {
            int wished = Math.Min(input.MinReplicas, input.Slots.Select(domain).Distinct().Count());
            for (int pair = 0; pair < plan.Map.Replicas.Length; pair++)
            {
                string[] on = [.. plan.Map.Replicas[pair].Select(slot => domain(input.Slots[slot]))];
                if (input.ExpertSizeBytes[pair / input.ExpertCount] > 0 && on.Distinct().Count() < wished) Assert.Fail($"pair {pair} is on {string.Join(' ', on)}");
            }
        }
    }
}
