namespace Conclave.Model.Experts;

/// <summary>
/// The rows of one MoE layer with their routing, in native buffers that the owner of the tokens keeps. One output row per (token, expert):
/// the owner combines them in ascending expert id, so that the sum does not depend on where the experts live.
/// </summary>
public unsafe struct RoutedRows
{
    /// <summary>Which of the step's micro-batches the rows are: 0 or 1.</summary>
    public int MicroBatch;

    /// <summary>Token rows.</summary>
    public int RowCount;

    /// <summary>Experts a token, k.</summary>
    public int ExpertsPerToken;

    /// <summary>Normed layer input <c>[RowCount, HiddenSize]</c>.</summary>
    public float* Input;

    /// <summary>Chosen experts <c>[RowCount, k]</c>, ascending within a row; negative ones are not wanted.</summary>
    public int* ExpertIds;

    /// <summary>The row of <see cref="Input"/> that each of <see cref="ExpertIds"/> takes; null where it is its own row, as for whole tokens.</summary>
    public int* InputRows;

    /// <summary>Expert outputs <c>[RowCount, k, HiddenSize]</c>, unweighted, in the order of <see cref="ExpertIds"/>.</summary>
    public float* Output;

    /// <summary>The shared experts, if they are to be computed together with the chosen ones: only where <see cref="IExpertDispatch.TakesSharedExperts"/>. Every row of <see cref="Input"/> goes through them.</summary>
    internal MlpWeights SharedExperts;

    /// <summary>Their output <c>[RowCount, HiddenSize]</c>.</summary>
    internal float* SharedOutput;
}

/// <summary>
/// The seam between a rank and its experts, local or remote. Per MoE layer and micro-batch the forward pass calls <see cref="Begin"/>, computes the shared experts and the
/// other micro-batch, then calls <see cref="Complete"/>; a local implementation does all its work in one of the two and pays for no copy. One thread calls.
/// </summary>
public interface IExpertDispatch
{
    /// <summary>
    /// Whether the pass under way should leave the shared experts to <see cref="Complete"/>: with all experts on the same threads fewer and longer loops are faster. Otherwise the pass computes them between
    /// <see cref="Begin"/> and <see cref="Complete"/>, while rows are away. Does not change between <see cref="BeginStep"/> and <see cref="EndStep"/>.
    /// </summary>
    bool TakesSharedExperts => false;

    /// <summary>
    /// A pass of <paramref name="rowCount"/> rows through <paramref name="layerCount"/> layers starts. Returns the number of micro-batches to cut it into: 1, or 2
    /// (of which both may be between <see cref="Begin"/> and <see cref="Complete"/> at a time).
    /// </summary>
    int BeginStep(int rowCount, int layerCount);

    /// <summary>Starts the routed experts of <paramref name="layer"/> for <paramref name="rows"/>; may return before they are done.</summary>
    void Begin(int layer, in RoutedRows rows);

    /// <summary>Returns when every row of <see cref="RoutedRows.Output"/> is written.</summary>
    void Complete(int layer, in RoutedRows rows);

    /// <summary>The pass is over, or given up: the buffers of its rows must not be touched any more.</summary>
    void EndStep();
}
