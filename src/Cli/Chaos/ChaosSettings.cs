namespace Conclave.Cli.Chaos;

/// <summary>What a run was asked for.</summary>
internal sealed record ChaosSettings(int Seed, double Minutes, int Silos, int Gateways, int Streams, int Replicas)
{
    public int DurationMs => (int)(Minutes * 60_000);
}
