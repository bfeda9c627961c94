using Conclave.Grains.Transport;
using Conclave.Tests.Support;

namespace Conclave.Grains.Tests.Transport;

/// <summary>Two transports of this process, the first calling the second.</summary>
internal sealed class Pair : IDisposable
{
    public const ushort Echo = 7;

    public static readonly TimeSpan Long = TimeSpan.FromMinutes(4);

    public Pair(bool unix, Action<TransportOptions>? change = null, TimeProvider? clock = null)
    {
        Caller = Make(unix, change, clock);
        Called = Make(unix, change, clock);
        Called.Handle(Echo, new Answers((request, reply) =>
        {
            request.Span.CopyTo(Fill(reply, request.SizeBytes));
            reply.Rows = request.Rows;
            reply.Columns = request.Columns;
            reply.ElementType = request.ElementType;
        }));
        Peer = Caller.Connect(Called.Address);
        Assert.True(Peer.WaitAlive(Long));
    }

    public TensorTransport Caller { get; }

    public TensorTransport Called { get; }

    public TransportPeer Peer { get; }

    public static TensorTransport Make(bool unix, Action<TransportOptions>? change = null, TimeProvider? clock = null)
    {
        var options = new TransportOptions { UseUnixSocket = unix, ClusterSecret = "open sesame", SuspectMs = PatientSilo.LongMs, HandshakeTimeoutMs = 60_000 };
        change?.Invoke(options);
        var transport = new TensorTransport(options, clock);
        transport.Start();
        return transport;
    }

    public static unsafe Span<byte> Fill(TensorReply reply, int sizeBytes) => new(reply.Reserve(sizeBytes), sizeBytes);

    public void Dispose()
    {
        Caller.Dispose();
        Called.Dispose();
    }
}

/// <summary>A handler made of a function.</summary>
internal sealed class Answers(Action<TensorRequest, TensorReply> answer) : IRequestHandler
{
    public void Handle(TensorRequest request, TensorReply reply) => answer(request, reply);
}
