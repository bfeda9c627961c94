using Microsoft.Extensions.Logging;

namespace Conclave.Grains.Transport;

/// <summary>The thread that sends heartbeats on every connection, with the list of whom this process suspects, and measures the others' silence.</summary>
internal sealed unsafe class Heart : IDisposable
{
    /// <summary>Silos that one heartbeat can name.</summary>
    private const int MaxSuspects = 256;

    private readonly TensorTransport _transport;
    private readonly TimeProvider _clock;
    private readonly ILogger _logger;
    private readonly NativeBuffer _frame;
    private readonly Thread _thread;
    private readonly ManualResetEventSlim _stop = new(false);
    private readonly int _stepMs;
    private long _lastBeatNs;
    private ulong _suspectsDigest;

    public Heart(TensorTransport transport, TimeProvider clock, ILogger logger)
    {
        _transport = transport;
        _clock = clock;
        _logger = logger;
        _stepMs = Math.Clamp(transport.Options.HeartbeatMs / 4, 1, 25);
        _frame = transport.Buffers.Rent(MaxSuspects * sizeof(ulong));
        _thread = new Thread(Run) { IsBackground = true, Name = "transport heartbeat" };
        _thread.Start();
    }

    public void Dispose()
    {
        _stop.Set();
        // The transport may be closed by whoever hears of a suspicion, on this very thread.
        if (_thread != Thread.CurrentThread) _thread.Join();
        _frame.Return();
    }

    private void Run()
    {
        long stallNs = _transport.Options.SuspectMs * Nanoseconds.PerMillisecond / 2;
        var running = new RunningTime(_stepMs * Nanoseconds.PerMillisecond, _clock.NowNs());
        while (!_stop.IsSet && !_stop.Wait(_stepMs))
        {
            long now = _clock.NowNs();
            long stepNs = running.Advance(now, out long stalledNs);
            if (stalledNs > stallNs) TransportLog.Stalled(_logger, stalledNs / Nanoseconds.PerMillisecond);
            foreach (TransportPeer peer in _transport.PeerArray) peer.Judge(stepNs);
            foreach (AcceptedConnection accepted in _transport.AcceptedArray) accepted.Judge(stepNs);
            if (!_stop.IsSet) Beat(now);
        }
    }

    /// <summary>Regularly, and at once when the list of suspects has changed.</summary>
    private void Beat(long now)
    {
        var suspects = (ulong*)_frame.Data;
        int count = 0;
        ulong digest = 0;
        foreach (TransportPeer peer in _transport.PeerArray)
        {
            if (count == MaxSuspects || peer.State != PeerState.Suspect) continue;
            suspects[count++] = peer.Digest;
            digest ^= peer.Digest;
        }

        if (digest == _suspectsDigest && now - _lastBeatNs < _transport.Options.HeartbeatMs * Nanoseconds.PerMillisecond) return;
        _suspectsDigest = digest;
        _lastBeatNs = now;
        int payloadBytes = count * sizeof(ulong);
        *_frame.Header = FrameHeader.Of(FrameType.Heartbeat, 0, payloadBytes);
        foreach (TransportPeer peer in _transport.PeerArray) peer.Sender?.TrySend(_frame.Header, payloadBytes);
        foreach (AcceptedConnection accepted in _transport.AcceptedArray) accepted.Sender?.TrySend(_frame.Header, payloadBytes);
    }
}
