using System.Runtime.InteropServices;
using Conclave.Grains.Transport;
using Microsoft.Extensions.Logging.Abstractions;

namespace Conclave.Grains.Tests.Transport;

/// <summary>Whatever arrives, both ends stay within their bounds: they end the connection, and no buffer is lost.</summary>
public sealed class FuzzTests
{
    private const int Rounds = 1500, MaxPayloadBytes = 64 << 10;

    private static TransportOptions Options => new()
    {
        ClusterSecret = "open sesame",
        MaxPayloadBytes = MaxPayloadBytes,
        MaxInFlightBytes = 2 * MaxPayloadBytes,
        MaxInFlightRequests = 4,
        ChunkBytes = 4096,
    };

    [Fact]
    public void The_called_end_survives_any_bytes()
    {
        int answered = 0;
        for (int seed = 0; seed < Rounds; seed++)
        {
            var random = new Random(seed);
            using var pool = new NativeBufferPool(1 << 20);
            var handlers = new RequestHandlers();
            handlers.Set(1, new Answers((request, reply) =>
            {
                answered++;
                Assert.InRange(pool.RentedBytes, 0, 1 << 20);
                request.Span.CopyTo(Pair.Fill(reply, request.SizeBytes));
            }));
            using var wire = new ScriptedWire(Script(random, random.Next(20), FrameType.Request), random);
            Run(() =>
            {
                using var connection = new ServerConnection(wire, handlers, pool, Options, TimeProvider.System, NullLogger.Instance, _ => { });
                connection.Serve();
            });
            Assert.Equal(0, pool.RentedBytes);
        }

        // Most of it was nearly right: the handler has been reached.
        Assert.InRange(answered, Rounds / 2, int.MaxValue);
    }

    [Fact]
    public void The_calling_end_survives_any_bytes()
    {
        int answered = 0;
        for (int seed = 0; seed < Rounds; seed++)
        {
            var random = new Random(seed);
            using var pool = new NativeBufferPool(1 << 20);
            var table = new CallTable(pool, TimeProvider.System, 4);
            using var wire = new ScriptedWire(Script(random, random.Next(20), FrameType.Reply), random);
            var connection = new PeerConnection(wire, table, pool, Options, TimeProvider.System, _ => { });
            table.Open(connection, 4, 2 * MaxPayloadBytes);
            var calls = new TensorCall[3];
            for (int i = 0; i < calls.Length; i++)
            {
                calls[i] = table.Rent(100);
                calls[i].Send(Pair.Long);
            }

            connection.ReceiveUntilFailed();
            foreach (TensorCall call in calls)
            {
                Assert.NotEqual(CallStatus.Pending, call.WaitForReply());
                if (call.Status == CallStatus.Ok) answered++;
                call.Dispose();
            }

            connection.Dispose();
            Assert.Equal(0, pool.RentedBytes);
            Assert.Equal(0, table.InFlight);
        }

        Assert.InRange(answered, Rounds / 4, int.MaxValue);
    }

    [Fact]
    public void Nobody_gets_past_the_introduction_with_random_bytes()
    {
        for (int seed = 0; seed < Rounds; seed++)
        {
            var random = new Random(seed);
            // What a caller who knows the secret says, except that its proof is for another nonce.
            byte[] said = Said(random);
            Mutate(said, random);
            if (random.Next(4) == 0) said = said[..random.Next(said.Length)];
            using var stranger = new ScriptedWire(said, random);
            Assert.Throws<TransportException>(() => Handshake.Answer(stranger, "b:1;machine=m;instance=i", Options, TimeProvider.System));
            using var imposter = new ScriptedWire(said, random);
            Assert.Throws<TransportException>(() => Handshake.Call(imposter, "a:1;machine=m;instance=i", "b:1;machine=m;instance=i", Options, TimeProvider.System));
            // The answers to strangers are short, whatever they say.
            Assert.InRange(stranger.Sent.Length, 0, 128);
        }
    }

    private static void Run(Action action)
    {
        try
        {
            action();
        }
        catch (TransportException e)
        {
            Assert.NotEmpty(e.Message);
        }
    }

    private static byte[] Said(Random random)
    {
        var noise = new byte[200];
        random.NextBytes(noise);
        using var wire = new ScriptedWire(noise, random);
        Run(() => Handshake.Call(wire, "a:1;machine=m;instance=i", "b:1;machine=m;instance=i", Options, TimeProvider.System));
        return [.. wire.Sent, .. noise];
    }

    /// <summary>Frames as a peer would send them, then damaged in one way or another.</summary>
    private static byte[] Script(Random random, int frameCount, FrameType type)
    {
        var bytes = new List<byte>();
        for (int i = 0; i < frameCount; i++) bytes.AddRange(Frames(random, type, i));
        byte[] script = [.. bytes];
        switch (random.Next(6))
        {
            case 0:
                random.NextBytes(script);
                break;
            case 1:
                Mutate(script, random);
                break;
            case 2:
                script = script[..random.Next(script.Length + 1)];
                break;
            case 3 when script.Length > 200:
                int from = random.Next(script.Length - 100), to = random.Next(script.Length - 100);
                script.AsSpan(from, 100).CopyTo(script.AsSpan(to));
                break;
        }

        return script;
    }

    private static byte[] Frames(Random random, FrameType type, int index)
    {
        // The ids that the calling end will have given to its first calls; requests may have any.
        ulong id = type == FrameType.Reply ? ((ulong)(index % 3 + 1) << 15) | (uint)(index % 3) : (ulong)random.Next(8);
        int payload = random.Next(4) == 0 ? random.Next(MaxPayloadBytes + 100) : random.Next(300);
        FrameHeader header = FrameHeader.Of(type, id, payload);
        header.Kind = 1;
        header.Status = type == FrameType.Reply ? CallStatus.Ok : CallStatus.Pending;
        if (random.Next(8) == 0)
        {
            header = FrameHeader.Of((FrameType)random.Next(8), id, random.Next(64));
        }

        if (random.Next(20) == 0) header.PayloadBytes = random.NextInt64();
        if (random.Next(20) == 0) header.ChunkBytes = random.Next();
        var frames = new List<byte>();
        int left = payload;
        do
        {
            int count = random.Next(3) == 0 ? random.Next(left + 1) : left;
            if (header.ChunkBytes == payload) header.ChunkBytes = count;
            frames.AddRange(MemoryMarshal.AsBytes(new ReadOnlySpan<FrameHeader>(in header)));
            frames.AddRange(new byte[count]);
            header.Type = FrameType.Chunk;
            header.ChunkBytes = payload;
            left -= count;
        }
        while (left > 0);
        return [.. frames];
    }

    private static void Mutate(byte[] bytes, Random random)
    {
        for (int i = random.Next(1, 10); i > 0 && bytes.Length > 0; i--) bytes[random.Next(bytes.Length)] = (byte)random.Next(256);
    }
}
