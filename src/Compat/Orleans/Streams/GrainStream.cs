namespace Orleans.Runtime;

/// <summary>Options of asynchronous sequences that grains return.</summary>
public static class AsyncEnumerableExtensions
{
    /// <summary>At most so many elements per message; 1 gives each element at once, the default of 100 favours throughput.</summary>
    public static IAsyncEnumerable<T> WithBatchSize<T>(this IAsyncEnumerable<T> self, int maxBatchSize)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(maxBatchSize, 1);
        if (self is GrainStream<T> stream) stream.MaxBatchSize = maxBatchSize;
        return self;
    }
}

/// <summary>The caller's view of an asynchronous sequence: each enumeration calls the grain anew.</summary>
internal sealed class GrainStream<T>(RuntimeClient runtime, GrainId target, GrainMethod method, object?[] arguments) : IAsyncEnumerable<T>
{
    public int MaxBatchSize { get; set; } = 100;

    public IAsyncEnumerator<T> GetAsyncEnumerator(CancellationToken cancellationToken = default) =>
        new GrainStreamReader<T>(runtime, target, method, arguments, MaxBatchSize, cancellationToken);
}

/// <summary>One enumeration of an asynchronous sequence of a grain.</summary>
internal sealed class GrainStreamReader<T> : IAsyncEnumerator<T>
{
    private readonly RuntimeClient _runtime;
    private readonly GrainId _target;
    private readonly GrainMethod _method;
    private readonly object?[] _arguments;
    private readonly int _batchSize;
    private readonly Guid _id = Guid.NewGuid();
    private readonly Dictionary<string, object>? _context = RequestContext.Export();
    private readonly CancellationTokenSource? _linked;
    private readonly CancellationToken _token;
    private T[] _items = [];
    private int _index;
    private bool _started;
    private bool _ended;

    public GrainStreamReader(RuntimeClient runtime, GrainId target, GrainMethod method, object?[] arguments, int batchSize, CancellationToken token)
    {
        (_runtime, _target, _method, _arguments, _batchSize) = (runtime, target, method, arguments, batchSize);
        CancellationToken argument = method.TokenIndex >= 0 ? (CancellationToken)arguments[method.TokenIndex]! : default;
        if (argument.CanBeCanceled && token.CanBeCanceled && argument != token) _linked = CancellationTokenSource.CreateLinkedTokenSource(argument, token);
        _token = _linked?.Token ?? (argument.CanBeCanceled ? argument : token);
    }

    public T Current { get; private set; } = default!;

    public async ValueTask<bool> MoveNextAsync()
    {
        while (true)
        {
            if (_index < _items.Length)
            {
                Current = _items[_index++];
                return true;
            }
            if (_ended) return false;
            _token.ThrowIfCancellationRequested();
            await ReadAsync();
        }
    }

    public async ValueTask DisposeAsync()
    {
        try
        {
            if (!_started || _ended) return;
            _ended = true;
            Task<StreamBatch<T>> end = Send(Operation.StreamDispose, default);
            // A reader that was cancelled does not wait for the producer to notice.
            if (!_token.IsCancellationRequested) await ((Task)end).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }
        finally
        {
            _linked?.Dispose();
        }
    }

    private async ValueTask ReadAsync()
    {
        Operation operation = _started ? Operation.StreamNext : Operation.StreamStart;
        _started = true;
        StreamBatch<T> batch;
        try
        {
            batch = await Send(operation, _token);
        }
        catch (Exception) when (!_token.IsCancellationRequested)
        {
            _ended = true;
            throw;
        }
        (_items, _index) = (batch.Items, 0);
        if (batch.Status == StreamStatus.Missing)
        {
            _ended = true;
            throw new EnumerationAbortedException($"Grain {_target} no longer produces this sequence: it was deactivated, or it was not read for too long.");
        }
        if (batch.Status == StreamStatus.Completed) _ended = true;
    }

    private Task<StreamBatch<T>> Send(Operation operation, CancellationToken token)
    {
        var request = new Message { Kind = MessageKind.Request, Operation = operation, Target = _target, Method = _method, StreamId = _id, BatchSize = _batchSize, Context = _context };
        var call = new PendingCall<StreamBatch<T>>();
        _runtime.Start(call, request, operation == Operation.StreamStart ? _arguments : [], token);
        return call.Task;
    }
}
