using System.Collections.Concurrent;
using System.Net;
using Microsoft.Extensions.Logging;
using Orleans.Configuration;
using Orleans.Serialization;

namespace Orleans.Runtime;

/// <summary>Makes calls and awaits their responses: the part that silos and clients have in common.</summary>
internal abstract class RuntimeClient : IDisposable
{
    private static readonly TimeSpan SendAgainAfter = TimeSpan.FromMilliseconds(10);

    private readonly ConcurrentDictionary<long, PendingCall> _calls = new();
    private readonly ITimer _sweeper;
    private long _lastCallId;

    protected RuntimeClient(SiloAddress address, string clusterId, GrainCatalog catalog, MessagingOptions messaging, ConnectionOptions connections, TimeProvider clock, ILogger logger)
    {
        (Address, Catalog, Messaging, OpenLimit, Clock, Logger) = (address, catalog, messaging, connections.OpenConnectionTimeout, clock, logger);
        Factory = new GrainFactory(this, catalog);
        Codecs = new CodecProvider(catalog.TypeNames, Factory.GetReference);
        Events = new ConnectionEvents(OnFrame, OnClosed);
        Outgoing = new Connections(this, clusterId, OpenLimit, Events);
        TimeSpan period = TimeSpan.FromMilliseconds(Math.Clamp(messaging.ResponseTimeout.TotalMilliseconds / 10, 20, 1000));
        _sweeper = clock.CreateTimer(static state => ((RuntimeClient)state!).Sweep(), this, period, period);
    }

    /// <summary>Where responses come to.</summary>
    public SiloAddress Address { get; }

    public GrainCatalog Catalog { get; }

    public CodecProvider Codecs { get; }

    public GrainFactory Factory { get; }

    public MessagingOptions Messaging { get; }

    /// <summary>How long opening a connection may take.</summary>
    public TimeSpan OpenLimit { get; }

    public TimeProvider Clock { get; }

    public ILogger Logger { get; }

    /// <summary>Largest frame that is sent or taken: a body and its header.</summary>
    public int MaxFrameSize => (int)Math.Min(Messaging.MaxMessageBodySize + 64L * 1024, int.MaxValue);

    /// <summary>Connections that this process opened.</summary>
    public Connections Outgoing { get; }

    protected ConnectionEvents Events { get; }

    /// <summary>Calls a grain method for a reference.</summary>
    public object? Call(GrainProxy target, GrainMethod method, object?[] arguments)
    {
        if (method.Returns is StreamShape stream) return stream.Open(this, target.GrainId, method, arguments);
        PendingCall call = method.Returns.NewCall();
        CancellationToken token = method.TokenIndex >= 0 ? (CancellationToken)arguments[method.TokenIndex]! : default;
        var request = target.Silo is null
            ? new Message { Kind = MessageKind.Request, Target = target.GrainId, Method = method, Context = RequestContext.Export() }
            : new Message { Kind = MessageKind.Control, Silo = target.Silo, Method = method };
        Start(call, request, arguments, token);
        return method.Returns.Wrap(call);
    }

    /// <summary>Sends a request; the call completes with its response, at the latest with a timeout.</summary>
    public void Start(PendingCall call, Message request, object?[] arguments, CancellationToken token)
    {
        bool oneWay = request.Method is { IsOneWay: true };
        if (token.IsCancellationRequested)
        {
            call.Cancel(token);
            return;
        }
        request.CallId = call.CallId = Interlocked.Increment(ref _lastCallId);
        request.SetArguments(arguments);
        call.Request = request;
        TimeSpan timeout = request.Method?.ResponseTimeout ?? Messaging.ResponseTimeout;
        call.Deadline = Clock.GetTimestamp() + (long)(timeout.TotalSeconds * Clock.TimestampFrequency);
        if (!oneWay) _calls[call.CallId] = call;
        // Registered before sending, so that a response that comes at once finds the registration to take back.
        if (!oneWay) call.CancelWith(token, CancelRemote);
        try
        {
            Send(request);
        }
        catch (Exception e)
        {
            _calls.TryRemove(call.CallId, out _);
            call.Fail(e);
            return;
        }
        if (oneWay) call.Complete(request.Respond(null, null), Codecs);
        else if (token.IsCancellationRequested) SendCancel(call);
    }

    /// <summary>Completes the call that a response answers.</summary>
    public void Complete(Message response)
    {
        if (_calls.TryRemove(response.CallId, out PendingCall? call)) call.Complete(response, Codecs);
    }

    /// <summary>
    /// Breaks with a silo that has left in order: it had answered everything and closes its connections itself, but its last answers may not have been read here when word of its end comes from
    /// somebody else. Should it vanish instead of closing them, nobody waits for an answer longer than this.
    /// </summary>
    protected void AfterLastAnswers(Action breakOff) => _ = Task.Run(async () =>
    {
        await Task.Delay(Messaging.ResponseTimeout, Clock);
        breakOff();
    });

    /// <summary>Fails the calls whose silo is gone.</summary>
    public void FailCallsTo(SiloAddress silo)
    {
        foreach (PendingCall call in _calls.Values)
            if (silo.Equals(call.TargetSilo)) Fail(call, new SiloUnavailableException($"Silo {silo} is gone while a call of {call.Request.Method} was under way; its outcome is unknown."));
    }

