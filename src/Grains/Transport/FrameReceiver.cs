namespace Conclave.Grains.Transport;

/// <summary>Where the frames of a connection go.</summary>
internal unsafe interface IFrameSink
{
    /// <summary>A frame begins. Returns where its <see cref="FrameHeader.ChunkBytes"/> are written, or null to drop them.</summary>
    /// <exception cref="TransportException">The frame breaks the protocol.</exception>
    byte* Begin(in FrameHeader header);

    /// <summary>All bytes of the frame are written.</summary>
    void End(in FrameHeader header);
}

/// <summary>
/// Cuts the bytes of a connection into frames. Small frames cost one read; a large payload is received straight into its destination.
/// One thread at a time; it may stop anywhere and another goes on.
/// </summary>
internal sealed unsafe class FrameReceiver(Wire wire, IFrameSink sink, NativeBufferPool pool, int maxPayloadBytes) : IDisposable
{
    private const int StagingBytes = 16 << 10, DirectBytes = 4 << 10;

    private readonly NativeBuffer _staging = pool.Rent(StagingBytes);
    private FrameHeader _header;
    private byte* _target;
    private int _from, _to, _missing;
    private bool _inPayload, _disposed;

    /// <summary>Receives once. Returns the number of bytes, 0 = nothing there, -1 = the connection is gone.</summary>
    /// <exception cref="TransportException">The other end broke the protocol.</exception>
    public int Receive()
    {
        int count;
        if (_inPayload && _target != null && _missing >= DirectBytes)
        {
            count = wire.Receive(new Span<byte>(_target, _missing));
            if (count <= 0) return count;
            _target += count;
            _missing -= count;
            if (_missing == 0) EndFrame();
            return count;
        }

        count = wire.Receive(new Span<byte>(_staging.Data + _to, StagingBytes - _to));
        if (count <= 0) return count;
        _to += count;
        Consume();
        return count;
    }

    public void Dispose()
    {
        if (_disposed) return;
        _disposed = true;
        _staging.Return();
    }

    private void Consume()
    {
        while (true)
        {
            if (!_inPayload)
            {
                if (_to - _from < FrameHeader.SizeBytes) break;
                BeginFrame();
            }

            int take = Math.Min(_missing, _to - _from);
            if (_target != null)
            {
                Buffer.MemoryCopy(_staging.Data + _from, _target, _missing, take);
                _target += take;
            }

            _from += take;
            _missing -= take;
            if (_missing > 0) break;
            EndFrame();
        }

        // What is left is at most the beginning of a header.
        int left = _to - _from;
        if (_from > 0 && left > 0) Buffer.MemoryCopy(_staging.Data + _from, _staging.Data, StagingBytes, left);
        _from = 0;
        _to = left;
    }

    private void BeginFrame()
    {
        _header = *(FrameHeader*)(_staging.Data + _from);
        _from += FrameHeader.SizeBytes;
        if (_header.Fault(maxPayloadBytes) is { } fault) throw new TransportException($"frame from {wire.Remote}: {fault}");
        _missing = _header.ChunkBytes;
        _target = sink.Begin(in _header);
        _inPayload = true;
    }

    private void EndFrame()
    {
        _inPayload = false;
        sink.End(in _header);
    }
}
