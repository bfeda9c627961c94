using Conclave.Grains;
using Conclave.Model;
using Conclave.Model.Checkpoints;

namespace Conclave.Cli.Commands.Bench;

/// <summary>A rank's forward pass without engine and grains: the same steps again and again, over sequences that are set back after each.</summary>
internal sealed unsafe class BenchRank : IDisposable
{
    private readonly Arena _pages = new();
    private readonly Transformer _model;
    private readonly StepBatch _batch;
    private readonly KvPageTable[] _sequences;
    private readonly int[] _prompt;
    private readonly int _context;

    /// <param name="checkpoint">The model.</param>
    /// <param name="dispatch">The way to its experts; stays the caller's.</param>
    /// <param name="workers">Threads of the pass.</param>
    /// <param name="batch">Sequences that decode.</param>
    /// <param name="context">Tokens each of them has.</param>
    /// <param name="prefillRows">Rows of a prefill step.</param>
    public BenchRank(Checkpoint checkpoint, ClusterExpertDispatch dispatch, WorkerPool workers, int batch, int context, int prefillRows)
    {
        Dispatch = dispatch;
        _context = context;
        int rows = Math.Max(batch, prefillRows);
        _model = new Transformer(checkpoint, dispatch, workers, rows);
        _batch = new StepBatch(checkpoint.Config, rows, batch);
        var random = new Random(7);
        _prompt = [.. Enumerable.Range(0, rows).Select(_ => random.Next(checkpoint.Config.VocabularySize))];
        // Zeros for what came before: as much work as any other values.
        _sequences = [.. Enumerable.Range(0, batch).Select(i => NewSequence(context + (i == 0 ? prefillRows : 1)))];
    }

    public ClusterExpertDispatch Dispatch { get; }

    /// <summary>Notes what steps do, here and in the dispatch; null for nowhere.</summary>
    public void Watch(StepTimeline? timeline) => _model.Timeline = Dispatch.Timeline = timeline;

    /// <summary>One step in which every sequence decodes a token.</summary>
    public void Decode()
    {
        _batch.Clear();
        for (int i = 0; i < _sequences.Length; i++)
        {
            _sequences[i].Length = _context;
            _batch.Add(_sequences[i], _prompt.AsSpan(i, 1), LogitRows.Last);
        }

        _model.Forward(_batch);
    }

    /// <summary>One step in which the first sequence gets a chunk of a prompt.</summary>
    public void Prefill(int rows)
    {
        _batch.Clear();
        _sequences[0].Length = _context;
        _batch.Add(_sequences[0], _prompt.AsSpan(0, rows), LogitRows.Last);
        _model.Forward(_batch);
    }

    public void Dispose()
    {
        _model.Dispose();
        _batch.Dispose();
        _pages.Dispose();
    }

    private KvPageTable NewSequence(int tokens)
    {
        int count = _model.KvLayout.PagesFor(tokens);
        var pages = new KvPageTable(count, _model.KvLayout.PageTokens);
        for (int i = 0; i < count; i++) pages.Add((nint)_pages.Bytes(_model.KvLayout.PageSizeBytes));
        return pages;
    }
}
