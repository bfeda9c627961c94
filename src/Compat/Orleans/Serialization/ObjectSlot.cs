namespace Orleans.Serialization;

/// <summary>The form of a reference to an object: a header (see <see cref="ObjectHeader"/>), a type name if it is not the declared type, the body.</summary>
internal static class ObjectSlot
{
    public static void Write(Writer writer, object? value, Type declared, IBodyCodec? declaredCodec)
    {
        if (value is null)
        {
            writer.Byte(ObjectHeader.Null);
            return;
        }
        Type type = value.GetType();
        if (type == declared && declaredCodec is not null)
        {
            if (writer.TryReference(value)) return;
            writer.Byte(ObjectHeader.DeclaredType);
            WriteBody(writer, declaredCodec, value);
            return;
        }
        Codec codec = writer.Codecs.Get(type);
        if (codec is IBodyCodec body)
        {
            if (writer.TryReference(value)) return;
            WriteTypeName(writer, value, type);
            WriteBody(writer, body, value);
        }
        else
        {
            WriteTypeName(writer, value, type);
            codec.WriteObject(writer, value);
        }
    }

    public static object? Read(Reader reader, Type declared, IBodyCodec? declaredCodec)
    {
        ulong header = reader.Unsigned();
        if (header == ObjectHeader.Null) return null;
        object value;
        if (header >= ObjectHeader.FirstReference)
        {
            value = reader.Reference(header - ObjectHeader.FirstReference);
        }
        else if (header == ObjectHeader.DeclaredType)
        {
            value = ReadBody(reader, declaredCodec ?? throw new SerializerException($"{declared} has no instances of its own."));
        }
        else
        {
            Type type = reader.Codecs.Types.Resolve(reader.String(), declared);
            Codec codec = reader.Codecs.Get(type);
            value = codec is IBodyCodec body
                ? ReadBody(reader, body)
                : codec.ReadObject(reader) ?? throw new SerializerException($"A value of type {type} is missing.");
        }
        return declared.IsInstanceOfType(value) ? value : throw new SerializerException($"A value of type {value.GetType()} is not a {declared}.");
    }

    public static object? Copy(object? value, Type declared, IBodyCodec? declaredCodec, CopyContext context)
    {
        if (value is null) return null;
        Type type = value.GetType();
        if (type == declared && declaredCodec is not null) return CopyBody(declaredCodec, value, context);
        Codec codec = context.Codecs.Get(type);
        return codec is IBodyCodec body ? CopyBody(body, value, context) : codec.CopyObject(value, context);
    }

    private static void WriteTypeName(Writer writer, object value, Type type)
    {
        writer.Byte(ObjectHeader.OtherType);
        // References and exceptions of unknown types are written under the name of what stands for them.
        writer.String(writer.Codecs.Types.NameOf(value is Orleans.Runtime.GrainProxy proxy ? proxy.Interface.Type : type));
    }

    private static void WriteBody(Writer writer, IBodyCodec codec, object value)
    {
        writer.Enter();
        codec.WriteBody(writer, value);
        writer.Leave();
    }

    private static object ReadBody(Reader reader, IBodyCodec codec)
    {
        reader.Enter();
        int reference = reader.ReserveReference();
        object value = codec.ReadBody(reader, reference);
        reader.SetReference(reference, value);
        reader.Leave();
        return value;
    }

    private static object CopyBody(IBodyCodec codec, object value, CopyContext context)
    {
        if (codec.IsImmutable) return value;
        if (context.TryGet(value, out object? copy)) return copy;
        context.Enter();
        copy = codec.CopyBody(value, context);
        context.Leave();
        context.Record(value, copy);
        return copy;
    }
}
