using System.Buffers;
using System.Buffers.Binary;
using System.IO.Pipelines;
using Grpc.Core;
using Microsoft.AspNetCore.Http;

namespace Grpc.AspNetCore.Server.Internal;

/// <summary>
/// Reads messages from a request body: one byte (0 plain, 1 compressed), four bytes of length (big-endian), the message.
/// A length is only believed as the bytes arrive: nothing is allocated for what is announced.
/// </summary>
internal sealed class MessageReader(HttpRequest request, GrpcServiceOptions options)
{
    private const int HeaderSizeBytes = 5;

    private readonly Payload _payload = new();

    /// <summary>Whether the whole request body has been read.</summary>
    public bool AtEnd { get; private set; }

    /// <summary>The next message, or null at the end of the body.</summary>
    public async ValueTask<T?> ReadAsync<T>(Func<DeserializationContext, T> deserializer, CancellationToken cancellationToken) where T : class
    {
        while (true)
        {
            ReadResult result = await request.BodyReader.ReadAsync(cancellationToken);
            ReadOnlySequence<byte> buffer = result.Buffer;
            SequencePosition consumed = buffer.Start, examined = buffer.End;
            try
            {
                if (TryReadFrame(buffer, out ReadOnlySequence<byte> frame, out bool compressed))
                {
                    consumed = examined = frame.End;
                    return Deserialize(compressed ? Decompress(frame) : frame, deserializer);
                }
                if (result.IsCompleted || result.IsCanceled)
                {
                    AtEnd = true;
                    return buffer.IsEmpty && !result.IsCanceled ? null : throw new RpcException(Errors.Incomplete);
                }
            }
            finally
            {
                request.BodyReader.AdvanceTo(consumed, examined);
            }
        }
    }

    /// <summary>The only message of a body.</summary>
    public async ValueTask<T> ReadSingleAsync<T>(Func<DeserializationContext, T> deserializer, CancellationToken cancellationToken) where T : class
    {
        T message = await ReadAsync(deserializer, cancellationToken) ?? throw new RpcException(Errors.Incomplete);
        while (!AtEnd)
        {
            ReadResult result = await request.BodyReader.ReadAsync(cancellationToken);
            bool empty = result.Buffer.IsEmpty;
            AtEnd = result.IsCompleted;
            request.BodyReader.AdvanceTo(result.Buffer.End);
            if (!empty)
                throw new RpcException(Errors.AdditionalData);
        }
        return message;
    }

    private bool TryReadFrame(ReadOnlySequence<byte> buffer, out ReadOnlySequence<byte> frame, out bool compressed)
    {
        frame = default;
        compressed = false;
        if (buffer.Length < HeaderSizeBytes)
            return false;
        Span<byte> header = stackalloc byte[HeaderSizeBytes];
        buffer.Slice(0, HeaderSizeBytes).CopyTo(header);
        if (header[0] > 1)
            throw new RpcException(Errors.BadFlag);
        compressed = header[0] == 1;
        uint length = BinaryPrimitives.ReadUInt32BigEndian(header[1..]);
        if (length > (uint)(options.MaxReceiveMessageSize ?? Array.MaxLength))
            throw new RpcException(Errors.ReceivedTooLarge);
        if (buffer.Length < HeaderSizeBytes + length)
            return false;
        frame = buffer.Slice(HeaderSizeBytes, length);
        return true;
    }

    private ReadOnlySequence<byte> Decompress(ReadOnlySequence<byte> frame)
    {
        string encoding = request.Headers[Protocol.EncodingHeader].ToString();
        if (encoding.Length == 0)
            throw new RpcException(Errors.NoEncoding);
        if (encoding == Compression.Identity)
            throw new RpcException(Errors.IdentityEncoding);
        if (!Compression.IsSupported(encoding))
        {
            request.HttpContext.Response.Headers[Protocol.AcceptEncodingHeader] = Compression.Supported;
            throw new RpcException(Errors.UnknownEncoding(encoding));
        }
        return new ReadOnlySequence<byte>(Compression.Decompress(encoding, frame, options.MaxReceiveMessageSize));
    }

    private T Deserialize<T>(ReadOnlySequence<byte> message, Func<DeserializationContext, T> deserializer)
    {
        try
        {
            _payload.Message = message;
            return deserializer(_payload);
        }
        catch (Exception exception) when (exception is not RpcException)
        {
            throw new RpcException(Errors.Unparsable(exception));
        }
        finally
        {
            _payload.Message = default;
        }
    }

    private sealed class Payload : DeserializationContext
    {
        public ReadOnlySequence<byte> Message { get; set; }

        public override int PayloadLength => checked((int)Message.Length);

        public override byte[] PayloadAsNewBuffer() => Message.ToArray();

        public override ReadOnlySequence<byte> PayloadAsReadOnlySequence() => Message;
    }
}
