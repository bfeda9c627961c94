using System.Collections.Concurrent;
using Orleans.Serialization;

namespace Orleans.Runtime;

/// <content>Messages from other silos and from clients.</content>
internal sealed partial class SiloRuntime
{
    private readonly ConcurrentDictionary<(SiloAddress Client, long CallId), RelayedCall> _relays = new();

    private void OnFrame(ReadOnlyMemory<byte> frame)
    {
        try
        {
            if (MessageCodec.Read(frame, Codecs, Catalog, FindRequest) is not { } message) return;
            switch (message.Kind)
            {
                case MessageKind.Request: Route(message, placedHere: !message.Sender.IsClient); break;
                case MessageKind.Response: Complete(message); break;
                case MessageKind.Cancel: OnCancel(message); break;
                case MessageKind.Migrate: _ = OnMigrateAsync(message); break;
            }
        }
        catch (Exception e)
        {
            Logger.BadFrame(Address, e);
        }
    }

    /// <summary>Passes a client's request on to another silo and keeps its place, so that the client hears of that silo's death.</summary>
    private void Relay(SiloAddress silo, Message request)
    {
        long deadline = Clock.GetTimestamp() + (long)((request.Method?.ResponseTimeout ?? Messaging.ResponseTimeout).TotalSeconds * 2 * Clock.TimestampFrequency);
        var relay = new RelayedCall(this, request.Sender, request.CallId) { Request = request, TargetSilo = silo, Deadline = deadline };
        Adopt(relay);
        _relays[(relay.Client, relay.ClientCallId)] = relay;
        request.Sender = Address;
        request.CallId = relay.CallId;
        if (!InProcessNetwork.TrySend(silo, MessageCodec.Write(request, Codecs))) FailCallsTo(silo);
    }

    private void OnCancel(Message cancel)
    {
        if (_activations.TryGetValue(cancel.Target, out Activation? activation) && activation.Cancel(cancel.Sender, cancel.CallId)) return;
        if (_relays.TryGetValue((cancel.Sender, cancel.CallId), out RelayedCall? relay)) SendCancel(relay);
    }

    private async Task OnMigrateAsync(Message message)
    {
        Exception? failure = null;
        try
        {
            MigrationState state = MigrationState.Unpack(message.Body, Codecs, out ActivationId previous);
            var from = new GrainAddress { GrainId = message.Target, ActivationId = previous, SiloAddress = message.Sender };
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

    /// <summary>A client's request that another silo works on.</summary>
    private sealed class RelayedCall(SiloRuntime gateway, SiloAddress client, long clientCallId) : PendingCall
    {
        public SiloAddress Client => client;

        public long ClientCallId => clientCallId;

        public override void Complete(Message response, CodecProvider codecs)
        {
            var relayed = new Message { Kind = MessageKind.Response, CallId = clientCallId, Sender = gateway.Address, Request = Request, Failure = response.Failure, Body = response.Body };
            // The request may have come back to this silo, if the grain moved here meanwhile: then there are no bytes yet.
            if (response.Body.IsEmpty && response.Failure is null) relayed.SetResult(response.TakeResult(codecs));
            Send(relayed);
        }

        public override bool Fail(Exception exception)
        {
            Send(new Message { Kind = MessageKind.Response, CallId = clientCallId, Sender = gateway.Address, Request = Request, Failure = exception });
            return true;
        }

        public override bool Cancel(CancellationToken token) => true;

        private void Send(Message response)
        {
            gateway._relays.TryRemove((client, clientCallId), out _);
            InProcessNetwork.TrySend(client, MessageCodec.Write(response, gateway.Codecs));
        }
    }
}
