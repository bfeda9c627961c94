using Conclave.Cli.Chaos;
using Conclave.Cli.Local;

namespace Conclave.Cluster.Tests;

/// <summary>Requests with known answers, kept running while a test does something to the cluster.</summary>
internal sealed class Load
{
    private const int Seed = 11, CaseCount = 10, Streams = 4;

    private static readonly IReadOnlyList<ChaosCase> Cases = ChaosLoad.Create(Seed, CaseCount);
    private static readonly Lazy<Task<Load>> Demo = new(async () => new Load(await UndisturbedRun.Answers(Cases, ["--model", Command.DemoModel], Streams, CancellationToken.None)));

    private readonly IReadOnlyList<Answer> _expected;

    private Load(IReadOnlyList<Answer> expected) => _expected = expected;

    /// <summary>Requests to the demo model; their answers are computed by one process, once for all tests.</summary>
    public static Task<Load> OfDemo() => Demo.Value;

    /// <summary>Runs each request once.</summary>
    public async Task RunOnce(IReadOnlyList<Uri> gateways)
    {
        using var client = new LoadClient();
        Exchange[] exchanges = await Task.WhenAll(Cases.Select(c => client.Run(gateways[c.Number % gateways.Count], c, CancellationToken.None)));
        foreach (Exchange exchange in exchanges) Assert.Equal(_expected[exchange.Case.Number], exchange.Answer);
    }

    /// <summary>Keeps requests under way while <paramref name="action"/> runs; every one must be answered, with the right tokens. Returns how many were.</summary>
    public async Task<int> During(Func<IReadOnlyList<Member>> gateways, Func<Task> action, int mayRetry = 0)
    {
        using var runner = new LoadRunner(Cases, _expected, gateways);
        using var enough = new CancellationTokenSource();
        Task running = runner.Run(Streams, enough.Token);
        try
        {
            // Something must be under way before anything happens, and something after it.
            await Eventually.Holds(() => Task.FromResult(runner.Exchanges.Count >= 2), () => "no request is answered");
            await action();
            int before = runner.Exchanges.Count;
            await Eventually.Holds(() => Task.FromResult(runner.Exchanges.Count >= before + Streams || runner.Errors.Count > 0), () => "no request is answered any more");
        }
        finally
        {
            await enough.CancelAsync();
            await running;
        }

        Assert.Empty(runner.Mismatches);
        Assert.Empty(runner.Errors);
        Assert.InRange(runner.Retries, 0, mayRetry);
        return runner.Exchanges.Count;
    }
}
