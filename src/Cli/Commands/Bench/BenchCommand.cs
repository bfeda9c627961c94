using System.CommandLine;

namespace Conclave.Cli.Commands.Bench;

/// <summary><c>conclave bench</c>: measurements whose figures the documents quote.</summary>
internal static class BenchCommand
{
    public static Command Create() => new("bench", "Measure parts of a cluster on this machine")
    {
        ModelBench.Create(),
        LayerBench.Create(),
        KernelBench.Create(),
        MemoryBench.Create(),
        ContextBench.Create(),
        TransportBench.Create(),
        OverlapBench.Create(),
        ClusterBench.Create(),
        RebalanceBench.Create(),
        SpeculateBench.Create(),
        ServeBench.Create(),
        PrefixBench.Create(),
        GrammarBench.Create(),
    };
}
