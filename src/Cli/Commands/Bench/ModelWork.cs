using System.Numerics;
using Conclave.Model;
using Conclave.Model.Checkpoints;

namespace Conclave.Cli.Commands.Bench;

/// <summary>What steps had to do, counted while they run: weights read and floating-point operations.</summary>
internal sealed class ModelWork : IForwardProbe
{
    private readonly ModelConfig _config;
    private readonly long _everyStepBytes;
    private readonly long _expertBytes;
    private readonly long _everyRowParameters;
    private readonly ulong[] _chosen;
    private readonly int _moeLayers;
    private long _steps;
    private long _rows;
    private long _logitRows;
    private long _experts;

    /// <param name="checkpoint">The model, whose weights are bound: those that are used in 8 bits count as such.</param>
    public ModelWork(Checkpoint checkpoint)
    {
        ModelConfig c = _config = checkpoint.Config;
        _chosen = new ulong[(c.RoutedExpertCount + 63) / 64];
        _moeLayers = Enumerable.Range(0, c.LayerCount).Count(c.IsMoeLayer);
        foreach (ExpectedTensor tensor in TensorCatalog.All(c))
        {
            TensorView view = checkpoint.Tensors[tensor.Name];
            long stored = view.SizeBytes + (view.DType == DType.F8E4M3 ? checkpoint.Tensors[TensorCatalog.ScaleName(view.Name)].SizeBytes : 0);

            // Products in 8 bits read the copy and not what is stored.
            long bytes = checkpoint.Int8?.SizeBytesOf(tensor.Name) ?? stored;
            switch (tensor.Kind)
            {
                case TensorKind.Mtp or TensorKind.Embedding:
                    break;
                case TensorKind.RoutedExperts:
                    _expertBytes += bytes;
                    break;
                default:
                    _everyStepBytes += bytes;
                    if (tensor.Kind != TensorKind.Head && tensor.Shape.Length == 2) _everyRowParameters += tensor.ElementCount;
                    break;
            }
        }

        if (_moeLayers == 0) return;
        _expertBytes /= (long)_moeLayers * c.RoutedExpertCount;
        _everyRowParameters += (long)_moeLayers * c.ExpertsPerToken * 3 * c.HiddenSize * c.MoeIntermediateSize;
    }

    /// <summary>Bytes of weights that the steps read, if each reads each matrix and each chosen expert once. The head is read by steps that need logits; rows of the embedding are not counted.</summary>
    public double WeightBytes => ((double)_steps * _everyStepBytes) + ((double)_experts * _expertBytes);

    /// <summary>Different experts that a step chose in a layer, on average.</summary>
    public double ExpertsPerLayer => _moeLayers == 0 || _steps == 0 ? 0 : (double)_experts / _steps / _moeLayers;

    /// <summary>Two operations for each weight that a row is multiplied with, and those of attention with keys and values as wide as the model defines them, however it is computed.</summary>
    /// <param name="keys">Keys attended to, all rows together.</param>
    public double Flops(double keys) =>
        (2.0 * _rows * _everyRowParameters) + (2.0 * _logitRows * _config.HiddenSize * _config.VocabularySize)
        + (2.0 * keys * _config.LayerCount * _config.HeadCount * (_config.QkNopeHeadDim + _config.QkRopeHeadDim + _config.VHeadDim));

    /// <summary>Forgets what was counted.</summary>
    public void Clear() => _steps = _rows = _logitRows = _experts = 0;

    /// <summary>Counts a step.</summary>
    public void Add(int rows, int logitRows)
    {
        _steps++;
        _rows += rows;
        _logitRows += logitRows;
    }

    public void Routed(int layer, ReadOnlySpan<int> expertIds, ReadOnlySpan<float> weights)
    {
        foreach (int expert in expertIds) _chosen[expert / 64] |= 1UL << (expert % 64);
        foreach (ulong word in _chosen) _experts += BitOperations.PopCount(word);
        Array.Clear(_chosen);
    }

    public void LayerOutput(int layer, ReadOnlySpan<float> hidden)
    {
        // Only the choice of experts is of interest.
    }

    public void KeysSelected(int layer, int row, ReadOnlySpan<int> positions)
    {
        // As above.
    }
}
