namespace Conclave.Model;

/// <summary>What the thread of a step is doing.</summary>
public enum StepActivity
{
    /// <summary>Norm and attention.</summary>
    Attention,

    /// <summary>Norm and gate.</summary>
    Gate,

    /// <summary>Handing rows to other silos.</summary>
    Dispatch,

    /// <summary>Routed experts of this silo.</summary>
    RoutedExperts,

    /// <summary>A dense layer's MLP, or the shared experts.</summary>
    DenseExperts,

    /// <summary>Waiting for rows from other silos.</summary>
    Wait,

    /// <summary>Adding expert outputs.</summary>
    Combine,

    /// <summary>Behind the last layer.</summary>
    Done,

    /// <summary>Final norm and head.</summary>
    Head,

    /// <summary>Rows at another silo, from being sent to being received.</summary>
    RoundTrip,
}

/// <summary>One activity of a step.</summary>
/// <param name="Lane">0 for the step's thread; others as the recorder numbers them.</param>
/// <param name="Activity">What.</param>
/// <param name="Layer">Layer.</param>
/// <param name="MicroBatch">Micro-batch, 0 or 1.</param>
/// <param name="Start">Clock's timestamp at the start.</param>
/// <param name="End">Clock's timestamp at the end.</param>
public readonly record struct StepSpan(int Lane, StepActivity Activity, int Layer, int MicroBatch, long Start, long End);

/// <summary>
/// Activities of one step, noted into memory reserved beforehand; what does not fit is counted, not kept. Used by the thread of the step alone.
/// </summary>
public sealed class StepTimeline(TimeProvider clock, int capacity = 1 << 14)
{
    private readonly StepSpan[] _spans = new StepSpan[capacity];
    private StepSpan _current;
    private bool _isOpen;

    /// <summary>Spans of the last step, in the order in which they ended.</summary>
    public ReadOnlySpan<StepSpan> Spans => _spans.AsSpan(0, Count);

    /// <summary>Spans kept.</summary>
    public int Count { get; private set; }

    /// <summary>Spans that did not fit.</summary>
    public int Dropped { get; private set; }

    /// <summary>The clock's time stamp.</summary>
    public long Now => clock.GetTimestamp();

    /// <summary>Forgets everything: a step begins.</summary>
    public void Clear()
    {
        Count = 0;
        Dropped = 0;
        _isOpen = false;
    }

    /// <summary>The thread of the step turns to another activity: what it did before ends here.</summary>
    public void Mark(StepActivity activity, int layer, int microBatch)
    {
        var now = Now;
        if (_isOpen)
            Add(_current with { End = now });
        _isOpen = activity != StepActivity.Done;
        _current = new StepSpan(0, activity, layer, microBatch, now, now);
    }

    /// <summary>Notes a finished activity of another lane.</summary>
    public void Add(in StepSpan span)
    {
        if (Count == _spans.Length)
            Dropped++;
        else
            _spans[Count++] = span;
    }
}
