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
    private readonly MlpWeights _dense;
    private readonly Router? _router;
    private readonly MlpWeights _shared;

    /// <summary>Binds <c>model.layers.{index}.*</c> except the routed experts.</summary>
    public DecoderLayer(Checkpoint checkpoint, int index, Arena arena)
    {
        var c = _config = checkpoint.Config;
        _index = index;
        var prefix = $"model.layers.{index}.";
        _inputNorm = Vectors.Load(checkpoint, prefix + "input_layernorm.weight", c.HiddenSize, arena);
        _attention = new MultiHeadLatentAttention(checkpoint, index, arena);
        _postAttentionNorm = Vectors.Load(checkpoint, prefix + "post_attention_layernorm.weight", c.HiddenSize, arena);
        if (!c.IsMoeLayer(index))
        {
            _dense = MlpWeights.Bind(checkpoint, prefix + "mlp.", c.HiddenSize, c.IntermediateSize);
            return;
        }

        _router = new Router(checkpoint, index, arena);
        if (c.SharedExpertCount > 0)
            _shared = MlpWeights.Bind(checkpoint, prefix + "mlp.shared_experts.", c.HiddenSize, c.SharedExpertCount * c.MoeIntermediateSize);
    }

    /// <summary>Takes <c>pass.Hidden</c> through the layer.</summary>
    public void Forward(Pass pass, LayerBuffers buffers, IExpertDispatch experts)
    {
        var hidden = new RowSet(pass.Hidden, _config.HiddenSize);
        var normed = new RowSet(pass.Normed, _config.HiddenSize);

        pass.RmsNorm(hidden, _inputNorm, normed, pass.Rows, _config.HiddenSize);
        _attention.Forward(pass, buffers.Attention);
        pass.AddToResidual();

        pass.RmsNorm(hidden, _postAttentionNorm, normed, pass.Rows, _config.HiddenSize);
        if (_router is null)
        {
            buffers.Mlp.Forward(pass.Compute, _dense, pass.Normed, pass.BlockOutput, pass.Rows);
            pass.AddToResidual();
        }
        else
        {
            MixtureOfExperts(pass, buffers, experts, _router);
        }

        pass.Probe?.LayerOutput(_index, new ReadOnlySpan<float>(pass.Hidden, pass.Rows * _config.HiddenSize));
    }

    /// <summary>Routed experts, wherever they live, and meanwhile the shared one; then all outputs in ascending expert id.</summary>
    private void MixtureOfExperts(Pass pass, LayerBuffers buffers, IExpertDispatch experts, Router router)
    {
        var moe = buffers.Moe;
        router.Forward(pass, moe);
        var k = _config.ExpertsPerToken;
        pass.Probe?.Routed(_index, new ReadOnlySpan<int>(moe.ExpertIds, pass.Rows * k), new ReadOnlySpan<float>(moe.Weights, pass.Rows * k));
        var rows = new RoutedRows { RowCount = pass.Rows, ExpertsPerToken = k, Input = pass.Normed, ExpertIds = moe.ExpertIds, Output = moe.Outputs };
        experts.Begin(_index, rows);
        if (_config.SharedExpertCount > 0)
            buffers.Mlp.Forward(pass.Compute, _shared, pass.Normed, pass.BlockOutput, pass.Rows);
        experts.Complete(_index, rows);
        var combine = new CombineLoop { Pass = pass, Moe = moe, Config = _config };
        pass.Compute.Run(ref combine, pass.Rows, (long)k * _config.HiddenSize);
    }

    private struct CombineLoop : IParallelLoop
    {
        public Pass Pass;
        public MoeBuffers Moe;
        public ModelConfig Config;

        public readonly void Run(int start, int end, int worker)
        {
            int hidden = Config.HiddenSize, k = Config.ExpertsPerToken;
            for (long row = start; row < end; row++)
            {
                var shared = Config.SharedExpertCount > 0 ? Pass.BlockOutput + (row * hidden) : null;
                Pass.Compute.Kernels.CombineExperts(Pass.Hidden + (row * hidden), Moe.Outputs + (row * k * hidden), Moe.Weights + (row * k), k, shared, hidden);
            }
        }
    }
}

/// <summary>Scratch memory that layers use one after the other.</summary>
internal sealed class LayerBuffers(ModelConfig config, int maxRows, Arena arena)
{
    /// <summary>Of attention.</summary>
    public AttentionBuffers Attention { get; } = new(config, maxRows, arena);

    /// <summary>Of dense and shared MLPs.</summary>
    public Mlp Mlp { get; } = new(config, Math.Max(config.IntermediateSize, config.SharedExpertCount * config.MoeIntermediateSize), maxRows, arena);

    /// <summary>Of routing.</summary>
    public MoeBuffers Moe { get; } = new(config, maxRows, arena);
}
