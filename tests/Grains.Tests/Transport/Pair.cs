using Conclave.Grains.Transport;

namespace Conclave.Grains.Tests.Transport;

/// <summary>Two transports of this process, the first calling the second.</summary>
internal sealed class Pair : IDisposable
{
    public const ushort Echo = 7;

    public static readonly TimeSpan Long = TimeSpan.FromMinutes(2);

    public Pair(bool unix, Action<TransportOptions>? change = null)
    {
        Caller = Make(unix, change);
        Called = Make(unix, change);
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

    public static TensorTransport Make(bool unix, Action<TransportOptions>? change = null)
    {
        var options = new TransportOptions { UseUnixSocket = unix, ClusterSecret = "open sesame", SuspectMs = 20_000 };
        change?.Invoke(options);
        var transport = new TensorTransport(options);
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
