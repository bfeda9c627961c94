using System.Collections.Concurrent;
using Orleans.Serialization;

namespace Orleans.Runtime;

/// <content>Messages from other silos and from clients.</content>
internal sealed partial class SiloRuntime
{
    private readonly ConcurrentDictionary<(Connection Origin, long CallId), RelayedCall> _relays = new();
    private readonly ConcurrentDictionary<SiloAddress, ISiloControl> _controls = new();
    private readonly SiloControl _control;

    /// <summary>Grain calls of other processes that have come and are not answered yet, here or where they were passed on to.</summary>
    private int _unanswered;

    /// <summary>The runtime of a silo.</summary>
    public ISiloControl Control(SiloAddress silo) => silo.Equals(Address)
        ? _control
        : _controls.GetOrAdd(silo, address => (ISiloControl)GrainProxy.Create(this, Catalog.GetInterface(typeof(ISiloControl)), default, address));

    protected override void OnFrame(Connection connection, ReadOnlyMemory<byte> frame)
    {
        try
        {
            if (MessageCodec.Read(frame, Codecs, Catalog, FindRequest) is not { } message) return;
            message.Origin = connection;
            switch (message.Kind)
            {
                case MessageKind.Request: OnRequest(message); break;
                case MessageKind.Cancel: OnCancel(message); break;
                case MessageKind.Response: OnResponse(message); break;
                case MessageKind.Leaving when !connection.Peer.IsClient:
                    Membership.OnGossip(Codecs.Deserialize<MembershipData>(message.Body));
                    connection.EndRequests(MessageCodec.Write(new Message { Kind = MessageKind.Silent }, Codecs));
                    break;
                case MessageKind.Silent: connection.OnSilent(); break;
                case MessageKind.Migrate when !connection.Peer.IsClient:
                    Interlocked.Increment(ref _unanswered);
                    _ = OnMigrateAsync(message);
                    break;
                case MessageKind.Control when !connection.Peer.IsClient:
                    if (message.Method is { IsOneWay: false }) Interlocked.Increment(ref _unanswered);
                    _ = OnControlAsync(message);
                    break;
            }
        }
        catch (Exception e)
        {
            Logger.BadFrame(connection.Peer, e);
            if (MessageCodec.TryReadCall(frame, Codecs) is { } call) connection.Send(MessageCodec.Write(call.Respond(null, new SerializerException($"Silo {Address} cannot read the request: {e.Message}")), Codecs));
        }
    }

    /// <summary>A connection broke. What its other end asked for and waits for no longer is cancelled.</summary>
    protected override void OnClosed(Connection connection, string reason)
    {
        base.OnClosed(connection, reason);
        _accepted.TryRemove(connection, out _);
        foreach (((Connection origin, _), RelayedCall relay) in _relays)
            if (ReferenceEquals(origin, connection)) SendCancel(relay);
        foreach (Activation activation in _activations.Values) activation.CancelAll(connection);
        if (!HasLeft && !connection.Peer.IsClient) Membership.RefreshSoon();
    }

    /// <summary>Passes a request of another process on to a silo and keeps its place, so that the sender hears of that silo's death.</summary>
    private void Relay(SiloAddress silo, Message request)
    {
        if (++request.ForwardCount > _messaging.MaxForwardCount + 8)
            throw new OrleansMessageRejectionException($"The request for grain {request.Target} was passed on {request.ForwardCount} times without finding it.");
        long deadline = Clock.GetTimestamp() + (long)((request.Method?.ResponseTimeout ?? Messaging.ResponseTimeout).TotalSeconds * 2 * Clock.TimestampFrequency);
        var relay = new RelayedCall(this, request.Origin!, request.CallId) { Request = request, Deadline = deadline };
        request.Origin = null;
        if (request.Method is { IsOneWay: true })
        {
            Transmit(null, request, silo);
            return;
        }
        Adopt(relay);
        _relays[(relay.Origin, relay.OriginalCallId)] = relay;
        request.CallId = relay.CallId;
        Transmit(relay, request, silo);
    }

    private void OnRequest(Message request)
    {
        if (request.Method is { IsOneWay: false }) Interlocked.Increment(ref _unanswered);
        try
        {
            Route(request);
        }
        catch (Exception e)
        {
            Reject(request, e);
        }
    }

