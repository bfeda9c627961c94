using System.Runtime.InteropServices;
using Conclave.Engine;
using Conclave.Grains.Migration;
using Conclave.Grains.Tests.Experts;
using Conclave.Grains.Transport;
using Conclave.Model;
using Conclave.Tests.Support;

namespace Conclave.Grains.Tests.Migration;

/// <summary>What a rank answers to transfers that are not in order.</summary>
public sealed unsafe class KvReceiverTests(ExpertModel model) : IClassFixture<ExpertModel>
{
    private readonly int _pageSizeBytes = (int)KvLayout.For(model.Checkpoint.Config).PageSizeBytes;

    [Fact]
    public void A_transfer_in_order_is_acknowledged_step_by_step()
    {
        using var ranks = new RankPair(model);
        var id = Guid.NewGuid();
        Assert.Null(Offer(ranks, id, tokens: 130, pagesNeeded: 5));
        Assert.Equal((3, 1), (ranks.Target.Engine.Status.PagesInUse, ranks.Target.Engine.Status.ParkedSequences));
        for (int page = 0; page < 3; page++) Assert.Null(Page(ranks, id, page));
        Assert.Null(Send(ranks, KvFrame.Commit, new KvHead { Id = id, Count = 3 }));
        Assert.Contains("not offered", Page(ranks, id, 0), StringComparison.Ordinal);
    }

    [Fact]
    public void What_does_not_fit_is_refused_with_a_reason()
    {
        using var ranks = new RankPair(model);
        var id = Guid.NewGuid();
        Assert.Contains("no room", Offer(ranks, id, tokens: 10, pagesNeeded: 61), StringComparison.Ordinal);
        Assert.Contains("no room", Offer(ranks, id, tokens: 200, pagesNeeded: 1), StringComparison.Ordinal);
        Assert.Contains("another model", Offer(ranks, id, tokens: 10, pagesNeeded: 2, change: head => head with { PageSizeBytes = 8 }), StringComparison.Ordinal);
        Assert.Contains("--kv-dtype", Offer(ranks, id, tokens: 10, pagesNeeded: 2, change: head => head with { KvType = (int)KvType.FP8 }), StringComparison.Ordinal);
        Assert.Contains("--page-tokens", Offer(ranks, id, tokens: 10, pagesNeeded: 2, change: head => head with { PageTokens = 128 }), StringComparison.Ordinal);
        Assert.Contains("do not fit", Offer(ranks, id, tokens: 10, pagesNeeded: 2, change: head => head with { Count = 11 }), StringComparison.Ordinal);
        Assert.Contains("do not fit", Offer(ranks, id, tokens: 10, pagesNeeded: 2, change: head => head with { Count = -1 }), StringComparison.Ordinal);
        Assert.Contains("checksum", Offer(ranks, id, tokens: 10, pagesNeeded: 2, change: head => head with { Checksum = 1 }), StringComparison.Ordinal);
        Assert.Contains("not offered", Page(ranks, id, 0), StringComparison.Ordinal);
        Assert.Contains("not offered", Send(ranks, KvFrame.Commit, new KvHead { Id = id }), StringComparison.Ordinal);
        Assert.Equal(0, ranks.Target.Engine.Status.PagesInUse);

        Assert.Null(Offer(ranks, id, tokens: 100, pagesNeeded: 2));
        Assert.NotNull(Offer(ranks, id, tokens: 100, pagesNeeded: 2));
        Assert.Contains("page 2 of 2", Page(ranks, id, 2), StringComparison.Ordinal);
        Assert.Contains("page -1 of 2", Page(ranks, id, -1), StringComparison.Ordinal);
        Assert.Contains("checksum", Page(ranks, id, 0, checksum: 7), StringComparison.Ordinal);
        Assert.Contains("a page of 16 bytes", Page(ranks, id, 0, sizeBytes: 16), StringComparison.Ordinal);
        Assert.Null(Page(ranks, id, 0));
        Assert.Contains("missing", Send(ranks, KvFrame.Commit, new KvHead { Id = id, Count = 2 }), StringComparison.Ordinal);
        Assert.Equal(0, ranks.Target.Engine.Status.PagesInUse);
    }

