using System.Collections.Concurrent;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Options;
using Orleans.Configuration;
using Orleans.Serialization;

namespace Orleans.Runtime;

/// <summary>A silo: its activations, and the way of requests to activations here and elsewhere.</summary>
internal sealed partial class SiloRuntime : RuntimeClient
{
    private readonly ConcurrentDictionary<GrainId, Activation> _activations = new();
    private readonly SiloMessagingOptions _messaging;
    private ClusterState? _cluster;

    public SiloRuntime(
        IServiceProvider services, GrainCatalog catalog, LocalSiloDetails details, IOptions<SiloMessagingOptions> messaging,
        IOptions<GrainCollectionOptions> collection, TimeProvider clock, ILogger<SiloRuntime> logger)
        : base(details.SiloAddress, catalog, messaging.Value, clock, logger)
    {
        Services = services;
        CollectionOptions = collection.Value;
        _messaging = messaging.Value;
        Activator = new GrainActivator(this);
        Placement = new PlacementService(this);
    }

    public IServiceProvider Services { get; }

    public GrainCollectionOptions CollectionOptions { get; }

    public GrainActivator Activator { get; }

    public PlacementService Placement { get; }

    public ClusterState Cluster => _cluster ?? throw new InvalidOperationException("The silo has not been started; grain calls work once the host runs.");

    public ActivationDirectory Directory => Cluster.Directory;

    public SiloStatus Status => _cluster?.Membership.Current.GetSiloStatus(Address) ?? SiloStatus.Created;

    public int ActivationCount => _activations.Count;

    /// <summary>Finds the silo of a request's grain and brings the request there.</summary>
    /// <param name="request">The request.</param>
    /// <param name="placedHere">Whether another silo's placement picked this one, should the grain not be active anywhere.</param>
    public void Route(Message request, bool placedHere = false)
    {
        if (_activations.TryGetValue(request.Target, out Activation? activation) && activation.Receive(request)) return;
        _ = RouteAsync(request, placedHere);
    }

    public void Respond(Message request, object? result, Exception? failure)
    {
        if (request.Method is { IsOneWay: true }) return;
        if (request.Sender.Equals(Address)) RespondHere(request, result, failure);
        else RespondThere(request, result, failure);
    }

    public void Reject(Message request, Exception reason) => Respond(request, null, reason);

    public void Remove(Activation activation) => _activations.TryRemove(KeyValuePair.Create(activation.GrainId, activation));

    /// <summary>Sends the packed state of an activation to another silo and waits until it lives there.</summary>
    public async Task MoveAsync(GrainAddress from, SiloAddress target, MigrationState state)
    {
        var request = new Message { Kind = MessageKind.Migrate, Target = from.GrainId, Sender = Address, Body = state.Pack(from.ActivationId) };
        var call = new PendingCall<object?> { Request = request, TargetSilo = target, Deadline = Clock.GetTimestamp() + (long)(Messaging.ResponseTimeout.TotalSeconds * Clock.TimestampFrequency) };
        Adopt(call);
        request.CallId = call.CallId;
        if (!InProcessNetwork.TrySend(target, MessageCodec.Write(request, Codecs))) throw new SiloUnavailableException($"Silo {target} cannot be reached.");
        await call.Task;
    }

    protected override void Send(Message request)
    {
        _ = Cluster;
        // Arguments are copied before the call returns, so that the caller may go on changing them.
        if (_activations.TryGetValue(request.Target, out Activation? activation) && activation.IsValid)
        {
            if (request.Method is { } method && request.Operation is Operation.Invoke or Operation.StreamStart) request.SetArguments(request.Method!.CopyArguments(Codecs, request.GetArguments(Codecs)));
        }
        else
        {
            request.Pack(Codecs);
        }
        Route(request);
    }

    protected override void SendCancel(PendingCall call)
    {
        if (_activations.TryGetValue(call.Request.Target, out Activation? activation) && activation.Cancel(call.Request.Sender, call.CallId)) return;
        if (call.TargetSilo is null || call.TargetSilo.Equals(Address)) return;
        var cancel = new Message { Kind = MessageKind.Cancel, CallId = call.CallId, Sender = Address, Target = call.Request.Target };
        InProcessNetwork.TrySend(call.TargetSilo, MessageCodec.Write(cancel, Codecs));
    }

    protected override void Sweep()
    {
        base.Sweep();
        foreach (Activation activation in _activations.Values) activation.Sweep(Messaging.ResponseTimeout * 2);
    }

    private async Task RouteAsync(Message request, bool placedHere)
    {
        try
        {
            while (true)
            {
                SiloAddress silo = await Placement.LocateAsync(request, placedHere);
                if (!silo.Equals(Address))
                {
                    SendTo(silo, request);
                    return;
                }
                if (GetOrCreate(request.Target).Receive(request)) return;
            }
        }
        catch (Exception e)
        {
            Reject(request, e);
        }
    }

    private Activation GetOrCreate(GrainId grainId)
    {
        while (true)
        {
            if (_activations.TryGetValue(grainId, out Activation? existing)) return existing;
            var created = new Activation(this, Catalog.GetClass(grainId.Type), grainId);
            if (!_activations.TryAdd(grainId, created)) continue;
            _ = created.StartAsync();
            return created;
        }
    }

    private void SendTo(SiloAddress silo, Message request)
    {
        if (request.Sender.IsClient)
        {
            Relay(silo, request);
            return;
        }
        if (request.Sender.Equals(Address))
        {
            if (FindCall(request.CallId) is { } call) call.TargetSilo = silo;
        }
        else if (++request.ForwardCount > _messaging.MaxForwardCount + 8)
        {
            throw new OrleansMessageRejectionException($"The request for grain {request.Target} was passed on {request.ForwardCount} times without finding it.");
        }
        if (!InProcessNetwork.TrySend(silo, MessageCodec.Write(request, Codecs))) throw new SiloUnavailableException($"Silo {silo} cannot be reached.");
    }

    private void RespondHere(Message request, object? result, Exception? failure)
    {
        if (failure is null && result is not null)
        {
            try
            {
                result = Codecs.Get(request.ResponseType).CopyObject(result, new CopyContext(Codecs));
            }
            catch (Exception e)
            {
                (result, failure) = (null, e);
            }
        }
        Complete(request.Respond(result, failure));
    }

    private void RespondThere(Message request, object? result, Exception? failure)
    {
        byte[] frame;
        try
        {
            frame = MessageCodec.Write(request.Respond(result, failure), Codecs);
        }
        catch (Exception e)
        {
            // A result or exception that cannot travel must still end the call.
            frame = MessageCodec.Write(request.Respond(null, new SerializerException($"The response of {request.Method} cannot be sent: {e.Message}")), Codecs);
        }
        InProcessNetwork.TrySend(request.Sender, frame);
    }
}
