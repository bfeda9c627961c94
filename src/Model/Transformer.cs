using Conclave.Model.Attention;
using Conclave.Model.Checkpoints;
using Conclave.Model.Experts;
using Conclave.Model.Kernels;

namespace Conclave.Model;

/// <summary>
/// The model of one rank: embedding, layers, head. Weights stay in the checkpoint's map. One pass at a time; the caller's thread and the
/// pool's compute it, nothing is allocated. The logits of a row depend bitwise on its sequence's tokens alone: not on the batch, the cutting of
/// the prompt, the number of threads or the processor.
/// </summary>
public sealed unsafe class Transformer : IDisposable
{
    private readonly Arena _arena = new();
    private readonly Compute _compute;
    private readonly IExpertDispatch _experts;
    private readonly StepBuffers _step;
    private readonly Pass _pass;
    private readonly Pass[] _whole;
    private readonly Pass[] _halves;
    private readonly LayerBuffers _buffers;
    private readonly Weight _embedding;
    private readonly DecoderLayer[] _layers;
    private readonly float* _norm;
    private readonly Weight _head;

    /// <summary>Binds every non-expert weight of <paramref name="checkpoint"/>, whose life must exceed this object's.</summary>
    /// <param name="checkpoint">The mapped weights.</param>
    /// <param name="experts">Where routed experts are evaluated.</param>
    /// <param name="workers">Threads of the pass.</param>
    /// <param name="maxRows">Most rows of one pass: scratch memory is sized for it.</param>
    /// <param name="kernels">Kernels of a certain tier; null for the fastest.</param>
    /// <param name="kv">Type and size of KV pages; null for the defaults.</param>
    /// <exception cref="CheckpointException">A tensor is missing or has another shape.</exception>
    public Transformer(Checkpoint checkpoint, IExpertDispatch experts, WorkerPool workers, int maxRows, KernelSet? kernels = null, KvOptions? kv = null)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(maxRows, 1);
        Checkpoint = checkpoint;
        MaxRows = maxRows;
        var c = Config = checkpoint.Config;
        KvLayout = KvLayout.For(c, kv);
        _experts = experts;
        _compute = new Compute(workers, kernels ?? KernelSet.Best, WidestInput(c), Math.Max(MultiHeadLatentAttention.ScratchFloats(c), LightningIndexer.ScratchFloats(c)));
        _step = new StepBuffers(c, maxRows, _arena);
        _pass = new Pass(c, _compute, _step);
        _whole = [_pass];
        _halves = [new Pass(c, _compute, _step), new Pass(c, _compute, _step)];
        _buffers = new LayerBuffers(c, _compute, maxRows, _arena);
        _embedding = Weight.Bind(checkpoint, "model.embed_tokens.weight", c.VocabularySize, c.HiddenSize);
        _layers = [.. Enumerable.Range(0, c.LayerCount).Select(layer => new DecoderLayer(checkpoint, layer, KvLayout, _arena))];
        _norm = Vectors.Load(checkpoint, "model.norm.weight", c.HiddenSize, _arena);
        _head = Weight.BindProduct(checkpoint, c.TieWordEmbeddings ? "model.embed_tokens.weight" : "lm_head.weight", c.VocabularySize, c.HiddenSize);
    }

    /// <summary>The architecture.</summary>
    public ModelConfig Config { get; }

    /// <summary>Shape of the KV pages it reads and writes.</summary>
    public KvLayout KvLayout { get; }

    /// <summary>Most rows of one pass.</summary>
    public int MaxRows { get; }

    /// <summary>Which implementation of the kernels runs, for logs.</summary>
    public KernelTier KernelTier => _compute.Kernels.Tier;

    /// <summary>Time that passes have spent inside kernels so far: <see cref="WorkerPool.LoopTicks"/> of its threads.</summary>
    public long KernelTicks => _compute.Workers.LoopTicks;

    /// <summary>Who watches passes; null for nobody.</summary>
    public IForwardProbe? Probe
    {
        get => _step.Probe;
        set => _step.Probe = value;
    }

    /// <summary>Where the activities of passes are noted; null for nowhere.</summary>
    public StepTimeline? Timeline
    {
        get => _step.Timeline;
        set => _step.Timeline = value;
    }

    /// <summary>The checkpoint that the weights lie in.</summary>
    internal Checkpoint Checkpoint { get; }

    /// <summary>Runs all rows of <paramref name="batch"/> through the model, appends their latents to the pages and fills the asked logits.</summary>
    public void Forward(StepBatch batch)
    {
        if (batch.RowCount == 0)
            return;
        Begin(batch);
        Embed(_embedding, new RowSet(_pass.Hidden, Config.HiddenSize));
        Layers(_layers);
        Head(_norm, _head);
        batch.Advance();
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        _buffers.Dispose();
        _compute.Dispose();
        _arena.Dispose();
    }

    /// <summary>
    /// Runs one MTP module: <paramref name="combine"/> fills <c>pass.Hidden</c> from the embedded tokens of <paramref name="batch"/> in <c>pass.Normed</c>, then come the module's
    /// layer and head. <see cref="KvPageTable.Length"/> stays.
    /// </summary>
    internal void Forward(StepBatch batch, in Weight embedding, Action<Pass> combine, DecoderLayer layer, float* headNorm, in Weight head)
    {
        Combine(batch, embedding, combine);
        Layers(new ReadOnlySpan<DecoderLayer>(in layer));
        Head(headNorm, head);
    }

    /// <summary>Of one MTP module only the latents that later rows attend to: it has a single layer, so they depend on nothing behind <paramref name="combine"/>.</summary>
    internal void Store(StepBatch batch, in Weight embedding, Action<Pass> combine, DecoderLayer layer)
    {
        Combine(batch, embedding, combine);
        layer.Store(_pass, _buffers);
    }

    private static int WidestInput(ModelConfig c)
    {
        var widest = Math.Max(Math.Max(c.IntermediateSize, 2 * c.HiddenSize), Math.Max(c.HeadCount * c.VHeadDim, c.SharedExpertCount * c.MoeIntermediateSize));
        return Math.Max(widest, Math.Max(c.QLoraRank, c.KvLoraRank));
    }

    private void Begin(StepBatch batch)
    {
        _step.Begin(batch);
        _pass.Take(batch, 0, 0, batch.RowCount);
    }

    private void Combine(StepBatch batch, in Weight embedding, Action<Pass> combine)
    {
        Begin(batch);
        Embed(embedding, new RowSet(_pass.Normed, Config.HiddenSize));
        combine(_pass);
    }

    /// <summary>
    /// All rows through <paramref name="layers"/>, as one micro-batch or as two that take turns: while the rows of one are with their experts, the other is computed. Cutting
    /// the rows of one sequence is no problem: in every layer the first half's latents are in the pages before the second half attends.
    /// </summary>
    private void Layers(ReadOnlySpan<DecoderLayer> layers)
    {
        var microBatches = Cut(_experts.BeginStep(_pass.Rows, layers.Length));
        try
        {
            for (var i = 0; i <= layers.Length; i++)
            {
                foreach (var pass in microBatches)
                {
                    if (i > 0)
                        layers[i - 1].Complete(pass, _experts);
                    if (i < layers.Length)
                        layers[i].Begin(pass, _buffers, _experts);
                }
            }
        }
        finally
        {
            _experts.EndStep();
        }
    }

    private Pass[] Cut(int microBatches)
    {
        if (microBatches < 2 || _pass.Rows < 2)
            return _whole;
        var first = (_pass.Rows + 1) / 2;
        _halves[0].Take(_pass.Batch, 0, 0, first);
        _halves[1].Take(_pass.Batch, 1, first, _pass.Rows - first);
        return _halves;
    }

    private void Embed(in Weight embedding, RowSet destination)
    {
        var loop = new EmbedLoop { Kernels = _compute.Kernels, Embedding = embedding, Tokens = _pass.Batch.Tokens, Destination = destination };
        _compute.Run(ref loop, _pass.Rows, Config.HiddenSize);
    }

    /// <summary>Final norm of all rows, since an MTP module goes on from each; the head for those that asked for logits only.</summary>
    private void Head(float* norm, in Weight head)
    {
        var batch = _pass.Batch;
        var width = Config.HiddenSize;
        _pass.Mark(StepActivity.Head, Config.LayerCount);
        _pass.RmsNorm(new RowSet(_pass.Hidden, width), norm, new RowSet(batch.HiddenData, width), batch.RowCount, width);
        if (batch.LogitRowCount > 0)
            _compute.Linear(head, new RowSet(batch.HiddenData, width, batch.LogitRowIndex), new RowSet(batch.LogitData, Config.VocabularySize), batch.LogitRowCount);
        _pass.Mark(StepActivity.Done, Config.LayerCount);
    }

    private struct EmbedLoop : IParallelLoop
    {
        public KernelSet Kernels;
        public Weight Embedding;
        public int* Tokens;
        public RowSet Destination;

        public readonly void Run(int start, int end, int worker)
        {
            for (var row = start; row < end; row++)
                Kernels.Widen(Embedding, Tokens[row], 1, Destination.Row(row));
        }
    }
}
