using Orleans.Serialization;

namespace Orleans.Runtime;

/// <summary>A call whose response is awaited.</summary>
internal abstract class PendingCall
{
    private CancellationTokenRegistration _registration;

    public long CallId { get; set; }

    public Message Request { get; set; } = null!;

    /// <summary>The silo that was asked; null while that is being found out.</summary>
    public SiloAddress? TargetSilo { get; set; }

    /// <summary>The connection that the request left by; the call fails when it breaks.</summary>
    public Connection? Connection { get; set; }

    /// <summary>Timestamp at which the call times out.</summary>
    public long Deadline { get; set; }

    /// <summary>Completes from a response; its content is read or copied here.</summary>
    public abstract void Complete(Message response, CodecProvider codecs);

    public abstract bool Fail(Exception exception);

    public abstract bool Cancel(CancellationToken token);

    /// <summary>Ties the call to the caller's token.</summary>
    public void CancelWith(CancellationToken token, Action<PendingCall> cancelRemote)
    {
        if (!token.CanBeCanceled) return;
        _registration = token.UnsafeRegister(static (state, token) =>
        {
            var (call, cancel) = ((PendingCall, Action<PendingCall>))state!;
            if (call.Cancel(token)) cancel(call);
        }, (this, cancelRemote));
    }

    protected void Done() => _registration.Unregister();
}

/// <inheritdoc/>
internal sealed class PendingCall<T> : PendingCall
{
    private readonly TaskCompletionSource<T> _source = new(TaskCreationOptions.RunContinuationsAsynchronously);

    public Task<T> Task => _source.Task;

    public override void Complete(Message response, CodecProvider codecs)
    {
        Done();
        try
        {
            if (response.Failure is { } failure) _source.TrySetException(failure);
            else _source.TrySetResult((T)response.TakeResult(codecs)!);
        }
        catch (Exception e)
        {
            _source.TrySetException(e);
        }
    }

    public override bool Fail(Exception exception)
    {
        Done();
        return _source.TrySetException(exception);
    }

    public override bool Cancel(CancellationToken token) => _source.TrySetCanceled(token);
}
