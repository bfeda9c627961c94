using Conclave.Model.Checkpoints;
using Conclave.Model.Experts;

namespace Conclave.Model;

/// <summary>
/// The model of one rank: embedding, layers, head. Weights stay in the checkpoint's map. One pass at a time; the caller's thread and the
/// pool's compute it, nothing is allocated.
/// </summary>
public sealed class Transformer : IDisposable
{
    /// <summary>Binds every non-expert weight of <paramref name="checkpoint"/>, whose life must exceed this object's.</summary>
    /// <param name="checkpoint">The mapped weights.</param>
    /// <param name="experts">Where routed experts are evaluated.</param>
    /// <param name="workers">Threads of the pass.</param>
    /// <param name="maxRows">Most rows of one pass: scratch memory is sized for it.</param>
    /// <exception cref="CheckpointException">A tensor is missing or has another shape.</exception>
    public Transformer(Checkpoint checkpoint, IExpertDispatch experts, WorkerPool workers, int maxRows) => throw new NotImplementedException();

    /// <summary>The architecture.</summary>
    public ModelConfig Config => throw new NotImplementedException();

    /// <summary>Shape of the KV pages it reads and writes.</summary>
    public KvLayout KvLayout => throw new NotImplementedException();

    /// <summary>Runs all rows of <paramref name="batch"/> through the model, appends their latents to the pages and fills the asked logits.</summary>
    public void Forward(StepBatch batch) => throw new NotImplementedException();

    /// <inheritdoc/>
    public void Dispose() => throw new NotImplementedException();
}
