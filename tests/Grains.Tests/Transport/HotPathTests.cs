using Conclave.Grains.Transport;
using Conclave.Tests.Support;

namespace Conclave.Grains.Tests.Transport;

/// <summary>What a call costs, and what a slow link does to it.</summary>
public sealed class HotPathTests
{
    [Theory]
    [InlineData(true, 0)]
    [InlineData(false, 3000)]
    [InlineData(true, 600_000)]
    public void A_warm_call_allocates_nothing_at_either_end(bool unix, int sizeBytes)
    {
        // A heartbeat that is heard meanwhile would cost some.
        using var pair = new Pair(unix, options => options.HeartbeatMs = 60_000);
        long served = 0;
        pair.Called.Handle(1, new Answers((request, reply) =>
        {
            Pair.Fill(reply, request.SizeBytes);
            served = GC.GetAllocatedBytesForCurrentThread();
        }));
        // Two calls at a time, so that one of them is parked now and then.
        void Call(int count)
        {
            for (int i = 0; i < count; i++)
            {
                using TensorCall first = Send(pair.Peer, sizeBytes), second = Send(pair.Peer, sizeBytes);
                if (i % 2 == 0 && first.IsDone && first.Status != CallStatus.Ok) throw new InvalidOperationException("failed");
                if (second.WaitForReply() != CallStatus.Ok || first.WaitForReply() != CallStatus.Ok) throw new InvalidOperationException("failed");
            }
        }

        Call(100);
        long callerLeast = long.MaxValue, servedLeast = long.MaxValue;
        for (int round = 0; round < 5; round++)
        {
            long servedBefore = served, callerBefore = GC.GetAllocatedBytesForCurrentThread();
            Call(100);
            callerLeast = Math.Min(callerLeast, GC.GetAllocatedBytesForCurrentThread() - callerBefore);
            servedLeast = Math.Min(servedLeast, served - servedBefore);
        }

        // Of several rounds: a lock that two threads meet at for the first time costs some bytes once.
        Assert.Equal((0, 0), (callerLeast, servedLeast));
    }

    [Fact]
    public void An_injected_delay_holds_every_frame_back_and_no_sender_up()
    {
        var clock = new HandClock();
        var delay = TimeSpan.FromMilliseconds(500);
        using var pair = new Pair(unix: true, options => options.Link = new LinkConditions { Delay = delay }, clock);
        int answered = 0;
        pair.Called.Handle(1, new Answers((request, reply) =>
        {
            Pair.Fill(reply, request.SizeBytes);
            Interlocked.Increment(ref answered);
        }));
        TensorCall[] calls = [.. Enumerable.Range(0, 16).Select(_ => Send(pair.Peer, 100_000))];
        // However long that took: no time has passed, and all are under way.
        clock.Advance(delay - TimeSpan.FromMilliseconds(10));
        Assert.Equal((16, 0), (pair.Peer.InFlight, Volatile.Read(ref answered)));
        clock.Advance(TimeSpan.FromMilliseconds(10));
        Assert.True(SpinWait.SpinUntil(() => Volatile.Read(ref answered) == 16, Pair.Long));
        Assert.True(SpinWait.SpinUntil(() => pair.Peer.InFlight == 0, Pair.Long));
        // The replies are there, and hidden until they are due.
        Assert.All(calls, call => Assert.False(call.IsDone));
        clock.Advance(delay);
        foreach (TensorCall call in calls)
        {
            Assert.True(call.IsDone);
            Assert.Equal(CallStatus.Ok, call.WaitForReply());
            call.Dispose();
        }
    }

    [Fact]
    public void Injected_bandwidth_makes_bytes_take_time()
    {
        using var pair = new Pair(unix: true, options => options.Link = new LinkConditions { BandwidthBytesPerSecond = 10_000_000 });
        pair.Called.Handle(1, new Answers((request, reply) => Pair.Fill(reply, request.SizeBytes)));
        TimeProvider clock = TimeProvider.System;
        long start = clock.GetTimestamp();
        using TensorCall first = Send(pair.Peer, 500_000), second = Send(pair.Peer, 500_000);
        Assert.Equal(CallStatus.Ok, first.WaitForReply());
        Assert.InRange(clock.GetElapsedTime(start), TimeSpan.FromMilliseconds(100), Pair.Long);
        Assert.Equal(CallStatus.Ok, second.WaitForReply());
        Assert.InRange(clock.GetElapsedTime(start), TimeSpan.FromMilliseconds(150), Pair.Long);
    }

    [Fact]
    public void Precise_sleep_is_never_short()
    {
        TimeProvider clock = TimeProvider.System;
        foreach (int us in new[] { 0, 1, 50, 200, 3000 })
        {
            long until = clock.NowNs() + (us * Nanoseconds.PerMicrosecond);
            PreciseSleep.Until(until, clock);
            Assert.InRange(clock.NowNs(), until, until + Pair.Long.ToNs());
        }
    }

    [Fact]
    public void Callers_that_give_up_at_any_moment_never_see_others_bytes()
    {
        using var pair = new Pair(unix: true, options => options.ChunkBytes = 4096);
        var faults = new List<string>();
        Thread[] threads = [.. Enumerable.Range(0, 3).Select(seed => new Thread(() =>
        {
            string? fault = GiveUpAtRandom(pair.Peer, seed);
            lock (faults) faults.AddRange(fault is null ? [] : [fault]);
        }))];
        foreach (Thread thread in threads) thread.Start();
        foreach (Thread thread in threads) thread.Join();
        Assert.Empty(faults);
        // What nobody waits for any more is under way until it is answered.
        Assert.True(SpinWait.SpinUntil(() => pair.Peer.InFlight == 0, Pair.Long));
    }

    private static TensorCall Send(TransportPeer peer, int sizeBytes, ushort kind = 1)
    {
        TensorCall call = peer.Rent(sizeBytes);
        call.Kind = kind;
        call.Send(Pair.Long);
        return call;
    }

    /// <summary>Returned buffers come back from the pool at once, so a late write would be seen in a later call's buffers.</summary>
    private static string? GiveUpAtRandom(TransportPeer peer, int seed)
    {
        var random = new Random(seed);
        for (int i = 0; i < 400; i++)
        {
            byte mark = (byte)(seed * 80 + i % 80);
            using TensorCall call = peer.Rent(random.Next(1, 60_000));
            call.Request.Fill(mark);
            call.Kind = Pair.Echo;
            call.Send(Pair.Long);
            if (call.Request.IndexOfAnyExcept(mark) >= 0) return $"request {i} was written to";
            if (random.Next(3) == 0)
            {
                if (call.WaitForReply() != CallStatus.Ok) return $"call {i}: {call.Status} {call.ErrorMessage}";
                if (call.Reply.Length != call.Request.Length || call.Reply.IndexOfAnyExcept(mark) >= 0) return $"reply {i} has other bytes";
            }
            else if (random.Next(2) == 0)
            {
                call.WaitForReply(TimeSpan.FromMicroseconds(random.Next(300)));
            }

            if (call.Request.IndexOfAnyExcept(mark) >= 0) return $"request {i} was written to later";
        }

        return null;
    }
}
