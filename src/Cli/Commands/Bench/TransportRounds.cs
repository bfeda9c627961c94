using System.Diagnostics;
using Conclave.Grains.Transport;

namespace Conclave.Cli.Commands.Bench;

/// <summary>Takes turns between the floor and the transport in short slices, so that whatever else the machine does meets all of them alike.</summary>
internal sealed class TransportRounds(string address, int floorPort, int spinUs, TimeSpan time)
{
    /// <summary>Number of the second process' handler.</summary>
    public const ushort Kind = 1;

    private const int RoundCount = 5;

    private static readonly int[] InFlight = [1, 8];
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(30);

    /// <summary>Figures per wire, size and number in flight.</summary>
    public TransportFigures[] Measure(int[] sizesBytes)
    {
        string[] wires = ["unix", "tcp"];
        using TensorTransport unix = Open(isUnix: true), tcp = Open(isUnix: false);
        TransportPeer[] peers = [unix.Connect(address), tcp.Connect(address)];
        foreach (TransportPeer peer in peers)
        {
            if (!peer.WaitAlive(Patience)) throw new IOException($"cannot reach the second process at {address}");
        }

        // The runtime compiles hot code anew after a while; nothing before that counts.
        foreach (TransportPeer peer in peers) new Cell(peer, "", 0, 1).Measure(time / 20, isCounted: false);

        // One more slice of each size for the plain ping-pong.
        int cellCount = wires.Length * InFlight.Length;
        TimeSpan slice = time * 0.9 / (sizesBytes.Length * (cellCount + 1) * (RoundCount + 1));
        var figures = new List<TransportFigures>();
        foreach (int size in sizesBytes)
        {
            using var plain = new PlainPingPong(floorPort, size);
            var floor = new Samples();
            var cells = new Cell[cellCount];
            for (int i = 0; i < cellCount; i++) cells[i] = new Cell(peers[i / InFlight.Length], wires[i / InFlight.Length], size, InFlight[i % InFlight.Length]);
            for (int round = 0; round <= RoundCount; round++)
            {
                // The first round only warms up.
                bool isWarm = round > 0;
                plain.Measure(slice, isWarm ? floor : new Samples());
                foreach (Cell cell in cells) cell.Measure(slice, isWarm);
            }

            figures.AddRange(cells.Select(cell => cell.Figures(floor.QuantileUs(0.5))));
        }

        return [.. figures.OrderByDescending(f => f.Wire).ThenBy(f => f.InFlight).ThenBy(f => f.SizeBytes)];
    }

    private TensorTransport Open(bool isUnix)
    {
        var transport = new TensorTransport(new TransportOptions { UseUnixSocket = isUnix, SpinUs = spinUs });
        transport.Start();
        return transport;
    }

    /// <summary>One line of the result in the making.</summary>
    private sealed class Cell(TransportPeer peer, string wire, int sizeBytes, int inFlight)
    {
        private readonly Samples _samples = new();
        private readonly TensorCall[] _calls = new TensorCall[inFlight];
        private readonly long[] _sent = new long[inFlight];
        private TimeSpan _elapsed;
        private long _allocatedBytes;

        public void Measure(TimeSpan slice, bool isCounted)
        {
            long allocated = GC.GetTotalAllocatedBytes(), start = Stopwatch.GetTimestamp();
            for (int i = 0; i < inFlight; i++) Send(i);
            for (int i = 0; Stopwatch.GetElapsedTime(start) < slice; i = (i + 1) % inFlight)
            {
                Finish(i, isCounted);
                Send(i);
            }

            for (int i = 0; i < inFlight; i++) Finish(i, isCounted);
            if (!isCounted) return;
            _elapsed += Stopwatch.GetElapsedTime(start);
            _allocatedBytes += GC.GetTotalAllocatedBytes() - allocated;
        }

        public TransportFigures Figures(double floorUs) => new(wire, sizeBytes, inFlight, _samples.QuantileUs(0.5), _samples.QuantileUs(0.99),
            2.0 * sizeBytes * _samples.Count / _elapsed.TotalSeconds / 1e9, floorUs, (double)_allocatedBytes / _samples.Count);

        private void Send(int i)
        {
            _sent[i] = Stopwatch.GetTimestamp();
            TensorCall call = peer.Rent(sizeBytes);
            call.Kind = Kind;
            call.Send(Patience);
            _calls[i] = call;
        }

        private void Finish(int i, bool isCounted)
        {
            using TensorCall call = _calls[i];
            if (call.WaitForReply() != CallStatus.Ok || call.Reply.Length != sizeBytes) throw new IOException($"a call failed: {call.Status}, {call.ErrorMessage}");
            if (isCounted) _samples.Add(Stopwatch.GetTimestamp() - _sent[i]);
        }
    }
}
