using System.Collections.Concurrent;
using Conclave.Grains.Transport;

namespace Conclave.Grains.Tests.Transport;

/// <summary>Peers that leave, die, fall silent and come back, and calls that nobody waits for any more.</summary>
public sealed class FailureTests
{
    private static readonly TimeSpan Short = TimeSpan.FromMilliseconds(30);

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void Calls_to_a_peer_that_leaves_end_at_once_and_it_is_not_suspected(bool unix)
    {
        using var pair = new Pair(unix);
        using var begun = new ManualResetEventSlim();
        using var go = new ManualResetEventSlim();
        pair.Called.Handle(1, new Answers((_, _) =>
        {
            begun.Set();
            go.Wait(Pair.Long);
        }));
        var suspected = new ConcurrentQueue<string>();
        pair.Caller.PeerSuspected += suspected.Enqueue;
        using TensorCall call = pair.Peer.Rent(10);
        call.Kind = 1;
        call.Send(Pair.Long);
        Assert.True(begun.Wait(Pair.Long));
        var closing = new Thread(pair.Called.Dispose);
        closing.Start();
        Assert.Equal(CallStatus.PeerFailed, call.WaitForReply());
        go.Set();
        closing.Join();
        Eventually(() => pair.Peer.State == PeerState.Closed);
        using TensorCall late = pair.Peer.Rent(10);
        late.Send(Pair.Long);
        Assert.Equal(CallStatus.PeerFailed, late.WaitForReply());
        Assert.Empty(suspected);
    }

    [Fact]
    public void A_reply_that_comes_too_late_is_dropped()
    {
        using var pair = new Pair(unix: true);
        using var go = new ManualResetEventSlim();
        pair.Called.Handle(1, new Answers((request, reply) =>
        {
            go.Wait(Pair.Long);
            Pair.Fill(reply, request.SizeBytes).Fill(1);
        }));
        using (TensorCall call = pair.Peer.Rent(1 << 20))
        {
            call.Kind = 1;
            call.Send(Short);
            Assert.Equal(CallStatus.DeadlineExceeded, call.WaitForReply());
        }

        using (TensorCall call = pair.Peer.Rent(1 << 20))
        {
            call.Kind = 1;
            call.Send(Pair.Long);
            Assert.False(call.IsDone);
            Assert.False(call.WaitForReply(Short));
            call.Cancel();
            Assert.Equal(CallStatus.Canceled, call.WaitForReply());
        }

        go.Set();
        for (int i = 0; i < 20; i++)
        {
            using TensorCall call = pair.Peer.Rent(1 << 20);
            call.Request.Fill(2);
            call.Kind = Pair.Echo;
            call.Send(Pair.Long);
            Assert.Equal(CallStatus.Ok, call.WaitForReply());
            Assert.Equal(-1, call.Reply.IndexOfAnyExcept((byte)2));
        }

        Assert.Equal(0, pair.Peer.InFlight);
    }

    [Fact]
    public void More_than_the_bound_is_never_under_way()
    {
        using var pair = new Pair(unix: true, options => (options.MaxInFlightRequests, options.MaxPayloadBytes, options.MaxInFlightBytes) = (3, 1000, 2000));
        using var go = new ManualResetEventSlim();
        pair.Called.Handle(1, new Answers((_, _) => go.Wait(Pair.Long)));
        var calls = new List<TensorCall>();
        TensorCall Sent(int size, TimeSpan timeout)
        {
            TensorCall call = pair.Peer.Rent(size);
            calls.Add(call);
            call.Kind = 1;
            call.Send(timeout);
            return call;
        }

        Sent(1000, Pair.Long);
        Sent(1000, Pair.Long);
        TensorCall tooManyBytes = Sent(1, Short);
        Assert.Equal(CallStatus.DeadlineExceeded, tooManyBytes.WaitForReply());
        Sent(0, Pair.Long);
        Assert.Equal(CallStatus.DeadlineExceeded, Sent(0, Short).WaitForReply());
        Assert.Equal(3, pair.Peer.InFlight);
        new Thread(go.Set).Start();
        Assert.Equal(CallStatus.Ok, Sent(1000, Pair.Long).WaitForReply());
        foreach (TensorCall call in calls) call.Dispose();
    }

