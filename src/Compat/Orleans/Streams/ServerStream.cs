namespace Orleans.Runtime;

/// <summary>The grain's side of one enumeration.</summary>
internal abstract class ServerStream
{
    public abstract bool IsAbandoned(TimeSpan age);

    /// <summary>The next elements, and whether they are the last.</summary>
    public abstract ValueTask<(object Batch, bool Ended)> NextAsync(int batchSize);

    /// <summary>Stops the producer and waits for its end.</summary>
    public abstract Task StopAsync();

    /// <summary>Stops the producer; the reader is told that the sequence is gone.</summary>
    public abstract Task AbortAsync();
}

/// <inheritdoc/>
internal sealed class ServerStream<T>(IAsyncEnumerable<T> source, CancellationTokenSource stop, RuntimeClient runtime) : ServerStream
{
    /// <summary>The reader is answered at least this often, or twice per response timeout if that is shorter, so that its calls do not time out.</summary>
    private static readonly TimeSpan LongestPoll = TimeSpan.FromSeconds(10);

    private readonly IAsyncEnumerator<T> _enumerator = source.GetAsyncEnumerator(stop.Token);
    private readonly TaskCompletionSource<bool> _aborted = new();
    private readonly TimeSpan _poll = runtime.Messaging.ResponseTimeout / 2 < LongestPoll ? runtime.Messaging.ResponseTimeout / 2 : LongestPoll;
    private Task<bool>? _move;
    private bool _polled;
    private bool _stopped;
    private long _lastPoll = runtime.Clock.GetTimestamp();

    public override bool IsAbandoned(TimeSpan age) => !_polled && runtime.Clock.GetElapsedTime(_lastPoll) >= age;

    public override async ValueTask<(object Batch, bool Ended)> NextAsync(int batchSize)
    {
        if (_polled) throw new InvalidOperationException("Two reads of one sequence at the same time.");
        _polled = true;
        try
        {
            if (!await ArrivesAsync()) return (new StreamBatch<T> { Status = _aborted.Task.IsCompleted ? StreamStatus.Missing : StreamStatus.Heartbeat }, false);
            return await CollectAsync(batchSize);
        }
        finally
        {
            _polled = false;
            _lastPoll = runtime.Clock.GetTimestamp();
        }
    }

    public override async Task StopAsync()
    {
        if (_stopped) return;
        _stopped = true;
        // Not CancelAsync: the callbacks of the token are the grain's code and belong into its turn.
        stop.Cancel();
        // The reader is gone: what the producer throws on its way out concerns nobody, and an enumerator may not be disposed while it moves.
        if (_move is not null) await ((Task)_move).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing | ConfigureAwaitOptions.ContinueOnCapturedContext);
        await _enumerator.DisposeAsync();
        stop.Dispose();
    }

    public override Task AbortAsync()
    {
        _aborted.TrySetResult(true);
        return StopAsync();
    }

    /// <summary>Waits for the next step of the producer; false if it takes longer than a poll or was aborted.</summary>
    private async ValueTask<bool> ArrivesAsync()
    {
        _move ??= _enumerator.MoveNextAsync().AsTask();
        if (_move.IsCompleted) return true;
        using var late = new CancellationTokenSource();
        await Task.WhenAny(_move, _aborted.Task, Task.Delay(_poll, runtime.Clock, late.Token));
        await late.CancelAsync();
        return _move.IsCompleted && !_aborted.Task.IsCompleted;
    }

    /// <summary>Takes the element that has arrived and those that are ready after it.</summary>
    private async ValueTask<(object Batch, bool Ended)> CollectAsync(int batchSize)
    {
        var items = new List<T>(Math.Min(batchSize, 16));
        while (_move is { IsCompletedSuccessfully: true })
        {
            bool more = await _move;
            _move = null;
            if (!more) return (new StreamBatch<T> { Status = StreamStatus.Completed, Items = [.. items] }, true);
            items.Add(_enumerator.Current);
            if (items.Count == batchSize) break;
            _move = _enumerator.MoveNextAsync().AsTask();
        }
        if (items.Count == 0) await _move!;
        return (new StreamBatch<T> { Status = StreamStatus.Elements, Items = [.. items] }, false);
    }
}
