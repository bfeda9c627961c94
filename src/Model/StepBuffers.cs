using Conclave.Model.Attention;

namespace Conclave.Model;

/// <summary>What lives through a layer for every row of a step; the windows of a step lie side by side in it.</summary>
internal sealed unsafe class StepBuffers(ModelConfig config, int maxRows, Arena arena)
{
    private readonly RopeTable _rope = new(config);

    /// <summary>Cosines <c>[rows, qk_rope_head_dim / 2]</c>.</summary>
    public float* Cosines { get; } = arena.Floats((long)maxRows * config.QkRopeHeadDim / 2);

    /// <summary>Sines, likewise.</summary>
    public float* Sines { get; } = arena.Floats((long)maxRows * config.QkRopeHeadDim / 2);

    /// <summary>The residual stream <c>[rows, HiddenSize]</c>.</summary>
    public float* Hidden { get; } = arena.Floats((long)maxRows * config.HiddenSize);

    /// <summary>Normed block input <c>[rows, HiddenSize]</c>.</summary>
    public float* Normed { get; } = arena.Floats((long)maxRows * config.HiddenSize);

    /// <summary>Block output <c>[rows, HiddenSize]</c>.</summary>
    public float* BlockOutput { get; } = arena.Floats((long)maxRows * config.HiddenSize);

    /// <summary>Chosen experts <c>[rows, k]</c>.</summary>
    public int* ExpertIds { get; } = arena.Ints((long)maxRows * config.ExpertsPerToken);

    /// <summary>Their weights <c>[rows, k]</c>.</summary>
    public float* ExpertWeights { get; } = arena.Floats((long)maxRows * config.ExpertsPerToken);

    /// <summary>Routed expert outputs <c>[rows, k, HiddenSize]</c>.</summary>
    public float* ExpertOutputs { get; } = arena.Floats((long)maxRows * config.ExpertsPerToken * (config.RoutedExpertCount > 0 ? config.HiddenSize : 0));

    /// <summary>Who watches, if anyone.</summary>
    public IForwardProbe? Probe { get; set; }

    /// <summary>Where the step's activities are noted, if anywhere.</summary>
    public StepTimeline? Timeline { get; set; }

    /// <summary>Fills the rotary table for the rows of <paramref name="batch"/>.</summary>
    public void Begin(StepBatch batch)
    {
        if (batch.RowCount > maxRows)
            throw new ArgumentException($"The batch has {batch.RowCount} rows, this model has scratch memory for {maxRows}.", nameof(batch));
        var pairs = config.QkRopeHeadDim / 2;
        for (var row = 0; row < batch.RowCount; row++)
            _rope.Fill(batch.Positions[row], Cosines + ((long)row * pairs), Sines + ((long)row * pairs));
    }
}