    [Fact]
    public void What_a_caller_gave_up_counts_as_under_way_until_it_is_answered()
    {
        using var pair = new Pair(unix: false, options => options.MaxInFlightRequests = 2);
        using var begun = new ManualResetEventSlim();
        using var go = new ManualResetEventSlim();
        pair.Called.Handle(1, new Answers((_, _) =>
        {
            begun.Set();
            go.Wait(Pair.Long);
        }));
        using (TensorCall first = pair.Peer.Rent(10))
        {
            first.Kind = 1;
            first.Send(Pair.Long);
            Assert.True(begun.Wait(Pair.Long));
        }

        Assert.Equal(1, pair.Peer.InFlight);
        for (int i = 0; i < 20; i++)
        {
            using TensorCall call = pair.Peer.Rent(10);
            call.Kind = 1;
            call.Send(TimeSpan.FromMilliseconds(5));
            Assert.Equal(CallStatus.DeadlineExceeded, call.WaitForReply());
            Assert.Equal(2, pair.Peer.InFlight);
        }

        go.Set();
        using TensorCall last = pair.Peer.Rent(10);
        last.Kind = Pair.Echo;
        last.Send(Pair.Long);
        Assert.Equal(CallStatus.Ok, last.WaitForReply());
        Assert.Equal(PeerState.Alive, pair.Peer.State);
    }

    [Fact]
    public void Heartbeats_go_on_while_a_handler_computes()
    {
        using var pair = new Pair(unix: true, options => options.HeartbeatMs = 20);
        TransportPeer back = pair.Called.Connect(pair.Caller.Address);
        Assert.True(back.WaitAlive(Pair.Long));
        var heard = new ConcurrentQueue<string>();
        pair.Caller.SuspicionsHeard += (from, _) => heard.Enqueue(from);
        pair.Called.SuspicionsHeard += (from, _) => heard.Enqueue(from);
        bool wentOn = false;
        pair.Called.Handle(1, new Answers((_, _) =>
        {
            // Both ends hear each other again and again before this is over.
            heard.Clear();
            wentOn = SpinWait.SpinUntil(() => heard.Count(from => from == pair.Called.Address) > 20 && heard.Count(from => from == pair.Caller.Address) > 20, Pair.Long);
        }));
        using TensorCall call = pair.Peer.Rent(10);
        call.Kind = 1;
        call.Send(2 * Pair.Long);
        Assert.Equal(CallStatus.Ok, call.WaitForReply());
        Assert.True(wentOn);
    }

    [Fact]
    public void A_cut_link_leads_to_suspicion_that_others_hear_and_heals()
    {
        // Silence is counted in turns of the thread that listens for it: in few, so that a starved one gets to the end of them.
        static void Quick(TransportOptions options) => (options.HeartbeatMs, options.SuspectMs, options.ReconnectMaxMs) = (100, 1000, 100);
        using TensorTransport a = Pair.Make(true, Quick), b = Pair.Make(true, Quick);
        var link = new LinkConditions();
        using TensorTransport c = Pair.Make(true, options =>
        {
            Quick(options);
            options.Link = link;
        });
        var suspected = new ConcurrentQueue<string>();
        var recovered = new ConcurrentQueue<string>();
        var heard = new ConcurrentQueue<(string From, string[] Suspects)>();
        a.PeerSuspected += suspected.Enqueue;
        a.PeerRecovered += recovered.Enqueue;
        b.SuspicionsHeard += (from, suspects) => heard.Enqueue((from, [.. suspects]));
        TransportPeer[] peers = [a.Connect(b.Address), a.Connect(c.Address), b.Connect(a.Address), b.Connect(c.Address), c.Connect(a.Address), c.Connect(b.Address)];
        Assert.All(peers, peer => Assert.True(peer.WaitAlive(Pair.Long)));
        link.Cut = true;
        Eventually(() => suspected.Contains(c.Address));
        // That one alone: should a starved thread have made another look silent, it was heard again since.
        Eventually(() => heard.Any(word => word.From == a.Address && word.Suspects.SequenceEqual([c.Address])));
        Eventually(() => peers[0].State == PeerState.Alive && peers[1].State == PeerState.Suspect);
        Eventually(() => c.Peers.All(peer => peer.State == PeerState.Suspect));
        using TensorCall call = peers[1].Rent(1);
        call.Send(Pair.Long);
        Assert.Equal(CallStatus.PeerFailed, call.WaitForReply());
        link.Cut = false;
        Assert.All(peers, peer => Assert.True(peer.WaitAlive(Pair.Long)));
        Eventually(() => recovered.Contains(c.Address));
        heard.Clear();
        Eventually(() => heard.Any(word => word.From == a.Address && word.Suspects.Length == 0));
    }

    private static void Eventually(Func<bool> condition)
    {
        Assert.True(SpinWait.SpinUntil(condition, Pair.Long));
    }
}
