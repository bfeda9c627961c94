namespace Conclave.Model;

/// <summary>Which rows of a segment need logits.</summary>
public enum LogitRows
{
    /// <summary>None: a prefill chunk that is not the prompt's last.</summary>
    None,

    /// <summary>The last row: decoding, or the end of a prompt.</summary>
    Last,

    /// <summary>Every row.</summary>
    All,
}

/// <summary>
/// The rows of one forward pass: segments of consecutive tokens, each of one sequence, and after the pass their logits. Reused from
/// step to step; nothing is allocated after construction.
/// </summary>
public sealed unsafe class StepBatch : IDisposable
{
    /// <summary>Makes room for <paramref name="maxRows"/> token rows, of which <paramref name="maxLogitRows"/> may ask for logits.</summary>
    public StepBatch(ModelConfig config, int maxRows, int maxLogitRows) => throw new NotImplementedException();

    /// <summary>Rows added so far.</summary>
    public int RowCount => throw new NotImplementedException();

    /// <summary>Rows that asked for logits so far.</summary>
    public int LogitRowCount => throw new NotImplementedException();

    /// <summary>Empties the batch.</summary>
    public void Clear() => throw new NotImplementedException();

    /// <summary>
    /// Adds <paramref name="tokens"/> of one sequence at positions <c>pages.Length...</c>; the table must have capacity for them. A
    /// sequence may occur once in a batch. Returns the index of its first logit row (meaningless for <see cref="LogitRows.None"/>).
    /// </summary>
    public int Add(KvPageTable pages, ReadOnlySpan<int> tokens, LogitRows logits) => throw new NotImplementedException();

    /// <summary>Logits <c>[VocabularySize]</c> of logit row <paramref name="index"/>, valid until the next pass.</summary>
    public Span<float> Logits(int index) => throw new NotImplementedException();

    /// <summary>The hidden state after <c>model.norm</c> <c>[HiddenSize]</c> of logit row <paramref name="index"/>: what the MTP module takes.</summary>
    public ReadOnlySpan<float> Hidden(int index) => throw new NotImplementedException();

    /// <inheritdoc/>
    public void Dispose() => throw new NotImplementedException();
}
