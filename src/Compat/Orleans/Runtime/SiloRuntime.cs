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
    private readonly LocationCache _locations = new();
    private readonly SiloMessagingOptions _messaging;

    public SiloRuntime(
        IServiceProvider services, GrainCatalog catalog, LocalSiloDetails details, IOptions<SiloMessagingOptions> messaging, IOptions<EndpointOptions> endpoints,
        IOptions<GrainCollectionOptions> collection, IOptions<ClusterMembershipOptions> membership, IOptions<ConnectionOptions> connections, IFatalErrorHandler fatal, TimeProvider clock, ILogger<SiloRuntime> logger)
        : base(details.SiloAddress, details.ClusterId, catalog, messaging.Value, connections.Value, clock, logger)
    {
        Services = services;
        CollectionOptions = collection.Value;
        (_details, _messaging, _endpoints, _fatal) = (details, messaging.Value, endpoints.Value, fatal);
        Activator = new GrainActivator(this);
        Placement = new PlacementService(this);
        Membership = new MembershipAgent(Address, Control, membership.Value, clock, logger);
        Directory = new GrainDirectory(this);
        _control = new SiloControl(this);
        _detector = new FailureDetector(this, membership.Value, clock, logger);
    }

    public IServiceProvider Services { get; }

    public GrainCollectionOptions CollectionOptions { get; }

    public GrainActivator Activator { get; }

    public PlacementService Placement { get; }

    public MembershipAgent Membership { get; }

    public GrainDirectory Directory { get; }

    public SiloStatus Status => Membership.Current.GetSiloStatus(Address);

    public int ActivationCount => _activations.Count;

    public bool IsAlive(SiloAddress silo) => Membership.Current.GetSiloStatus(silo) is SiloStatus.Active or SiloStatus.ShuttingDown or SiloStatus.Stopping;

    /// <summary>Where a grain was last seen; null if it has to be looked up, as when that silo is leaving.</summary>
    public SiloAddress? LastSeen(GrainId grain) =>
        _locations.Find(grain) is { } silo && !silo.Equals(Address) && Membership.Current.GetSiloStatus(silo) == SiloStatus.Active ? silo : null;

    /// <summary>Whether the grain is active here or on its way in or out.</summary>
    public bool Holds(GrainId grain) => _activations.ContainsKey(grain);

    /// <summary>Finds the silo of a request's grain and brings the request there.</summary>
    public void Route(Message request)
    {
        if (_activations.TryGetValue(request.Target, out Activation? activation) && activation.Receive(request)) return;
        // Only the first silo trusts its memory; one that is asked by another looks the grain up.
        if (IsFirstHop(request) && LastSeen(request.Target) is { } silo) SendTo(silo, request);
        else ThreadPool.UnsafeQueueUserWorkItem(static state => _ = state.Silo.RouteAsync(state.Request), (Silo: this, Request: request), preferLocal: false);
    }

    public void Respond(Message request, object? result, Exception? failure)
    {
        if (request.Method is { IsOneWay: true }) return;
        if (request.Origin is { } connection) RespondThere(connection, request, result, failure);
        else RespondHere(request, result, failure);
    }

    public void Reject(Message request, Exception reason) => Respond(request, null, reason);

    public void Remove(Activation activation) => _activations.TryRemove(KeyValuePair.Create(activation.GrainId, activation));

    /// <summary>Sends the packed state of an activation to another silo and waits until it lives there.</summary>
    public async Task MoveAsync(GrainAddress from, SiloAddress target, MigrationState state)
    {
        var request = new Message { Kind = MessageKind.Migrate, Target = from.GrainId, Body = state.Pack(from.ActivationId) };
        var call = new PendingCall<object?> { Request = request, Deadline = Clock.GetTimestamp() + (long)(Messaging.ResponseTimeout.TotalSeconds * Clock.TimestampFrequency) };
        Adopt(call);
        request.CallId = call.CallId;
        Transmit(call, request, target);
        await call.Task;
        Directory.Forget(from);
        _locations.Set(from.GrainId, target);
    }

    protected override void Send(Message request)
    {
        ThrowIfNotStarted();
        if (request.Silo is { } silo)
        {
            request.Pack(Codecs);
            Transmit(FindCall(request.CallId), request, silo);
            return;
        }
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

    protected override void SendAgain(PendingCall? call, Message request)
    {
        if (call is RelayedCall relay && !TakeBack(relay)) return;
        try
        {
            Route(request);
        }
        catch (Exception e)
        {
            Reject(request, e);
        }
    }

    protected override bool IsLeaving(SiloAddress silo) => !HasLeft && Membership.Current.GetSiloStatus(silo) is SiloStatus.ShuttingDown or SiloStatus.Stopping or SiloStatus.Dead;

    protected override void SendCancel(PendingCall call)
    {
        if (_activations.TryGetValue(call.Request.Target, out Activation? activation) && activation.Cancel(call.Request.Origin, call.CallId)) return;
        var cancel = new Message { Kind = MessageKind.Cancel, CallId = call.CallId, Target = call.Request.Target };
        call.Connection?.Send(MessageCodec.Write(cancel, Codecs));
    }

    protected override void Sweep()
    {
        base.Sweep();
        foreach (Activation activation in _activations.Values) activation.Sweep(Messaging.ResponseTimeout * 2);
    }

    protected override void OnMisled(Message request) => _locations.Remove(request.Target);

    private static bool IsFirstHop(Message request) => request.Origin is null or { Peer.IsClient: true };

    private async Task RouteAsync(Message request)
    {
        try
        {
            while (true)
            {
                SiloAddress silo = await Placement.LocateAsync(request);
                if (!silo.Equals(Address))
                {
                    _locations.Set(request.Target, silo);
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
        if (request.Origin is not null)
        {
            Relay(silo, request);
            return;
        }
        PendingCall? call = FindCall(request.CallId);
        // A call that was given up while its grain was looked for is not made.
        if (call is not null || request.Method is { IsOneWay: true }) Transmit(call, request, silo);
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

    private void RespondThere(Connection connection, Message request, object? result, Exception? failure)
    {
        byte[] frame;
        try
        {
            frame = MessageCodec.Write(request.Respond(result, failure), Codecs);
            if (frame.Length > MaxFrameSize) throw new SerializerException($"it takes {frame.Length} bytes and MessagingOptions.MaxMessageBodySize allows {Messaging.MaxMessageBodySize}");
        }
        catch (Exception e)
        {
            // A result or exception that cannot travel must still end the call.
            frame = MessageCodec.Write(request.Respond(null, new SerializerException($"The response of {request.Method} cannot be sent: {e.Message}")), Codecs);
        }
        connection.Send(frame);
        Interlocked.Decrement(ref _unanswered);
    }
}