    [Fact]
    public void An_aborted_or_forgotten_transfer_gives_its_pages_back()
    {
        var clock = new HandClock();
        using var ranks = new RankPair(model, targetClock: clock);
        var id = Guid.NewGuid();
        Assert.Null(Offer(ranks, id, tokens: 100, pagesNeeded: 2));
        Assert.Null(Send(ranks, KvFrame.Abort, new KvHead { Id = id }));
        Assert.Null(Send(ranks, KvFrame.Abort, new KvHead { Id = id }));
        Assert.Equal(0, ranks.Target.Engine.Status.PagesInUse);
        Assert.Null(Offer(ranks, id, tokens: 100, pagesNeeded: 2));
        clock.Advance(TimeSpan.FromMilliseconds(PatientSilo.LongMs - 1));
        Assert.Equal(2, ranks.Target.Engine.Status.PagesInUse);
        clock.Advance(TimeSpan.FromMilliseconds(1));
        Assert.Equal(0, ranks.Target.Engine.Status.PagesInUse);
    }

    [Fact]
    public void Random_requests_do_no_harm()
    {
        using var ranks = new RankPair(model);
        var random = new Random(4);
        var id = Guid.NewGuid();
        for (int round = 0; round < 500; round++)
        {
            byte[] bytes = new byte[random.Next(200)];
            random.NextBytes(bytes);
            if (random.Next(2) == 0 && bytes.Length >= KvFrame.HeadSizeBytes)
            {
                var head = new KvHead { Id = id, Count = random.Next(-3, 40), PagesNeeded = random.Next(-3, 70), PageSizeBytes = random.Next(3) == 0 ? random.Next() : _pageSizeBytes, PageTokens = 64 };
                fixed (byte* data = bytes) head.Checksum = KvFrame.Checksum(data + KvFrame.HeadSizeBytes, bytes.Length - KvFrame.HeadSizeBytes);
                MemoryMarshal.Write(bytes, head);
            }

            using TensorCall call = Rent(ranks, KvFrame.Kinds[random.Next(4)], bytes);
            call.WaitForReply();
            Assert.True(call.Status is CallStatus.Ok or CallStatus.Rejected, $"{call.Status} {call.ErrorMessage}");
        }

        Send(ranks, KvFrame.Abort, new KvHead { Id = id });
        Assert.Equal(0, ranks.Target.Engine.Status.PagesInUse);
    }

    private string? Offer(RankPair ranks, Guid id, int tokens, int pagesNeeded, Func<KvHead, KvHead>? change = null)
    {
        byte[] body = MemoryMarshal.AsBytes(Enumerable.Range(0, tokens).ToArray().AsSpan()).ToArray();
        var head = new KvHead { Id = id, Count = tokens, PagesNeeded = pagesNeeded, PageSizeBytes = _pageSizeBytes, PageTokens = KvLayout.BlockTokens, Checksum = Checksum(body) };
        return Send(ranks, KvFrame.Offer, change?.Invoke(head) ?? head, body);
    }

    private string? Page(RankPair ranks, Guid id, int index, uint? checksum = null, int? sizeBytes = null)
    {
        byte[] body = new byte[sizeBytes ?? _pageSizeBytes];
        new Random(index).NextBytes(body);
        return Send(ranks, KvFrame.Page, new KvHead { Id = id, Count = index, Checksum = checksum ?? Checksum(body) }, body);
    }

    private static uint Checksum(byte[] body)
    {
        fixed (byte* data = body) return KvFrame.Checksum(data, body.Length);
    }

    private static string? Send(RankPair ranks, ushort kind, KvHead head, params byte[] body)
    {
        byte[] payload = new byte[KvFrame.HeadSizeBytes + body.Length];
        MemoryMarshal.Write(payload, head);
        body.CopyTo(payload, KvFrame.HeadSizeBytes);
        using TensorCall call = Rent(ranks, kind, payload);
        Assert.True(call.WaitForReply() is CallStatus.Ok or CallStatus.Rejected, call.ErrorMessage);
        return call.ErrorMessage;
    }

    private static TensorCall Rent(RankPair ranks, ushort kind, byte[] payload)
    {
        TransportPeer peer = ranks.SourceTransport.Connect(ranks.TargetTransport.Address);
        Assert.True(peer.WaitAlive(TimeSpan.FromMinutes(2)));
        TensorCall call = peer.Rent(payload.Length);
        payload.CopyTo(call.Request);
        call.Kind = kind;
        call.Send(TimeSpan.FromMinutes(2));
        return call;
    }
}
