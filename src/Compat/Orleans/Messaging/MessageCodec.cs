using Orleans.Serialization;

namespace Orleans.Runtime;

/// <summary>The bytes of messages between silos and clients.</summary>
internal static class MessageCodec
{
    public static byte[] Write(Message message, CodecProvider codecs)
    {
        Writer writer = codecs.RentWriter();
        try
        {
            writer.Byte((byte)message.Kind);
            writer.Signed(message.CallId);
            writer.String(message.Sender.ToParsableString());
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
        if (kind > (byte)MessageKind.Migrate) throw new SerializerException($"{kind} is not a kind of message.");
        long callId = reader.Signed();
        if (!SiloAddress.TryParse(reader.String(), null, out SiloAddress? sender)) throw new SerializerException("The sender of a message is not an address.");
        return (MessageKind)kind == MessageKind.Response
            ? ReadResponse(reader, callId, sender, pending(callId))
            : ReadRequest(reader, (MessageKind)kind, callId, sender, catalog);
    }

    private static void WriteRequest(Writer writer, Message message, CodecProvider codecs)
    {
        BasicCodecs.WriteGrainId(writer, message.Target);
        writer.Byte((byte)message.Operation);
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

    private static Message ReadRequest(Reader reader, MessageKind kind, long callId, SiloAddress sender, GrainCatalog catalog)
    {
        var target = new GrainId(new GrainType(BasicCodecs.ReadIdSpan(reader)), BasicCodecs.ReadIdSpan(reader));
        var operation = (Operation)reader.Byte();
        if (operation > Operation.StreamDispose) throw new SerializerException($"{operation} is not an operation.");
        int forwardCount = (int)Math.Min(reader.Unsigned(), 1000);
        GrainMethod? method = reader.String() is { } owner ? catalog.FindInterface(owner).Find(reader.String() ?? "") : null;
        if (method is null) reader.String();
        if (method is null && kind == MessageKind.Request) throw new SerializerException("A request names no method.");
        if (method is { Returns.IsStream: false } && operation != Operation.Invoke) throw new SerializerException($"{method} is not a stream.");
        (Guid stream, int batch) = operation == Operation.Invoke ? default : (reader.Unmanaged<Guid>(), (int)Math.Clamp(reader.Signed(), 1, 10000));
        return new Message
        {
            Kind = kind,
            CallId = callId,
            Sender = sender,
            Target = target,
            Operation = operation,
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
        ((Codec<Exception?>)codecs.Get(typeof(Exception))).Write(writer, response.Failure);
        if (response.Failure is not null) return;
        if (!response.Body.IsEmpty) writer.Raw(response.Body.Span);
        else codecs.Get(response.Request!.ResponseType).WriteObject(writer, response.TakeResult(codecs));
    }

    private static Message? ReadResponse(Reader reader, long callId, SiloAddress sender, Message? request)
    {
        if (request is null) return null;
        Exception? failure = ((Codec<Exception?>)reader.Codecs.Get(typeof(Exception))).Read(reader);
        return new Message { Kind = MessageKind.Response, CallId = callId, Sender = sender, Request = request, Failure = failure, Body = failure is null ? reader.Rest : default };
    }
}
