using System.Collections.Concurrent;
using Conclave.Engine;
using Conclave.Grains.Transport;
using Conclave.Model;

namespace Conclave.Grains.Migration;

/// <summary>Takes KV pages of sequences that other ranks hand over, and parks them until a gateway asks for the sequence.</summary>
/// <param name="engine">Whose pages; called once the rank has started.</param>
/// <param name="layout">Pages of this rank.</param>
/// <param name="keep">How long complete ones are kept, and how long the next part of an incomplete one is waited for.</param>
/// <param name="clock">Tells the time.</param>
internal sealed unsafe class KvReceiver(Engine.Engine engine, KvLayout layout, TimeSpan keep, TimeProvider clock) : IRequestHandler
{
    private readonly ConcurrentDictionary<Guid, Reception> _receptions = new();

    /// <summary>While false, offers are refused: the rank takes no new sequences.</summary>
    public bool IsOpen { get; set; } = true;

    /// <inheritdoc/>
    public void Handle(TensorRequest request, TensorReply reply)
    {
        if (Answer(request) is { } refusal) reply.Reject(refusal);
    }

    private string? Answer(TensorRequest request)
    {
        if (request.SizeBytes < KvFrame.HeadSizeBytes) return "the request is shorter than its head";
        KvHead head = *(KvHead*)request.Data;
        byte* body = request.Data + KvFrame.HeadSizeBytes;
        int bodySizeBytes = request.SizeBytes - KvFrame.HeadSizeBytes;
        if (request.Kind is KvFrame.Offer or KvFrame.Page && KvFrame.Checksum(body, bodySizeBytes) != head.Checksum) return "the checksum does not match: the bytes were damaged on their way";
        return request.Kind switch
        {
            KvFrame.Offer => Offer(head, (int*)body, bodySizeBytes),
            KvFrame.Page => Page(head, body, bodySizeBytes),
            KvFrame.Commit => Commit(head),
            _ => Abort(head),
        };
    }

    private string? Offer(KvHead head, int* tokens, int bodySizeBytes)
    {
        if (!IsOpen) return "this rank takes no new sequences";
        if (head.PageSizeBytes != layout.PageSizeBytes || head.PageTokens != layout.PageTokens || head.KvType != (int)layout.Type)
            return $"pages of {head.PageTokens} tokens as {(KvType)head.KvType} ({head.PageSizeBytes} bytes) do not fit those of {layout} here: another model, --kv-dtype or --page-tokens";
        if (head.Count < 1 || (long)head.Count * sizeof(int) != bodySizeBytes) return $"{head.Count} tokens do not fit {bodySizeBytes} bytes";
        if (engine.TryPark(head.Id, new ReadOnlySpan<int>(tokens, head.Count).ToArray(), head.PagesNeeded) is not { } parked) return $"no room for {head.PagesNeeded} pages";
        var reception = new Reception(parked);
        reception.Patience = clock.CreateTimer(_ => End(head.Id, reception), null, keep, Timeout.InfiniteTimeSpan);
        if (_receptions.TryAdd(head.Id, reception)) return null;
        reception.Dispose();
        return "it is being received already";
    }

    private string? Page(KvHead head, byte* body, int bodySizeBytes)
    {
        if (!_receptions.TryGetValue(head.Id, out Reception? reception)) return "it was not offered, or took too long";
        if (bodySizeBytes != layout.PageSizeBytes) return $"a page of {bodySizeBytes} bytes, not {layout.PageSizeBytes}";
        reception.Patience?.Change(keep, Timeout.InfiniteTimeSpan);
        return reception.Fill(head.Count, body, bodySizeBytes);
    }

    private string? Commit(KvHead head)
    {
        if (!_receptions.TryRemove(head.Id, out Reception? reception)) return "it was not offered, or took too long";
        return reception.Commit(head.Count, keep);
    }

    private string? Abort(KvHead head)
    {
        if (_receptions.TryRemove(head.Id, out Reception? reception)) reception.Dispose();
        return null;
    }

    private void End(Guid id, Reception reception)
    {
        if (_receptions.TryRemove(new(id, reception))) reception.Dispose();
    }

    /// <summary>A sequence whose pages arrive. Its lock keeps a late page from being written when the memory has gone back.</summary>
    private sealed class Reception(ParkedSequence parked) : IDisposable
    {
        private readonly Lock _gate = new();
        private readonly bool[] _isFilled = new bool[parked.PageCount];
        private bool _isOver;

        public ITimer? Patience { get; set; }

        public string? Fill(int index, byte* page, long sizeBytes)
        {
            lock (_gate)
            {
                if (_isOver) return "it took too long";
                if ((uint)index >= (uint)_isFilled.Length) return $"page {index} of {_isFilled.Length}";
                Buffer.MemoryCopy(page, parked.Page(index), sizeBytes, sizeBytes);
                _isFilled[index] = true;
                return null;
            }
        }

        public string? Commit(int pageCount, TimeSpan keep)
        {
            lock (_gate)
            {
                bool isWhole = !_isOver && pageCount == _isFilled.Length && !_isFilled.Contains(false);
                string? refusal = !isWhole ? "pages are missing" : parked.TryCommit(keep) ? null : "this rank is shutting down";
                if (refusal is not null) parked.Dispose();
                _isOver = true;
                Patience?.Dispose();
                return refusal;
            }
        }

        public void Dispose()
        {
            lock (_gate)
            {
                if (_isOver) return;
                _isOver = true;
                Patience?.Dispose();
                parked.Dispose();
            }
        }
    }
}
