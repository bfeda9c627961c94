using System.Buffers;
using System.Buffers.Binary;
using System.IO.Compression;
using System.IO.Pipelines;
using Grpc.Core;
using Microsoft.AspNetCore.Http;

namespace Grpc.AspNetCore.Server.Internal;

/// <summary>
/// Writes messages to a response body, framed as <see cref="MessageReader"/> reads them. A message is serialized (and compressed) aside
/// before its first byte goes out, so that a serializer that fails leaves no torn frame behind.
/// </summary>
internal sealed class MessageWriter(HttpResponse response, GrpcServiceOptions options, string encoding) : IDisposable
{
    private const int HeaderSizeBytes = 5;

    private readonly SemaphoreSlim _turn = new(1, 1);
    private readonly Payload _payload = new(options.MaxSendMessageSize);
    private bool _closed;

    /// <summary>Writes a message, and sends it at once if <paramref name="flush"/>.</summary>
    public async Task WriteAsync<T>(
        T message, Action<T, SerializationContext> serializer, WriteFlags flags, bool flush, CancellationToken cancellationToken)
    {
        await _turn.WaitAsync(cancellationToken);
        try
        {
            if (_closed)
                throw new InvalidOperationException("Can't write the message because the request is complete.");
            ReadOnlyMemory<byte> payload = _payload.Serialize(message, serializer);
            // GZipStream makes nothing of nothing, and no bytes are not valid gzip.
            bool compress = encoding != Compression.Identity && !flags.HasFlag(WriteFlags.NoCompress) && !payload.IsEmpty;
            if (compress)
            {
                var compressed = new ArrayBufferWriter<byte>();
                Compression.Compress(encoding, options.ResponseCompressionLevel ?? CompressionLevel.Fastest, payload.Span, compressed);
                payload = compressed.WrittenMemory;
            }
            // Kestrel wants the headers to be final before the first bytes of the body are asked for.
            if (!response.HasStarted)
                await response.StartAsync(CancellationToken.None);
            WriteFrame(response.BodyWriter, payload.Span, compress);
            if (flush && !flags.HasFlag(WriteFlags.BufferHint))
                await FlushAsync(response.BodyWriter, cancellationToken);
        }
        finally
        {
            _turn.Release();
        }
    }

    /// <summary>
    /// Sends what is written. Kestrel answers a token that is cancelled while it waits for the client with a reset of the whole stream, and the status could not be sent any
    /// more: so the wait ends by the other way that pipes have.
    /// </summary>
    /// <exception cref="OperationCanceledException">Cancelled; what was written goes out nevertheless when the client reads on.</exception>
    public static async Task FlushAsync(PipeWriter body, CancellationToken cancellationToken)
    {
        cancellationToken.ThrowIfCancellationRequested();
        await using (cancellationToken.UnsafeRegister(static state => ((PipeWriter)state!).CancelPendingFlush(), body))
            await body.FlushAsync(CancellationToken.None);
        cancellationToken.ThrowIfCancellationRequested();
    }

    /// <summary>Waits for the write under way; later ones fail.</summary>
    public async Task CloseAsync()
    {
        await _turn.WaitAsync();
        _closed = true;
        _turn.Release();
    }

    public void Dispose() => _turn.Dispose();

    private static void WriteFrame(PipeWriter body, ReadOnlySpan<byte> payload, bool compressed)
    {
        Span<byte> header = body.GetSpan(HeaderSizeBytes);
        header[0] = compressed ? (byte)1 : (byte)0;
        BinaryPrimitives.WriteInt32BigEndian(header[1..], payload.Length);
        body.Advance(HeaderSizeBytes);
        body.Write(payload);
    }

    private sealed class Payload(int? maxSizeBytes) : SerializationContext
    {
        private readonly ArrayBufferWriter<byte> _buffer = new();
        private ReadOnlyMemory<byte>? _message;

        public ReadOnlyMemory<byte> Serialize<T>(T message, Action<T, SerializationContext> serializer)
        {
            _buffer.ResetWrittenCount();
            _message = null;
            serializer(message, this);
            return _message ?? throw new InvalidOperationException("The serializer did not complete the message.");
        }

        public override void SetPayloadLength(int payloadLength) => Check(payloadLength);

        public override IBufferWriter<byte> GetBufferWriter() => _buffer;

        public override void Complete() => Complete(_buffer.WrittenMemory);

        public override void Complete(byte[] payload) => Complete(payload.AsMemory());

        private void Complete(ReadOnlyMemory<byte> message)
        {
            Check(message.Length);
            _message = message;
        }

        private void Check(int sizeBytes)
        {
            if (sizeBytes > maxSizeBytes)
                throw new RpcException(Errors.SendingTooLarge);
        }
    }
}
