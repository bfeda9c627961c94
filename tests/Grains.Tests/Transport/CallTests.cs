using Conclave.Grains.Transport;

namespace Conclave.Grains.Tests.Transport;

/// <summary>Requests and replies between two transports.</summary>
public sealed class CallTests
{
    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void Payloads_of_any_size_come_back_as_they_went(bool unix)
    {
        using var pair = new Pair(unix);
        Assert.Equal(unix, pair.Peer.UsesUnixSocket);
        var random = new Random(3);
        foreach (int size in new[] { 0, 1, 63, 64, 65, 4095, 4096, 16_384 - 64, 16_384, 65_536, 262_143, 262_144, 262_145, 4 << 20, (5 << 20) + 17 })
        {
            using TensorCall call = pair.Peer.Rent(size);
            var sent = new byte[size];
            random.NextBytes(sent);
            sent.CopyTo(call.Request);
            call.Kind = Pair.Echo;
            call.Rows = size;
            call.Columns = 3;
            call.ElementType = ElementType.BF16;
            call.Send(Pair.Long);
            Assert.Equal(CallStatus.Ok, call.WaitForReply());
            Assert.True(call.Reply.SequenceEqual(sent), $"{size} bytes");
            Assert.True(call.Request.SequenceEqual(sent), "the request is left as it was");
            Assert.Equal((size, 3, ElementType.BF16), (call.ReplyRows, call.ReplyColumns, call.ReplyElementType));
        }
    }

    [Fact]
    public void Many_threads_share_one_connection()
    {
        using var pair = new Pair(unix: true, options => options.ChunkBytes = 8192);
        var faults = new string?[4];
        Thread[] threads = [.. Enumerable.Range(0, 4).Select(seed => new Thread(() => faults[seed] = CallMany(pair.Peer, seed)))];
        foreach (Thread thread in threads) thread.Start();
        foreach (Thread thread in threads) thread.Join();
        Assert.All(faults, Assert.Null);
        Assert.Equal(0, pair.Peer.InFlight);
    }

    [Fact]
    public void A_handler_that_fails_or_refuses_tells_the_caller_why()
    {
        using var pair = new Pair(unix: true);
        pair.Called.Handle(1, new Answers((_, _) => throw new InvalidDataException("no such expert")));
        pair.Called.Handle(2, new Answers((_, reply) => reply.Reject("map version 3 is not held")));
        foreach ((ushort kind, CallStatus status, string message) in new[]
        {
            ((ushort)1, CallStatus.HandlerFailed, "InvalidDataException: no such expert"),
            ((ushort)2, CallStatus.Rejected, "map version 3 is not held"),
            ((ushort)3, CallStatus.UnknownKind, "UnknownKind"),
        })
        {
            using TensorCall call = pair.Peer.Rent(10);
            call.Kind = kind;
            call.Send(Pair.Long);
            Assert.Equal(status, call.WaitForReply());
            Assert.Equal(message, call.ErrorMessage);
            Assert.True(call.Reply.IsEmpty);
        }
    }

    /// <summary>Null if all went well.</summary>
    private static string? CallMany(TransportPeer peer, int seed)
    {
        var random = new Random(seed);
        for (int round = 0; round < 40; round++)
        {
            TensorCall[] calls = new TensorCall[8];
            for (int i = 0; i < calls.Length; i++)
            {
                calls[i] = peer.Rent(random.Next(40_000));
                calls[i].Request.Fill((byte)(seed * 64 + round + i));
                calls[i].Kind = Pair.Echo;
                calls[i].Send(Pair.Long);
            }

            for (int i = calls.Length - 1; i >= 0; i--)
            {
                if (round % 2 == 0)
                {
                    while (!calls[i].IsDone) Thread.Yield();
                }

                if (calls[i].WaitForReply() != CallStatus.Ok || calls[i].Reply.Length != calls[i].Request.Length || calls[i].Reply.IndexOfAnyExcept((byte)(seed * 64 + round + i)) >= 0)
                    return $"{calls[i].Status} {calls[i].ErrorMessage}";
                calls[i].Dispose();
            }
        }

        return null;
    }
}
