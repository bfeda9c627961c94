using System.Net;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Options;
using Orleans.Configuration;
using Orleans.Hosting;
using Orleans.Serialization;

namespace Orleans.Runtime;

/// <summary>A client of a cluster outside of its silos; it talks to one gateway at a time.</summary>
internal sealed class ClientRuntime : RuntimeClient
{
    private static int LastClient;

    private readonly ClusteringOptions _clustering;
    private readonly ClusterOptions _cluster;
    private SiloAddress? _gateway;

    public ClientRuntime(GrainCatalog catalog, IOptions<ClientMessagingOptions> messaging, IOptions<ClusteringOptions> clustering, IOptions<ClusterOptions> cluster, TimeProvider clock, ILogger<ClientRuntime> logger)
        : base(SiloAddress.New(IPAddress.Loopback, 0, -Interlocked.Increment(ref LastClient)), catalog, messaging.Value, clock, logger) =>
        (_clustering, _cluster) = (clustering.Value, cluster.Value);

    public void Connect()
    {
        InProcessNetwork.Attach(Address, gatewayPort: 0, OnFrame);
        InProcessNetwork.Detached += FailCallsTo;
        if (FindGateway() is null)
        {
            Disconnect();
            throw new SiloUnavailableException($"No silo of cluster \"{_cluster.ClusterId}\" listens at the gateway ports {string.Join(", ", _clustering.GatewayPorts)} in this process.");
        }
    }

    public void Disconnect()
    {
        InProcessNetwork.Detached -= FailCallsTo;
        InProcessNetwork.Detach(Address);
        FailAll(_ => new OrleansException("The client was stopped."));
    }

    public override void Dispose()
    {
        base.Dispose();
        Disconnect();
    }

    protected override void Send(Message request)
    {
        byte[] frame = MessageCodec.Write(request, Codecs);
        for (int attempt = 0; attempt <= _clustering.GatewayPorts.Count; attempt++)
        {
            SiloAddress gateway = FindGateway() ?? throw new SiloUnavailableException("None of the known gateways can be reached.");
            if (FindCall(request.CallId) is { } call) call.TargetSilo = gateway;
            if (InProcessNetwork.TrySend(gateway, frame)) return;
        }
        throw new SiloUnavailableException("None of the known gateways can be reached.");
    }

    protected override void SendCancel(PendingCall call)
    {
        if (call.TargetSilo is null) return;
        var cancel = new Message { Kind = MessageKind.Cancel, CallId = call.CallId, Sender = Address, Target = call.Request.Target };
        InProcessNetwork.TrySend(call.TargetSilo, MessageCodec.Write(cancel, Codecs));
    }

    private SiloAddress? FindGateway()
    {
        if (_gateway is { } known && InProcessNetwork.IsAttached(known)) return known;
        _gateway = _clustering.GatewayPorts.Select(port => InProcessNetwork.FindGateway(port, _cluster.ClusterId)).FirstOrDefault(gateway => gateway is not null);
        return _gateway;
    }

    private void OnFrame(ReadOnlyMemory<byte> frame)
    {
        try
        {
            if (MessageCodec.Read(frame, Codecs, Catalog, FindRequest) is { Kind: MessageKind.Response } message) Complete(message);
        }
        catch (Exception e)
        {
            Logger.BadFrame(Address, e);
        }
    }
}
