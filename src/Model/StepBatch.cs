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
    private readonly ModelConfig _config;
    private readonly Arena _arena = new();
    private readonly int _maxRows;
    private readonly int _maxLogitRows;
    private readonly KvPageTable[] _segmentPages;
    private readonly int[] _segmentRows;
    private readonly int[] _rowSegment;
    private readonly float* _logits;
    private readonly float* _hidden;
    private int _segmentCount;

    /// <summary>Makes room for <paramref name="maxRows"/> token rows, of which <paramref name="maxLogitRows"/> may ask for logits.</summary>
    public StepBatch(ModelConfig config, int maxRows, int maxLogitRows)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(maxRows, 1);
        ArgumentOutOfRangeException.ThrowIfLessThan(maxLogitRows, 1);
        _config = config;
        _maxRows = maxRows;
        _maxLogitRows = maxLogitRows;
        _segmentPages = new KvPageTable[maxRows];
        _segmentRows = new int[maxRows];
        _rowSegment = new int[maxRows];
        Tokens = _arena.Ints(maxRows);
        Positions = _arena.Ints(maxRows);
        SourceRows = _arena.Ints(maxRows);
        LogitRowIndex = _arena.Ints(maxLogitRows);
        _logits = _arena.Floats((long)maxLogitRows * config.VocabularySize);
        _hidden = _arena.Floats((long)maxRows * config.HiddenSize);
    }

    /// <summary>Rows added so far.</summary>
    public int RowCount { get; private set; }

    /// <summary>Rows that asked for logits so far.</summary>
    public int LogitRowCount { get; private set; }

    /// <summary>Token of each row.</summary>
    internal int* Tokens { get; }

    /// <summary>Position of each row.</summary>
    internal int* Positions { get; }

    /// <summary>The row of another batch whose hidden state each row goes on from; the MTP module's.</summary>
    internal int* SourceRows { get; }

    /// <summary>Row of each logit row.</summary>
    internal int* LogitRowIndex { get; }

    /// <summary>Logits <c>[LogitRowCount, VocabularySize]</c>.</summary>
    internal float* LogitData => _logits;

    /// <summary>Hidden states behind the final norm <c>[RowCount, HiddenSize]</c>. Clearing the batch leaves them.</summary>
    internal float* HiddenData => _hidden;

    /// <summary>Empties the batch.</summary>
    public void Clear()
    {
        Array.Clear(_segmentPages, 0, _segmentCount);
        _segmentCount = 0;
        RowCount = 0;
        LogitRowCount = 0;
    }

    /// <summary>
    /// Adds <paramref name="tokens"/> of one sequence at positions <c>pages.Length...</c>; the table must have capacity for them. A
    /// sequence may occur once in a batch. Returns the index of its first logit row (meaningless for <see cref="LogitRows.None"/>).
    /// </summary>
    /// <exception cref="ArgumentException">A token is not in the vocabulary, or the rows do not fit the batch, the pages or the context.</exception>
    public int Add(KvPageTable pages, ReadOnlySpan<int> tokens, LogitRows logits) => Add(pages, pages.Length, tokens, logits);

    /// <summary>
    /// As the other overload, at positions <paramref name="start"/>...: for the MTP module, whose rows belong to positions that the main model has
    /// already passed, with hidden states of rows <paramref name="sourceRow"/>... of another batch. <see cref="Transformer.Forward"/> needs
    /// <paramref name="start"/> to be <c>pages.Length</c>.
    /// </summary>
    public int Add(KvPageTable pages, int start, ReadOnlySpan<int> tokens, LogitRows logits, int sourceRow = 0)
    {
        var wanted = logits switch { LogitRows.None => 0, LogitRows.Last => 1, _ => tokens.Length };
        Check(pages, start, tokens, wanted);
        var firstLogitRow = LogitRowCount;
        for (var i = 0; i < tokens.Length; i++)
        {
            var row = RowCount++;
            Tokens[row] = tokens[i];
            Positions[row] = start + i;
            SourceRows[row] = sourceRow + i;
            _rowSegment[row] = _segmentCount;
            if (i >= tokens.Length - wanted)
                LogitRowIndex[LogitRowCount++] = row;
        }

        _segmentPages[_segmentCount] = pages;
        _segmentRows[_segmentCount++] = tokens.Length;
        return firstLogitRow;
    }

    /// <summary>Logits <c>[VocabularySize]</c> of logit row <paramref name="index"/>, valid until the next pass.</summary>
    public Span<float> Logits(int index)
    {
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual((uint)index, (uint)LogitRowCount, nameof(index));
        return new(_logits + ((long)index * _config.VocabularySize), _config.VocabularySize);
    }

    /// <summary>The row that logit row <paramref name="index"/> is.</summary>
    public int RowOfLogits(int index)
    {
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual((uint)index, (uint)LogitRowCount, nameof(index));
        return LogitRowIndex[index];
    }

    /// <summary>The hidden state after <c>model.norm</c> <c>[HiddenSize]</c> of logit row <paramref name="index"/>: what the MTP module takes.</summary>
    public ReadOnlySpan<float> Hidden(int index) => new(_hidden + ((long)RowOfLogits(index) * _config.HiddenSize), _config.HiddenSize);

    /// <inheritdoc/>
    public void Dispose() => _arena.Dispose();

    /// <summary>Pages of the sequence that <paramref name="row"/> belongs to.</summary>
    internal KvPageTable Pages(int row) => _segmentPages[_rowSegment[row]];

    /// <summary>Counts the rows as stored in their sequences' pages.</summary>
    internal void Advance()
    {
        for (var i = 0; i < _segmentCount; i++)
            _segmentPages[i].Length += _segmentRows[i];
    }

    private void Check(KvPageTable pages, int start, ReadOnlySpan<int> tokens, int logitRows)
    {
        if (tokens.IsEmpty)
            throw new ArgumentException("A segment needs at least one token.", nameof(tokens));
        foreach (var token in tokens)
        {
            if ((uint)token >= (uint)_config.VocabularySize)
                throw new ArgumentException($"Token {token} is outside the vocabulary of {_config.VocabularySize}.", nameof(tokens));
        }

        if (RowCount + tokens.Length > _maxRows || LogitRowCount + logitRows > _maxLogitRows)
            throw new ArgumentException($"The batch holds {_maxRows} rows and {_maxLogitRows} logit rows; {RowCount} and {LogitRowCount} are taken, {tokens.Length} and {logitRows} do not fit.", nameof(tokens));
        if (start < 0 || start + (long)tokens.Length > _config.MaxPositions)
            throw new ArgumentException($"Positions {start} to {start + (long)tokens.Length} are outside the model's {_config.MaxPositions}.", nameof(tokens));
        if (start + tokens.Length > pages.Capacity)
            throw new ArgumentException($"The sequence's pages have room for {pages.Capacity} tokens, {start + tokens.Length} are needed.", nameof(pages));
        if (Array.IndexOf(_segmentPages, pages, 0, _segmentCount) >= 0)
            throw new ArgumentException("A sequence may occur once in a batch.", nameof(pages));
    }
}
