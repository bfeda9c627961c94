using Conclave.Model.Checkpoints;
using Conclave.Model.Kernels;

namespace Conclave.Model;

/// <summary>
/// A multi-token prediction module (DeepSeek-V3, arXiv 2412.19437, section 2.2): from the main model's hidden state at position i and the token at i + 1
/// it predicts the token at i + 2. It is one more layer behind the main ones, with its own latents in the same KV pages:
/// <c>x = eh_proj([enorm(embed(token)), hnorm(hidden)])</c>, a decoder layer, <c>shared_head</c>. It runs on the threads and scratch memory of its model, never at the same time.
/// </summary>
public sealed unsafe class MtpModule : IDisposable
{
    private readonly Transformer _model;
    private readonly Arena _arena = new();
    private readonly Weight _embedding;
    private readonly float* _embeddingNorm;
    private readonly float* _hiddenNorm;
    private readonly Weight _projection;
    private readonly int _layerIndex;
    private readonly DecoderLayer _layer;
    private readonly float* _headNorm;
    private readonly Weight _head;
    private readonly float* _joined;
    private readonly Action<Pass> _combine;
    private RowSet _hidden;

    /// <summary>Binds <c>model.layers.{LayerCount + index}.*</c> of the model's checkpoint except its routed experts.</summary>
    /// <exception cref="CheckpointException">A tensor is missing or has another shape.</exception>
    /// <exception cref="ArgumentOutOfRangeException">The checkpoint has no such module.</exception>
    public MtpModule(Transformer model, int index = 0)
    {
        var c = model.Config;
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual((uint)index, (uint)c.NextTokenPredictLayers, nameof(index));
        _model = model;
        var layer = _layerIndex = c.LayerCount + index;
        var prefix = $"model.layers.{layer}.";
        var checkpoint = model.Checkpoint;
        _embedding = Weight.Bind(checkpoint, prefix + "embed_tokens.weight", c.VocabularySize, c.HiddenSize);
        _embeddingNorm = Vectors.Load(checkpoint, prefix + "enorm.weight", c.HiddenSize, _arena);
        _hiddenNorm = Vectors.Load(checkpoint, prefix + "hnorm.weight", c.HiddenSize, _arena);
        _projection = Weight.BindProduct(checkpoint, prefix + "eh_proj.weight", c.HiddenSize, 2 * c.HiddenSize);
        _layer = new DecoderLayer(checkpoint, layer, model.KvLayout, _arena);
        _headNorm = Vectors.Load(checkpoint, prefix + "shared_head.norm.weight", c.HiddenSize, _arena);
        _head = Weight.BindProduct(checkpoint, prefix + "shared_head.head.weight", c.VocabularySize, c.HiddenSize);
        _joined = _arena.Floats((long)model.MaxRows * 2 * c.HiddenSize);
        _combine = Combine;
    }

    /// <summary>
    /// Runs the rows of <paramref name="batch"/>: each holds the token at i + 1 and stands at position i, that of its row in <paramref name="hidden"/> (added with the overload
    /// of <see cref="StepBatch.Add(KvPageTable, int, ReadOnlySpan{int}, LogitRows)"/> that takes a start). The module must have seen all earlier positions of the sequence. Afterwards
    /// <see cref="StepBatch.Logits"/> predict the token at i + 2 and <see cref="StepBatch.Hidden"/> is the state after <c>shared_head.norm</c>.
    /// </summary>
    /// <param name="batch">The rows.</param>
    /// <param name="hidden">The main model's states after <c>model.norm</c>, <c>[batch.RowCount, HiddenSize]</c>.</param>
    public void Forward(StepBatch batch, ReadOnlySpan<float> hidden)
    {
        if (hidden.Length != batch.RowCount * _model.Config.HiddenSize)
            throw new ArgumentException($"{batch.RowCount} rows need {batch.RowCount} hidden states of {_model.Config.HiddenSize}; {hidden.Length} floats were given.", nameof(hidden));
        if (batch.RowCount == 0)
            return;
        fixed (float* states = hidden)
            Forward(batch, new RowSet(states, _model.Config.HiddenSize));
    }

    /// <summary>
    /// As the other overload, with the hidden states that <paramref name="source"/> holds: of the main model's step, or of this module's own pass before, of which
    /// <paramref name="batch"/> itself may be the batch (a second token is predicted from the module's own state, as if it were the main model's).
    /// </summary>
    /// <param name="batch">The rows, added with the row of <paramref name="source"/> that each goes on from.</param>
    /// <param name="source">Holds the states of its last pass.</param>
    public void Forward(StepBatch batch, StepBatch source)
    {
        if (batch.RowCount > 0)
            Forward(batch, SourceOf(batch, source));
    }

    /// <summary>
    /// Takes rows as the overload above does, of which nothing is predicted: they only leave their latents, which later rows attend to. That is a small part of a pass, since
    /// the module is a single layer: no attention, no experts, no head.
    /// </summary>
    public void Store(StepBatch batch, StepBatch source)
    {
        if (batch.RowCount == 0)
            return;
        _hidden = SourceOf(batch, source);
        _model.Store(batch, _embedding, _combine, _layer);
    }

    /// <summary>
    /// Passes over positions that nobody wants predictions behind: their latents become zeros, which later rows can attend to without harm, and which <see cref="HasSeen"/> tells from others.
    /// </summary>
    public void Skip(KvPageTable pages, int start, int count) => _model.KvLayout.Clear(pages, _layerIndex, start, count);

    /// <summary>Whether the latents at <paramref name="position"/> are those of a row that the module has taken: the pages tell it wherever they come from, cache, disk or another rank.</summary>
    public bool HasSeen(KvPageTable pages, int position) => !_model.KvLayout.IsClear(pages, _layerIndex, position);

    /// <inheritdoc/>
    public void Dispose() => _arena.Dispose();

    private RowSet SourceOf(StepBatch batch, StepBatch source) => new(source.HiddenData, _model.Config.HiddenSize, batch.SourceRows);

    private void Forward(StepBatch batch, RowSet hidden)
    {
        _hidden = hidden;
        _model.Forward(batch, _embedding, _combine, _layer, _headNorm, _head);
    }

    /// <summary>The embedding's half first, then the hidden state's, as the checkpoints' <c>eh_proj</c> has them.</summary>
    private void Combine(Pass pass)
    {
        var width = _model.Config.HiddenSize;
        pass.RmsNorm(new RowSet(pass.Normed, width), _embeddingNorm, new RowSet(_joined, 2L * width), pass.Rows, width);
        pass.RmsNorm(_hidden, _hiddenNorm, new RowSet(_joined + width, 2L * width), pass.Rows, width);
        pass.Compute.Linear(_projection, new RowSet(_joined, 2L * width), new RowSet(pass.Hidden, width), pass.Rows);
    }
}
