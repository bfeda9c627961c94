using Orleans.Serialization;

namespace Orleans.Runtime;

/// <summary>The bytes of messages between silos and clients: room for the frame's length, then the message.</summary>
internal static class MessageCodec
{
    public static byte[] Write(Message message, CodecProvider codecs)
    {
        Writer writer = codecs.RentWriter();
        try
        {
            writer.Unmanaged(0);
            writer.Byte((byte)message.Kind);
            writer.Signed(message.CallId);
            if (message.Kind == MessageKind.Response) WriteResponse(writer, message, codecs);
            else WriteRequest(writer, message, codecs);
            return writer.ToArray();
        }
        finally
        {
            codecs.Return(writer);
        }
    }

    /// <param name="frame">The bytes.</param>
    /// <param name="codecs">The codecs of the receiver.</param>
    /// <param name="catalog">Finds grain interfaces by name.</param>
    /// <param name="pending">Finds the request of a response; a response without one (late or cancelled) is null.</param>
    public static Message? Read(ReadOnlyMemory<byte> frame, CodecProvider codecs, GrainCatalog catalog, Func<long, Message?> pending)
    {
        var reader = new Reader(codecs, frame);
        byte kind = reader.Byte();
        if (kind > (byte)MessageKind.Silent) throw new SerializerException($"{kind} is not a kind of message.");
        long callId = reader.Signed();
        return (MessageKind)kind == MessageKind.Response
            ? ReadResponse(reader, callId, pending(callId))
            : ReadRequest(reader, (MessageKind)kind, callId, catalog);
    }

    /// <summary>Of a request that cannot be read as a whole at least what answering it takes; null if there is nobody to answer.</summary>
    public static Message? TryReadCall(ReadOnlyMemory<byte> frame, CodecProvider codecs)
    {
        try
        {
            var reader = new Reader(codecs, frame);
            var kind = (MessageKind)reader.Byte();
            return kind is MessageKind.Request or MessageKind.Control ? new Message { Kind = kind, CallId = reader.Signed() } : null;
        }
        catch (SerializerException)
        {
            return null;
        }
    }

    private static void WriteRequest(Writer writer, Message message, CodecProvider codecs)
    {
        BasicCodecs.WriteGrainId(writer, message.Target);
        writer.Byte((byte)message.Operation);
        writer.Byte(message.IsPlaced ? (byte)1 : (byte)0);
        writer.Unsigned((ulong)message.ForwardCount);
        writer.String(message.Method?.Owner.Name);
        writer.String(message.Method?.Name);
        if (message.Operation != Operation.Invoke)
        {
            writer.Unmanaged(message.StreamId);
            writer.Signed(message.BatchSize);
        }
        ((Codec<Dictionary<string, object>?>)codecs.Get(typeof(Dictionary<string, object>))).Write(writer, message.Context);
        message.Pack(codecs);
        writer.Raw(message.Body.Span);
    }

    private static Message ReadRequest(Reader reader, MessageKind kind, long callId, GrainCatalog catalog)
    {
        var target = new GrainId(new GrainType(BasicCodecs.ReadIdSpan(reader)), BasicCodecs.ReadIdSpan(reader));
        var operation = (Operation)reader.Byte();
        if (operation > Operation.StreamDispose) throw new SerializerException($"{operation} is not an operation.");
        bool isPlaced = reader.Byte() != 0;
        int forwardCount = (int)Math.Min(reader.Unsigned(), 1000);
        GrainMethod? method = reader.String() is { } owner ? catalog.FindInterface(owner).Find(reader.String() ?? "") : null;
        if (method is null) reader.String();
        if (method is null && kind is MessageKind.Request or MessageKind.Control) throw new SerializerException("A request names no method.");
        if (method is { Returns.IsStream: false } && operation != Operation.Invoke) throw new SerializerException($"{method} is not a stream.");
        (Guid stream, int batch) = operation == Operation.Invoke ? default : (reader.Unmanaged<Guid>(), (int)Math.Clamp(reader.Signed(), 1, 10000));
        return new Message
        {
            Kind = kind,
            CallId = callId,
            Target = target,
            Operation = operation,
            IsPlaced = isPlaced,
            ForwardCount = forwardCount,
            Method = method,
            StreamId = stream,
            BatchSize = batch,
            Context = ((Codec<Dictionary<string, object>?>)reader.Codecs.Get(typeof(Dictionary<string, object>))).Read(reader),
            Body = reader.Rest,
        };
    }

    private static void WriteResponse(Writer writer, Message response, CodecProvider codecs)
    {
        writer.String(response.Location?.ToParsableString());
        ((Codec<Exception?>)codecs.Get(typeof(Exception))).Write(writer, response.Failure);
        if (response.Failure is not null) return;
        if (!response.Body.IsEmpty) writer.Raw(response.Body.Span);
        else codecs.Get(response.Request!.ResponseType).WriteObject(writer, response.TakeResult(codecs));
    }

    private static Message? ReadResponse(Reader reader, long callId, Message? request)
    {
        if (request is null) return null;
        SiloAddress? location = reader.String() is { } text && SiloAddress.TryParse(text, null, out SiloAddress? address) ? address : null;
        Exception? failure = ((Codec<Exception?>)reader.Codecs.Get(typeof(Exception))).Read(reader);
        return new Message
        {
            Kind = MessageKind.Response,
            CallId = callId,
            Request = request,
            Location = location,
            Failure = failure,
            Body = failure is null ? reader.Rest : default,
        };
    }
}