    public virtual void Dispose() => _sweeper.Dispose();

    protected abstract void Send(Message request);

    /// <summary>Sends a request that has not left by the way that was picked.</summary>
    protected abstract void SendAgain(PendingCall? call, Message request);

    /// <summary>Whether a silo has left or is about to, so that there is another way for what it did not get.</summary>
    protected abstract bool IsLeaving(SiloAddress silo);

    protected abstract void SendCancel(PendingCall call);

    protected abstract void OnFrame(Connection connection, ReadOnlyMemory<byte> frame);

    /// <summary>A connection broke: what was under way on it fails.</summary>
    protected virtual void OnClosed(Connection connection, string reason)
    {
        foreach (PendingCall call in _calls.Values)
            if (ReferenceEquals(call.Connection, connection)) Fail(call, Lost(call, connection.Peer, reason));
    }

    /// <summary>Sends a request to a silo: at once if there is a connection, else when there is one. What goes wrong fails the call.</summary>
    /// <param name="call">The call that awaits the response; null for a request without one.</param>
    /// <param name="request">The request; its arguments are packed already.</param>
    /// <param name="silo">The silo.</param>
    /// <param name="endpoint">Where it listens, if not at its address.</param>
    protected void Transmit(PendingCall? call, Message request, SiloAddress silo, IPEndPoint? endpoint = null)
    {
        if (call is not null) call.TargetSilo = silo;
        if (Outgoing.Find(silo) is { } open) Transmit(call, request, open);
        else _ = TransmitLaterAsync(call, request, silo, endpoint);
    }

    protected void Transmit(PendingCall? call, Message request, Connection connection)
    {
        byte[] frame = MessageCodec.Write(request, Codecs);
        if (frame.Length > MaxFrameSize) throw new OrleansException($"The arguments of {request.Method} take {frame.Length} bytes; MessagingOptions.MaxMessageBodySize allows {Messaging.MaxMessageBodySize}.");
        bool isRequest = request.Kind == MessageKind.Request;
        if (connection.Send(frame, call, isRequest)) return;
        if (isRequest) _ = Task.Run(() => SendAgainAsync(call, request));
        else if (call is not null) Fail(call, Lost(call, connection.Peer, "the connection is closed"));
    }

    protected Message? FindRequest(long callId) => _calls.TryGetValue(callId, out PendingCall? call) ? call.Request : null;

    protected PendingCall? FindCall(long callId) => _calls.GetValueOrDefault(callId);

    protected void Adopt(PendingCall call)
    {
        call.CallId = Interlocked.Increment(ref _lastCallId);
        _calls[call.CallId] = call;
    }

    protected void FailAll(Func<PendingCall, Exception> reason)
    {
        foreach (PendingCall call in _calls.Values) Fail(call, reason(call));
    }

    protected virtual void Sweep()
    {
        long now = Clock.GetTimestamp();
        foreach (PendingCall call in _calls.Values)
        {
            if (call.Deadline > now) continue;
            bool failed = Fail(call, new TimeoutException($"No response to {call.Request.Method} of grain {call.Request.Target} in time; its outcome is unknown."));
            if (failed && Messaging.CancelRequestOnTimeout) SendCancel(call);
        }
    }

    /// <summary>Takes a call out of those that are awaited; false if it has ended.</summary>
    protected bool TryTake(PendingCall call) => _calls.TryRemove(KeyValuePair.Create(call.CallId, call));

    protected bool Fail(PendingCall call, Exception exception) => _calls.TryRemove(call.CallId, out _) && call.Fail(exception);

    /// <summary>The silo of a call's grain turned out to be gone or to be the wrong one.</summary>
    protected virtual void OnMisled(Message request) { }

    private static SiloUnavailableException Lost(PendingCall call, SiloAddress silo, string reason) =>
        new($"The connection to silo {silo} broke while a call of {call.Request.Method} was under way ({reason}); its outcome is unknown.");

    private async Task TransmitLaterAsync(PendingCall? call, Message request, SiloAddress silo, IPEndPoint? endpoint)
    {
        try
        {
            Transmit(call, request, await Outgoing.GetAsync(silo, endpoint).ConfigureAwait(false));
        }
        catch (Exception e)
        {
            OnMisled(request);
            if (e is SiloUnavailableException && request.Kind == MessageKind.Request && IsLeaving(silo)) await SendAgainAsync(call, request);
            else if (call is not null) Fail(call, e);
        }
    }

    /// <summary>What was not sent cannot have been done: it goes another way, unless its caller has given up.</summary>
    private async Task SendAgainAsync(PendingCall? call, Message request)
    {
        OnMisled(request);
        await Task.Delay(SendAgainAfter, Clock).ConfigureAwait(false);
        if (call is null || FindCall(call.CallId) is not null) SendAgain(call, request);
    }

    private void CancelRemote(PendingCall call)
    {
        if (_calls.TryRemove(call.CallId, out _)) SendCancel(call);
    }
}
