using System.Diagnostics;
using System.Globalization;
using Conclave.Grains;
using Conclave.Grains.Transport;
using Conclave.Model;
using Conclave.Model.Checkpoints;

namespace Conclave.Cli.Commands.Bench;

/// <summary>
/// A silo process of <c>conclave bench cluster</c>: prints its address, then does what its standard input says, a line each: <c>use ADDRESS...</c> (all silos in order),
/// <c>decode SEQUENCES SECONDS</c>, <c>prefill ROWS SECONDS</c>; it answers each with a line, the latter two with tokens and the seconds they took.
/// </summary>
internal sealed class ClusterBenchSilo : IDisposable
{
    private readonly Checkpoint _checkpoint;
    private readonly BenchSilo _silo;
    private readonly WorkerPool _workers;
    private readonly ClusterExpertDispatch _dispatch;
    private readonly int _context;
    private readonly int _prefillRows;
    private BenchRank? _rank;
    private int _batch;

    public ClusterBenchSilo(string model, int index, int threads, string microBatches, int context, int prefillRows)
    {
        _checkpoint = Checkpoint.Open(model);
        (_context, _prefillRows) = (context, prefillRows);
        _silo = new BenchSilo(_checkpoint, index, threads, new TransportOptions { SuspectMs = 60_000 });
        _workers = new WorkerPool(threads);
        var options = new DispatchOptions { MicroBatches = microBatches switch { "1" => MicroBatchMode.One, "2" => MicroBatchMode.Two, _ => MicroBatchMode.Auto } };
        _dispatch = new ClusterExpertDispatch(_checkpoint, _silo.Experts, _workers, options, BenchSilo.Name(index), _silo.Transport, TimeProvider.System);
    }

    public async Task<int> Serve(CancellationToken cancellationToken)
    {
        Console.WriteLine(_silo.Transport.Address);
        while (await Console.In.ReadLineAsync(cancellationToken) is { } line)
        {
            string[] words = line.Split(' ');
            if (words[0] == "use")
            {
                ClusterView view = BenchSilo.View(_checkpoint.Config, words[1..]);
                await _silo.Use(view, cancellationToken);
                _dispatch.Use(view);
                Console.WriteLine("ready");
            }
            else
            {
                int rows = int.Parse(words[1], CultureInfo.InvariantCulture);
                TimeSpan time = TimeSpan.FromSeconds(double.Parse(words[2], CultureInfo.InvariantCulture));
                BenchRank rank = RankFor(words[0] == "decode" ? rows : Math.Max(_batch, 1));
                Console.WriteLine(Measure(words[0] == "decode" ? rank.Decode : () => rank.Prefill(rows), rows, time));
            }
        }

        return CommandLine.Done;
    }

    public void Dispose()
    {
        _rank?.Dispose();
        _dispatch.Dispose();
        _workers.Dispose();
        _silo.Dispose();
        _checkpoint.Dispose();
    }

    private static string Measure(Action step, int rows, TimeSpan time)
    {
        long start = Stopwatch.GetTimestamp();
        int steps = 0;
        do
        {
            step();
            steps++;
        }
        while (Stopwatch.GetElapsedTime(start) < time);
        return string.Create(CultureInfo.InvariantCulture, $"{(long)rows * steps} {Stopwatch.GetElapsedTime(start).TotalSeconds}");
    }

    private BenchRank RankFor(int batch)
    {
        if (_rank is not null && _batch == batch) return _rank;
        _rank?.Dispose();
        _batch = batch;
        return _rank = new BenchRank(_checkpoint, _dispatch, _workers, batch, _context, _prefillRows);
    }
}
