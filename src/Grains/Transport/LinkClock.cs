namespace Conclave.Grains.Transport;

/// <summary>When a frame arrives over an injected slow link: after the frames before it, at the link's bandwidth, plus its delay.</summary>
internal sealed class LinkClock(LinkConditions link)
{
    private long _freeNs;

    /// <summary>Time of arrival by the machine's monotonic clock, nanoseconds; 0 = now, the link is not slow.</summary>
    public long Arrival(in FrameHeader header)
    {
        if (!link.IsSlow) return 0;
        long bandwidth = link.BandwidthBytesPerSecond;
        long transferNs = bandwidth == 0 ? 0 : (long)((FrameHeader.SizeBytes + header.ChunkBytes) * 1e9 / bandwidth);
        _freeNs = Math.Max(_freeNs, header.SentNs) + transferNs;
        return _freeNs + link.Delay.ToNs();
    }
}
