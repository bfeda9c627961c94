using System.Diagnostics;
using Conclave.Cli.Local;

namespace Conclave.Cli.Chaos;

/// <summary>What one process answers that nobody disturbs: what every answer of the cluster must be, to the last bit.</summary>
internal static class UndisturbedRun
{
    private static readonly TimeSpan StartLimit = TimeSpan.FromMinutes(6), EndLimit = TimeSpan.FromSeconds(20);

    /// <summary>The answers, by number of the case.</summary>
    /// <exception cref="InvalidOperationException">The server does not start.</exception>
    public static async Task<IReadOnlyList<Answer>> Answers(IReadOnlyList<ChaosCase> cases, IEnumerable<string> serveArguments, int streams, CancellationToken cancellationToken)
    {
        DirectoryInfo folder = Directory.CreateTempSubdirectory("conclave-undisturbed-");
        string log = Path.Combine(folder.FullName, "serve.log");
        int port = Ports.Free(new HashSet<int>());
        var (process, identity) = Launcher.Start(
            [.. Launcher.OwnProgram, "serve", "--listen", $"127.0.0.1:{port}", "--grpc-listen", "none", .. serveArguments], log, new Dictionary<string, string> { ["TMPDIR"] = folder.FullName });
        try
        {
            var address = new Uri($"http://127.0.0.1:{port}");
            await WaitForStart(identity, address, log, cancellationToken);
            using var client = new LoadClient();
            var answers = new Answer[cases.Count];
            var parallel = new ParallelOptions { MaxDegreeOfParallelism = streams, CancellationToken = cancellationToken };
            await Parallel.ForEachAsync(cases, parallel, async (@case, cancel) => answers[@case.Number] = (await client.Run(address, @case, cancel)).Answer);
            return answers;
        }
        finally
        {
            identity.Send(Signal.Terminate);
            if (!await identity.WaitForExit(EndLimit, CancellationToken.None)) identity.Send(Signal.Kill);
            process.Dispose();
            folder.Delete(recursive: true);
        }
    }

    private static async Task WaitForStart(ProcessIdentity identity, Uri address, string log, CancellationToken cancellationToken)
    {
        long started = Stopwatch.GetTimestamp();
        using var probe = new ReadinessProbe();
        while (!await probe.AnswersChat(address, cancellationToken))
        {
            if (!identity.IsAlive || Stopwatch.GetElapsedTime(started) > StartLimit)
                throw new InvalidOperationException($"the undisturbed server does not start ({probe.LastAnswer}): {string.Join(" | ", File.ReadLines(log).TakeLast(5))}");
            await Task.Delay(100, cancellationToken);
        }
    }
}
