using Grpc.Core;

namespace Grpc.AspNetCore.Server.Internal;

/// <summary>The responses of a call, one after another, each sent as soon as it is written.</summary>
internal sealed class ResponseStream<TResponse>(HttpCallContext call, Action<TResponse, SerializationContext> serializer) : IServerStreamWriter<TResponse>
    where TResponse : class
{
    private int _writing;

    public WriteOptions? WriteOptions { get => call.WriteOptions; set => call.WriteOptions = value; }

    public Task WriteAsync(TResponse message) => WriteAsync(message, CancellationToken.None);

    public async Task WriteAsync(TResponse message, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(message);
        // A message that is half on its way cannot be taken back: a cancelled write cancels the call.
        using CancellationTokenRegistration registration = cancellationToken == call.CancellationToken
            ? default
            : cancellationToken.UnsafeRegister(static state => ((HttpCallContext)state!).Cancel(), call);
        cancellationToken.ThrowIfCancellationRequested();
        if (call.HasEnded || call.CancellationToken.IsCancellationRequested)
            throw new InvalidOperationException("Can't write the message because the request is complete.");
        if (Interlocked.Exchange(ref _writing, 1) == 1)
            throw new InvalidOperationException("Can't write the message because the previous write is in progress.");
        try
        {
            await call.Writer.WriteAsync(message, serializer, call.WriteOptions?.Flags ?? default, flush: true, call.CancellationToken);
        }
        finally
        {
            Volatile.Write(ref _writing, 0);
        }
    }
}
