using System.Net;
using System.Threading.Channels;

namespace Conclave.Compat.Tests.Grpc;

/// <summary>A request body that a test writes piece by piece.</summary>
internal sealed class PushContent : HttpContent
{
    private readonly Channel<byte[]> _pieces = Channel.CreateUnbounded<byte[]>();

    public ValueTask WriteAsync(byte[] piece) => _pieces.Writer.WriteAsync(piece);

    public void Complete() => _pieces.Writer.Complete();

    protected override async Task SerializeToStreamAsync(Stream stream, TransportContext? context)
    {
        await stream.FlushAsync();
        await foreach (byte[] piece in _pieces.Reader.ReadAllAsync())
        {
            await stream.WriteAsync(piece);
            await stream.FlushAsync();
        }
    }

    protected override bool TryComputeLength(out long length)
    {
        length = 0;
        return false;
    }
}
