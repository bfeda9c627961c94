namespace Conclave.Model.Kernels;

/// <summary>The arithmetic of the large matrix products. Tokens depend on it.</summary>
public enum ComputeType
{
    /// <summary>Weights as stored, inputs and sums in float32.</summary>
    F32,

    /// <summary>
    /// Weights and inputs rounded to 8 bits, with a scale per row and 128 columns; sums of 128 products exact, the rest in float32. Applies to projections, MLPs, experts and the head;
    /// not to embeddings, the gate, the projection that is absorbed into attention, and attention itself.
    /// </summary>
    W8A8,
}
