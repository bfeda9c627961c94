using System.Collections.Concurrent;
using Orleans.Serialization;

namespace Orleans.Runtime;

internal enum StreamStatus : byte
{
    Elements,
    Completed,
    Heartbeat,
    Missing,
}

/// <summary>An answer to a reader of an asynchronous sequence.</summary>
[GenerateSerializer]
internal sealed class StreamBatch<T>
{
    [Id(0)] public StreamStatus Status { get; set; }

    [Id(1)] public T[] Items { get; set; } = [];
}

/// <summary>A grain method that returns an asynchronous sequence.</summary>
internal abstract class StreamShape : ReturnShape
{
    public override bool IsStream => true;

    /// <summary>The caller's view: nothing is sent before it is enumerated.</summary>
    public abstract object Open(RuntimeClient runtime, GrainId target, GrainMethod method, object?[] arguments);

    /// <summary>The grain's side of one enumeration.</summary>
    public abstract ServerStream Start(object? returned, CancellationTokenSource stop, RuntimeClient runtime);

    /// <summary>The answer when there is no such enumeration.</summary>
    public abstract object Ended(StreamStatus status);
}

/// <inheritdoc/>
internal sealed class StreamShape<T> : StreamShape
{
    public override Type ResultType => typeof(StreamBatch<T>);

    public override PendingCall NewCall() => new PendingCall<StreamBatch<T>>();

    public override object? Wrap(PendingCall call) => throw new InvalidOperationException("A stream has no single result.");

    public override ValueTask<object?> Complete(object? returned) => throw new InvalidOperationException("A stream has no single result.");

    public override object Open(RuntimeClient runtime, GrainId target, GrainMethod method, object?[] arguments) => new GrainStream<T>(runtime, target, method, arguments);

    public override ServerStream Start(object? returned, CancellationTokenSource stop, RuntimeClient runtime) =>
        new ServerStream<T>((IAsyncEnumerable<T>?)returned ?? throw new InvalidOperationException("A grain method returned null instead of a sequence."), stop, runtime);

    public override object Ended(StreamStatus status) => new StreamBatch<T> { Status = status };
}

/// <summary>The asynchronous sequences that an activation produces, by reader.</summary>
internal sealed class ServerStreams(RuntimeClient runtime)
{
    private readonly ConcurrentDictionary<Guid, ServerStream> _streams = new();

    public ValueTask<object?> ExecuteAsync(Message message, object grain)
    {
        var shape = (StreamShape)message.Method!.Returns;
        return message.Operation switch
        {
            Operation.StreamStart => StartAsync(message, shape, grain),
            Operation.StreamNext => NextAsync(message.StreamId, message.BatchSize, shape),
            _ => DisposeAsync(message.StreamId, shape),
        };
    }

    public bool HasAbandoned(TimeSpan age) => !_streams.IsEmpty && _streams.Values.Any(stream => stream.IsAbandoned(age));

    public async Task DisposeAbandonedAsync(TimeSpan age)
    {
        foreach ((Guid id, ServerStream stream) in _streams)
            if (stream.IsAbandoned(age) && _streams.TryRemove(id, out _)) await stream.StopAsync();
    }

    /// <summary>Ends a stream whose reader is gone.</summary>
    public async Task StopAsync(Guid id)
    {
        if (_streams.TryRemove(id, out ServerStream? stream)) await stream.StopAsync();
    }

    public async Task AbortAllAsync()
    {
        foreach (Guid id in _streams.Keys)
            if (_streams.TryRemove(id, out ServerStream? stream)) await stream.AbortAsync();
    }

    private ValueTask<object?> StartAsync(Message message, StreamShape shape, object grain)
    {
        GrainMethod method = message.Method!;
        var stop = new CancellationTokenSource();
        object?[] arguments = message.GetArguments(runtime.Codecs);
        if (method.TokenIndex >= 0) arguments[method.TokenIndex] = stop.Token;
        _streams[message.StreamId] = shape.Start(method.Invoke(grain, arguments), stop, runtime);
        return NextAsync(message.StreamId, message.BatchSize, shape);
    }

    private async ValueTask<object?> NextAsync(Guid id, int batchSize, StreamShape shape)
    {
        if (!_streams.TryGetValue(id, out ServerStream? stream)) return shape.Ended(StreamStatus.Missing);
        bool ended = true;
        try
        {
            (object batch, ended) = await stream.NextAsync(batchSize);
            return batch;
        }
        finally
        {
            if (ended && _streams.TryRemove(id, out _)) await stream.StopAsync();
        }
    }

    private async ValueTask<object?> DisposeAsync(Guid id, StreamShape shape)
    {
        await StopAsync(id);
        return shape.Ended(StreamStatus.Completed);
    }
}
