using Conclave.Model.Checkpoints;
using Conclave.Model.Kernels;

namespace Conclave.Model.Experts;

/// <summary>
/// The gate of an MoE layer (DeepSeek-V3, arXiv 2412.19437, section 2.1.2): scores, group limit, top k. The correction bias takes part in choosing only.
/// Of equal scores the lower id wins.
/// </summary>
internal sealed unsafe class Router
{
    private readonly ModelConfig _config;
    private readonly Weight _gate;
    private readonly float* _bias;

    /// <summary>Binds <c>model.layers.{layer}.mlp.gate.*</c>.</summary>
    public Router(Checkpoint checkpoint, int layer, Arena arena)
    {
        _config = checkpoint.Config;
        var prefix = $"model.layers.{layer}.mlp.gate.";
        _gate = Weight.Bind(checkpoint, prefix + "weight", _config.RoutedExpertCount, _config.HiddenSize);
        if (_config.TopKMethod == TopKMethod.NoAuxTc)
            _bias = Vectors.Load(checkpoint, prefix + "e_score_correction_bias", _config.RoutedExpertCount, arena);
    }

    /// <summary>Chooses experts for the rows of <c>pass.Normed</c>: fills <c>pass.ExpertIds</c> and <c>pass.ExpertWeights</c>.</summary>
    public void Forward(Pass pass, GateBuffers buffers)
    {
        var experts = _config.RoutedExpertCount;
        pass.Compute.Linear(_gate, new RowSet(pass.Normed, _config.HiddenSize), new RowSet(buffers.Scores, experts), pass.Rows);
        var loop = new RouteLoop { Owner = this, Pass = pass, Buffers = buffers };
        pass.Compute.Run(ref loop, pass.Rows, (long)experts * (_config.ExpertsPerToken + 8));
    }

    private void Route(Pass pass, GateBuffers buffers, int row)
    {
        var c = _config;
        var kernels = pass.Compute.Kernels;
        var experts = c.RoutedExpertCount;
        var scores = buffers.Scores + ((long)row * experts);
        var choice = buffers.ChoiceScores + ((long)row * experts);
        if (c.ScoringFunction == ScoringFunction.Sigmoid)
            kernels.Sigmoid(scores, experts);
        else
            kernels.Softmax(scores, experts);
        for (var e = 0; e < experts; e++)
            choice[e] = _bias is null ? scores[e] : scores[e] + _bias[e];
        if (c.GroupCount > 1 && c.TopKMethod != TopKMethod.Greedy)
            KeepBestGroups(choice);

        var ids = pass.ExpertIds + ((long)row * c.ExpertsPerToken);
        TakeBest(choice, experts, c.ExpertsPerToken, ids);
        new Span<int>(ids, c.ExpertsPerToken).Sort();
        Weigh(scores, ids, pass.ExpertWeights + ((long)row * c.ExpertsPerToken));
    }

    /// <summary>Scores of all but the <c>topk_group</c> best groups become -infinity. A group counts its two best scores with a bias, its best without.</summary>
    private void KeepBestGroups(float* choice)
    {
        var size = _config.RoutedExpertCount / _config.GroupCount;
        var groupScores = stackalloc float[_config.GroupCount];
        var kept = stackalloc int[_config.GroupsKept];
        for (var g = 0; g < _config.GroupCount; g++)
        {
            float best = float.NegativeInfinity, second = float.NegativeInfinity;
            for (var e = g * size; e < (g + 1) * size; e++)
            {
                if (choice[e] > best)
                    (best, second) = (choice[e], best);
                else if (choice[e] > second)
                    second = choice[e];
            }

            groupScores[g] = _bias is null || size == 1 ? best : best + second;
        }

        TakeBest(groupScores, _config.GroupCount, _config.GroupsKept, kept);
        for (var g = 0; g < _config.GroupCount; g++)
        {
            if (!new ReadOnlySpan<int>(kept, _config.GroupsKept).Contains(g))
                new Span<float>(choice + (g * size), size).Fill(float.NegativeInfinity);
        }
    }

    /// <summary>Indexes of the <paramref name="k"/> largest values, best first; of equal ones the lower index. One pass: only few values are better than the worst of the best so far.</summary>
    private static void TakeBest(float* values, int count, int k, int* chosen)
    {
        var filled = 0;
        for (var i = 0; i < count; i++)
        {
            var value = values[i];
            if (filled == k && !(value > values[chosen[k - 1]]))
                continue;
            var place = filled < k ? filled++ : k - 1;
            for (; place > 0 && value > values[chosen[place - 1]]; place--)
                chosen[place] = chosen[place - 1];
            chosen[place] = i;
        }
    }

    private void Weigh(float* scores, int* ids, float* weights)
    {
        var k = _config.ExpertsPerToken;
        var sum = 0f;
        for (var j = 0; j < k; j++)
            sum += weights[j] = scores[ids[j]];
        // Softmax scores (V2) are never renormalized, whatever norm_topk_prob says; nor does DeepSeek's own program.
        if (_config.ScoringFunction == ScoringFunction.Sigmoid && _config.NormalizeTopK)
        {
            for (var j = 0; j < k; j++)
                weights[j] /= sum;
        }

        for (var j = 0; j < k; j++)
            weights[j] *= _config.RoutedScalingFactor;
    }

    private struct RouteLoop : IParallelLoop
    {
        public Router Owner;
        public Pass Pass;
        public GateBuffers Buffers;

        public readonly void Run(int start, int end, int worker)
        {
            for (var row = start; row < end; row++)
                Owner.Route(Pass, Buffers, row);
        }
    }
}

/// <summary>Intermediate values of the gate, for the most rows of a pass; shared by all layers.</summary>
internal sealed unsafe class GateBuffers(ModelConfig config, int maxRows, Arena arena)
{
    /// <summary>Scores <c>[rows, n_routed_experts]</c>.</summary>
    public float* Scores { get; } = arena.Floats((long)maxRows * config.RoutedExpertCount);

    /// <summary>The same with bias and group limit <c>[rows, n_routed_experts]</c>.</summary>
    public float* ChoiceScores { get; } = arena.Floats((long)maxRows * config.RoutedExpertCount);
}
