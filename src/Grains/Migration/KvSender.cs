using Conclave.Engine;
using Conclave.Grains.Transport;
using Conclave.Model;

namespace Conclave.Grains.Migration;

/// <summary>Sends the KV pages of a sequence to another rank. Blocks the calling thread; one transfer a thread.</summary>
/// <param name="layout">Pages of this rank.</param>
/// <param name="timeout">How long the target may take to acknowledge one request.</param>
internal sealed unsafe class KvSender(KvLayout layout, TimeSpan timeout)
{
    /// <summary>Pages under way: while one is checked at the target, the next is copied here.</summary>
    private const int Window = 3;

    /// <summary>Parks <paramref name="export"/> at <paramref name="target"/> under <paramref name="id"/>. Null if it did; else why not.</summary>
    public string? Send(Guid id, SequenceExport export, TransportPeer target)
    {
        if (export.TokenIds.Length == 0) return "nothing of it was computed yet";
        if (HeadAndPage > int.MaxValue) return $"a page of {layout.PageSizeBytes} bytes does not fit a message";
        if (!target.WaitAlive(timeout)) return "it is not connected";
        using (TensorCall offer = Offer(id, export, target))
            if (Failure(offer) is { } refusal) return refusal;
        if (SendPages(id, export, target) is not { } failure)
        {
            using TensorCall commit = Begin(target, KvFrame.Commit, new KvHead { Id = id, Count = export.PageCount }, 0);
            commit.Send(timeout);
            failure = Failure(commit);
            if (failure is null) return null;
        }

        using TensorCall abort = Begin(target, KvFrame.Abort, new KvHead { Id = id }, 0);
        abort.Send(timeout);
        abort.WaitForReply();
        return failure;
    }

    private long HeadAndPage => KvFrame.HeadSizeBytes + layout.PageSizeBytes;

    private string? SendPages(Guid id, SequenceExport export, TransportPeer target)
    {
        long pageSizeBytes = layout.PageSizeBytes;
        var underWay = new Queue<TensorCall>(Window);
        string? failure = null;
        for (int page = 0; page < export.PageCount && failure is null; page++)
        {
            if (underWay.Count == Window) failure = End(underWay.Dequeue());
            TensorCall call = Begin(target, KvFrame.Page, new KvHead { Id = id, Count = page, Checksum = KvFrame.Checksum(export.Page(page), pageSizeBytes) }, (int)pageSizeBytes);
            Buffer.MemoryCopy(export.Page(page), call.RequestData + KvFrame.HeadSizeBytes, pageSizeBytes, pageSizeBytes);
            underWay.Enqueue(call);
            call.Send(timeout);
        }

        foreach (TensorCall call in underWay) failure = End(call) ?? failure;
        return failure;
    }

    private TensorCall Offer(Guid id, SequenceExport export, TransportPeer target)
    {
        int sizeBytes = export.TokenIds.Length * sizeof(int);
        fixed (int* tokens = export.TokenIds)
        {
            var head = new KvHead
            {
                Id = id,
                Count = export.TokenIds.Length,
                PagesNeeded = export.PagesNeeded,
                PageSizeBytes = layout.PageSizeBytes,
                PageTokens = layout.PageTokens,
                KvType = (int)layout.Type,
                Checksum = KvFrame.Checksum((byte*)tokens, sizeBytes),
            };
            TensorCall call = Begin(target, KvFrame.Offer, head, sizeBytes);
            Buffer.MemoryCopy(tokens, call.RequestData + KvFrame.HeadSizeBytes, sizeBytes, sizeBytes);
            call.Send(timeout);
            return call;
        }
    }

    private static TensorCall Begin(TransportPeer target, ushort kind, KvHead head, int bodySizeBytes)
    {
        TensorCall call = target.Rent(KvFrame.HeadSizeBytes + bodySizeBytes);
        call.Kind = kind;
        new Span<byte>(call.RequestData, KvFrame.HeadSizeBytes).Clear();
        *(KvHead*)call.RequestData = head;
        return call;
    }

    private static string? End(TensorCall call)
    {
        using (call) return Failure(call);
    }

    private static string? Failure(TensorCall call) => call.WaitForReply() == CallStatus.Ok ? null : call.ErrorMessage ?? call.Status.ToString();
}
