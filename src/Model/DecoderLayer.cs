using Conclave.Model.Attention;
using Conclave.Model.Checkpoints;
using Conclave.Model.Experts;
using Conclave.Model.Kernels;

namespace Conclave.Model;

/// <summary>One decoder layer: attention and a feed-forward block, each behind an RMSNorm and added to the residual stream.</summary>
internal sealed unsafe class DecoderLayer
{
    private readonly ModelConfig _config;
    private readonly int _index;
    private readonly float* _inputNorm;
    private readonly float* _postAttentionNorm;
    private readonly MultiHeadLatentAttention _attention;
    private readonly Router? _router;

    // What every row goes through: the MLP of a dense layer, or the shared experts of an MoE layer.
    private readonly MlpWeights _always;

    /// <summary>Binds <c>model.layers.{index}.*</c> except the routed experts.</summary>
    public DecoderLayer(Checkpoint checkpoint, int index, KvLayout layout, Arena arena)
    {
        var c = _config = checkpoint.Config;
        _index = index;
        var prefix = $"model.layers.{index}.";
        _inputNorm = Vectors.Load(checkpoint, prefix + "input_layernorm.weight", c.HiddenSize, arena);
        _attention = new MultiHeadLatentAttention(checkpoint, index, layout, arena);
        _postAttentionNorm = Vectors.Load(checkpoint, prefix + "post_attention_layernorm.weight", c.HiddenSize, arena);
        if (!c.IsMoeLayer(index))
        {
            _always = MlpWeights.Bind(checkpoint, prefix + "mlp.", c.HiddenSize, c.IntermediateSize);
            return;
        }

        _router = new Router(checkpoint, index, arena);
        if (c.SharedExpertCount > 0)
            _always = MlpWeights.Bind(checkpoint, prefix + "mlp.shared_experts.", c.HiddenSize, c.SharedExpertCount * c.MoeIntermediateSize);
    }

    /// <summary>
    /// The first part of the layer for the rows of <paramref name="pass"/>: attention, gate, rows on their way to the experts, shared experts. What it leaves is in the pass;
    /// <paramref name="buffers"/> are free for other rows.
    /// </summary>
    public void Begin(Pass pass, LayerBuffers buffers, IExpertDispatch experts)
    {
        var hidden = new RowSet(pass.Hidden, _config.HiddenSize);
        var normed = new RowSet(pass.Normed, _config.HiddenSize);

        pass.Mark(StepActivity.Attention, _index);
        pass.RmsNorm(hidden, _inputNorm, normed, pass.Rows, _config.HiddenSize);
        _attention.Forward(pass, buffers.Attention);
        pass.AddToResidual();

        pass.Mark(StepActivity.Gate, _index);
        pass.RmsNorm(hidden, _postAttentionNorm, normed, pass.Rows, _config.HiddenSize);
        if (_router is not null)
        {
            _router.Forward(pass, buffers.Gate);
            Report(pass);
            experts.Begin(_index, pass.RoutedRows);
        }

        if (_always.Width == 0 || LeavesShared(experts))
            return;
        pass.Mark(StepActivity.DenseExperts, _index);
        buffers.Always.Clear();
        buffers.Always.Add(_always, normed, new RowSet(pass.BlockOutput, _config.HiddenSize), pass.Rows);
        buffers.Always.Run();
    }

    /// <summary>Leaves in the pages what later rows attend to, and computes nothing else of the rows of <paramref name="pass"/>.</summary>
    public void Store(Pass pass, LayerBuffers buffers)
    {
        pass.Mark(StepActivity.Attention, _index);
        pass.RmsNorm(new RowSet(pass.Hidden, _config.HiddenSize), _inputNorm, new RowSet(pass.Normed, _config.HiddenSize), pass.Rows, _config.HiddenSize);
        _attention.Store(pass, buffers.Attention);
        pass.Mark(StepActivity.Done, _index);
    }

    /// <summary>The rest: waits for the routed experts, wherever they live, and adds all outputs in ascending expert id.</summary>
    public void Complete(Pass pass, IExpertDispatch experts)
    {
        if (_router is not null)
        {
            var rows = pass.RoutedRows;
            if (LeavesShared(experts))
            {
                pass.Mark(StepActivity.RoutedExperts, _index);
                rows.SharedExperts = _always;
                rows.SharedOutput = pass.BlockOutput;
            }

            experts.Complete(_index, rows);
        }

        pass.Mark(StepActivity.Combine, _index);
        if (_router is not null)
            pass.AddExpertsToResidual();
        else
            pass.AddToResidual();
        pass.Probe?.LayerOutput(_index, new ReadOnlySpan<float>(pass.Hidden, pass.Rows * _config.HiddenSize));
    }

    private bool LeavesShared(IExpertDispatch experts) => _router is not null && experts.TakesSharedExperts;

    private void Report(Pass pass)
    {
        var count = pass.Rows * _config.ExpertsPerToken;
        pass.Probe?.Routed(_index, new ReadOnlySpan<int>(pass.ExpertIds, count), new ReadOnlySpan<float>(pass.ExpertWeights, count));
    }
}

/// <summary>Scratch memory that layers use one after the other.</summary>
internal sealed class LayerBuffers(ModelConfig config, Compute compute, int maxRows, Arena arena) : IDisposable
{
    /// <summary>Of attention.</summary>
    public AttentionBuffers Attention { get; } = new(config, maxRows, compute.Workers.ThreadCount, arena);

    /// <summary>The block that every row goes through.</summary>
    public MlpBlocks Always { get; } = new(compute, 1);

    /// <summary>Of the gate.</summary>
    public GateBuffers Gate { get; } = new(config, maxRows, arena);

    /// <inheritdoc/>
    public void Dispose() => Always.Dispose();
}
