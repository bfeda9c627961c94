using System.Buffers;
using System.Buffers.Binary;
using System.Net.Sockets;
using Orleans.Serialization;

namespace Orleans.Runtime;

/// <summary>
/// A connection to another silo or client: frames of a 4-byte little-endian length and that many bytes, both ways. Whoever sends writes at
/// once on its own thread if nobody else is writing; the frames of the others meanwhile leave together.
/// </summary>
internal sealed class Connection(Socket socket, SiloAddress peer, int maxFrameSize, ConnectionEvents events)
{
    /// <summary>Bytes of the length in front of each frame.</summary>
    public const int PrefixSize = sizeof(int);

    private readonly Lock _gate = new();
    private List<byte[]> _queue = [];
    private List<byte[]> _batch = [];
    private readonly TaskCompletionSource _silent = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private TaskCompletionSource? _drained;
    private bool _writing;
    private bool _takesRequests = true;
    private bool _closed;

    /// <summary>Who is at the other end; a client has a negative generation.</summary>
    public SiloAddress Peer { get; } = peer;

    public bool IsOpen => !Volatile.Read(ref _closed);

    /// <summary>Whether requests of grain calls may go by it: it is open, and the other end does not leave.</summary>
    public bool TakesRequests => IsOpen && Volatile.Read(ref _takesRequests);

    /// <summary>Completes when no more requests come from the other end: it has said so, or the connection is closed.</summary>
    public Task Silent => _silent.Task;

    /// <summary>Starts to receive frames.</summary>
    public void Start() => _ = ReadAsync();

    /// <summary>Sends a frame whose first bytes are room for the length.</summary>
    /// <param name="frame">The frame.</param>
    /// <param name="call">The call that awaits the answer, if there is one: it fails when the connection closes from now on.</param>
    /// <param name="isRequest">Whether it is the request of a grain call.</param>
    /// <returns>False if the connection is closed, or takes no more requests: the frame is not sent then.</returns>
    public bool Send(byte[] frame, PendingCall? call = null, bool isRequest = false)
    {
        BinaryPrimitives.WriteInt32LittleEndian(frame, frame.Length - PrefixSize);
        lock (_gate)
        {
            if (_closed || (isRequest && !_takesRequests)) return false;
            if (call is not null) call.Connection = this;
            _queue.Add(frame);
            if (_writing) return true;
            _writing = true;
        }
        _ = WriteAsync();
        return true;
    }

    /// <summary>The other end leaves: no request is sent after the last frame, which tells it so.</summary>
    public void EndRequests(byte[] last)
    {
        lock (_gate) _takesRequests = false;
        Send(last);
    }

    /// <summary>The other end has sent its last request.</summary>
    public void OnSilent() => _silent.TrySetResult();

    /// <summary>Waits until all that was sent so far is in the hands of the operating system.</summary>
    public Task DrainAsync()
    {
        lock (_gate)
        {
            if (_closed || !_writing) return Task.CompletedTask;
            return (_drained ??= new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously)).Task;
        }
    }

    public void Close(string reason)
    {
        lock (_gate)
        {
            if (_closed) return;
            _closed = true;
            _queue.Clear();
            _drained?.TrySetResult();
        }
        _silent.TrySetResult();
        socket.Dispose();
        events.Closed(this, reason);
    }

    // The awaits below leave the scheduler of the grain whose turn happens to send: a busy grain must not hold up a connection.
    private async Task WriteAsync()
    {
        try
        {
            while (TakeBatch())
            {
                if (_batch.Count == 1) await SendAllAsync(_batch[0]).ConfigureAwait(false);
                else await SendTogetherAsync(_batch).ConfigureAwait(false);
                _batch.Clear();
            }
        }
        catch (Exception e) when (e is SocketException or ObjectDisposedException)
        {
            Close(e.Message);
        }
    }

    private bool TakeBatch()
    {
        lock (_gate)
        {
            (_queue, _batch) = (_batch, _queue);
            if (_batch.Count > 0) return true;
            _writing = false;
            _drained?.TrySetResult();
            _drained = null;
            return false;
        }
    }

    private async ValueTask SendTogetherAsync(List<byte[]> frames)
    {
        int size = frames.Sum(frame => frame.Length);
        byte[] buffer = ArrayPool<byte>.Shared.Rent(size);
        try
        {
            int position = 0;
            foreach (byte[] frame in frames)
            {
                frame.CopyTo(buffer, position);
                position += frame.Length;
            }
            await SendAllAsync(buffer.AsMemory(0, size)).ConfigureAwait(false);
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(buffer);
        }
    }

    private async ValueTask SendAllAsync(ReadOnlyMemory<byte> bytes)
    {
        while (!bytes.IsEmpty) bytes = bytes[await socket.SendAsync(bytes).ConfigureAwait(false)..];
    }

    private async Task ReadAsync()
    {
        string reason = "the other end closed it";
        try
        {
            var frames = new FrameReader(socket, maxFrameSize);
            while (await frames.ReadAsync(CancellationToken.None).ConfigureAwait(false) is { } frame) events.Received(this, frame);
        }
        catch (Exception e) when (e is SocketException or ObjectDisposedException or SerializerException)
        {
            reason = e.Message;
        }
        Close(reason);
    }
}

/// <summary>What a connection tells its owner.</summary>
internal sealed record ConnectionEvents(Action<Connection, ReadOnlyMemory<byte>> Received, Action<Connection, string> Closed);

/// <summary>Cuts the bytes of a socket into frames. The buffer grows with the bytes that have come, not with the length that a stranger announces.</summary>
internal sealed class FrameReader(Socket socket, int maxFrameSize)
{
    private byte[] _buffer = new byte[16 * 1024];
    private int _start;
    private int _end;

    /// <summary>The next frame in memory of its own; null at the end of the connection.</summary>
    /// <exception cref="SerializerException">The length is out of range, or the connection ends within a frame.</exception>
    public async ValueTask<byte[]?> ReadAsync(CancellationToken token)
    {
        while (true)
        {
            int available = _end - _start;
            int size = available < Connection.PrefixSize ? -1 : BinaryPrimitives.ReadInt32LittleEndian(_buffer.AsSpan(_start));
            if (available >= Connection.PrefixSize && (uint)size > (uint)maxFrameSize) throw new SerializerException($"A frame of {(uint)size} bytes is longer than the {maxFrameSize} that are allowed.");
            if (size >= 0 && available - Connection.PrefixSize >= size) return Take(size);
            MakeRoom();
            int received = await socket.ReceiveAsync(_buffer.AsMemory(_end), token).ConfigureAwait(false);
            if (received == 0) return available == 0 ? null : throw new SerializerException("The connection ended within a frame.");
            _end += received;
        }
    }

    private byte[] Take(int size)
    {
        byte[] frame = _buffer.AsSpan(_start + Connection.PrefixSize, size).ToArray();
        _start += Connection.PrefixSize + size;
        if (_start == _end) (_start, _end) = (0, 0);
        return frame;
    }

    private void MakeRoom()
    {
        if (_end < _buffer.Length) return;
        if (_start > 0) _buffer.AsSpan(_start, _end - _start).CopyTo(_buffer);
        else Array.Resize(ref _buffer, checked(_buffer.Length * 2));
        (_start, _end) = (0, _end - _start);
    }
}
