using Conclave.Grains.Transport;

namespace Conclave.Grains.Tests.Transport;

/// <summary>A wire that delivers given bytes in pieces of random size and then ends; what is sent is kept.</summary>
internal sealed class ScriptedWire(byte[] script, Random random) : Wire
{
    private readonly MemoryStream _sent = new();
    private int _position;
    private volatile bool _closed;

    public override bool CanPoll => true;

    public override string Remote => "a script";

    public override int AvailableBytes => script.Length - _position;

    public override bool IsWritable => true;

    public byte[] Sent => _sent.ToArray();

    public override int Receive(Span<byte> into)
    {
        if (_closed || _position == script.Length) return -1;
        int count = Math.Min(Math.Min(into.Length, script.Length - _position), random.Next(5) switch { 0 => 0, 1 => 1, 2 => random.Next(200), _ => int.MaxValue });
        script.AsSpan(_position, count).CopyTo(into);
        _position += count;
        return count;
    }

    public override bool WaitReadable(int timeoutMs) => true;

    public override unsafe bool Send(byte* data, int sizeBytes)
    {
        _sent.Write(new ReadOnlySpan<byte>(data, sizeBytes));
        return !_closed;
    }

    public override void Shutdown() => _closed = true;

    public override void Dispose() => _closed = true;
}
