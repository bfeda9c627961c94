namespace Conclave.Grains.Tests.Placement;

/// <summary>EPLB as its page describes it, in the most obvious way: what the balancer must not do worse than.</summary>
internal static class PlainBalancer
{
    public static (int[] Counts, double MaxGpuLoad) Balance(BalanceCase @case, float[] weight, BalancePolicy policy)
    {
        var (groups, nodes) = policy == BalancePolicy.Global ? (1, 1) : (@case.GroupCount, @case.NodeCount);
        int groupSize = weight.Length / groups, gpus = @case.GpuCount / nodes;
        var groupWeight = new float[groups];
        for (int expert = 0; expert < weight.Length; expert++) groupWeight[expert / groupSize] += weight[expert];
        var counts = new int[weight.Length];
        double max = 0;
        foreach (List<int> node in Pack(groupWeight, nodes))
        {
            int[] experts = [.. node.SelectMany(group => Enumerable.Range(group * groupSize, groupSize))];
            var replicas = experts.ToList();
            foreach (int expert in experts) counts[expert] = 1;
            while (replicas.Count < @case.ReplicaCount / nodes)
            {
                int hottest = experts.MaxBy(expert => weight[expert] / counts[expert]);
                counts[hottest]++;
                replicas.Add(hottest);
            }

            float[] loads = [.. replicas.Select(expert => weight[expert] / counts[expert])];
            max = Math.Max(max, Pack(loads, gpus).Max(gpu => gpu.Sum(replica => (double)weight[replicas[replica]] / counts[replicas[replica]])));
        }

        return (counts, max);
    }

    private static List<int>[] Pack(float[] weights, int packs)
    {
        int perPack = weights.Length / packs;
        List<int>[] result = [.. Enumerable.Range(0, packs).Select(_ => new List<int>())];
        var loads = new float[packs];
        IEnumerable<int> items = Enumerable.Range(0, weights.Length);
        foreach (int item in perPack == 1 ? items : items.OrderByDescending(item => weights[item]))
        {
            int pack = perPack == 1 ? item : Enumerable.Range(0, packs).Where(p => result[p].Count < perPack).MinBy(p => loads[p]);
            result[pack].Add(item);
            loads[pack] += weights[item];
        }

        return result;
    }
}