    /// <summary>A request goes another way than by the silo that it was to be passed on to.</summary>
    private bool TakeBack(RelayedCall relay)
    {
        if (!TryTake(relay)) return false;
        _relays.TryRemove((relay.Origin, relay.OriginalCallId), out _);
        (relay.Request.Origin, relay.Request.CallId) = (relay.Origin, relay.OriginalCallId);
        relay.Request.ForwardCount--;
        return true;
    }

    /// <summary>Deactivates the grains, asks everybody who is connected to send no more requests, and waits until all that came before is answered.</summary>
    private async Task FallSilentAsync(CancellationToken token)
    {
        // Grains first: what they wait for may have to call them before they can end.
        await DeactivateAllAsync();
        _isFallingSilent = true;
        byte[] leaving = MembersFrame(MessageKind.Leaving);
        foreach (Connection connection in _accepted.Keys) connection.Send(leaving);
        try
        {
            // One who does not answer for so long has given up its own calls.
            await Task.WhenAll(_accepted.Keys.Select(connection => connection.Silent)).WaitAsync(Messaging.ResponseTimeout, Clock, token);
        }
        catch (TimeoutException)
        {
            Logger.NotSilent(Address);
        }
        while (Volatile.Read(ref _unanswered) > 0 || !_activations.IsEmpty)
        {
            await DeactivateAllAsync();
            await Task.Delay(TimeSpan.FromMilliseconds(5), Clock, token);
        }
        await Task.WhenAll(_accepted.Keys.Select(connection => connection.DrainAsync()));
    }

    private void OnResponse(Message response)
    {
        Message request = response.Request!;
        if (response.Location is { } location) _locations.Set(request.Target, location);
        else if (response.Failure is OrleansMessageRejectionException) OnMisled(request);
        Complete(response);
    }

    private void OnCancel(Message cancel)
    {
        if (_activations.TryGetValue(cancel.Target, out Activation? activation) && activation.Cancel(cancel.Origin, cancel.CallId)) return;
        if (_relays.TryGetValue((cancel.Origin!, cancel.CallId), out RelayedCall? relay)) SendCancel(relay);
    }

    private async Task OnControlAsync(Message message)
    {
        object? result = null;
        Exception? failure = null;
        try
        {
            GrainMethod method = message.Method!;
            if (method.Owner.Type != typeof(ISiloControl)) throw new SerializerException($"{method.Owner.Name} is not an interface of silos.");
            result = await method.Returns.Complete(method.Invoke(_control, message.GetArguments(Codecs)));
        }
        catch (Exception e)
        {
            failure = e;
        }
        Respond(message, result, failure);
    }

    private async Task OnMigrateAsync(Message message)
    {
        Exception? failure = null;
        try
        {
            MigrationState state = MigrationState.Unpack(message.Body, Codecs, out ActivationId previous);
            var from = new GrainAddress { GrainId = message.Target, ActivationId = previous, SiloAddress = message.Origin!.Peer };
            Activation activation;
            while (true)
            {
                activation = new Activation(this, Catalog.GetClass(message.Target.Type), message.Target);
                if (_activations.TryAdd(message.Target, activation)) break;
                // A request that came too early started an activation here; it gives way, since the old one is still registered.
                if (_activations.TryGetValue(message.Target, out Activation? early)) await early.Deactivated;
            }
            if (!await activation.StartAsync(from, state)) failure = new OrleansException($"Grain {message.Target} could not be activated on {Address}.");
        }
        catch (Exception e)
        {
            failure = e;
        }
        Respond(message, null, failure);
    }

    /// <summary>Another process's request that a third one works on.</summary>
    private sealed class RelayedCall(SiloRuntime silo, Connection origin, long originalCallId) : PendingCall
    {
        public Connection Origin => origin;

        public long OriginalCallId => originalCallId;

        public override void Complete(Message response, CodecProvider codecs) => Send(response.Failure, response.Body, response.Location ?? TargetSilo);

        public override bool Fail(Exception exception)
        {
            Send(exception, default, null);
            return true;
        }

        public override bool Cancel(CancellationToken token) => true;

        private void Send(Exception? failure, ReadOnlyMemory<byte> body, SiloAddress? location)
        {
            silo._relays.TryRemove((origin, originalCallId), out _);
            Interlocked.Decrement(ref silo._unanswered);
            origin.Send(MessageCodec.Write(new Message { Kind = MessageKind.Response, CallId = originalCallId, Request = Request, Location = location, Failure = failure, Body = body }, silo.Codecs));
        }
    }
}
