using System.Reflection;
using System.Runtime.CompilerServices;

namespace Orleans.Serialization;

/// <summary>Classes marked with <see cref="GenerateSerializerAttribute"/>.</summary>
internal sealed class ObjectCodec<T>(CodecProvider codecs) : ClassCodec<T> where T : class
{
    private readonly MemberTable<T> _members = new(codecs);
    private readonly ConstructorInfo? _constructor = typeof(T).GetConstructor(BindingFlags.Instance | BindingFlags.Public | BindingFlags.NonPublic, []);

    public override bool IsImmutable { get; } = typeof(T).IsDefined(typeof(ImmutableAttribute), inherit: false);

    protected override void WriteBody(Writer writer, T value) => _members.Write(writer, ref value);

    protected override T ReadBody(Reader reader, int reference)
    {
        T value = Create();
        reader.SetReference(reference, value);
        _members.Read(reader, ref value);
        return value;
    }

    protected override T CopyBody(T value, CopyContext context)
    {
        T copy = Create();
        context.Record(value, copy);
        _members.Copy(ref value, ref copy, context);
        return copy;
    }

    private T Create() => (T)(_constructor is null ? RuntimeHelpers.GetUninitializedObject(typeof(T)) : _constructor.Invoke(null));
}

/// <summary>Structs marked with <see cref="GenerateSerializerAttribute"/>.</summary>
internal sealed class StructCodec<T>(CodecProvider codecs) : Codec<T> where T : struct
{
    private readonly MemberTable<T> _members = new(codecs);

    public override bool IsImmutable { get; } = typeof(T).IsDefined(typeof(ImmutableAttribute), inherit: false);

    public override void Write(Writer writer, T value)
    {
        writer.Enter();
        _members.Write(writer, ref value);
        writer.Leave();
    }

    public override T Read(Reader reader)
    {
        T value = default;
        reader.Enter();
        _members.Read(reader, ref value);
        reader.Leave();
        return value;
    }

    public override T Copy(T value, CopyContext context)
    {
        if (IsImmutable) return value;
        T copy = value;
        _members.Copy(ref value, ref copy, context);
        return copy;
    }
}

/// <summary>Value tuples, pairs and other structs of the framework, written field by field.</summary>
internal sealed class FieldsCodec<T>(CodecProvider codecs) : Codec<T> where T : struct
{
    private readonly MemberTable<T> _members = new(codecs, [.. typeof(T).GetFields(BindingFlags.Instance | BindingFlags.Public | BindingFlags.NonPublic).OrderBy(field => field.MetadataToken)]);

    public override bool IsImmutable => _members.AllImmutable;

    public override void Write(Writer writer, T value) => _members.Write(writer, ref value);

    public override T Read(Reader reader)
    {
        T value = default;
        _members.Read(reader, ref value);
        return value;
    }

    public override T Copy(T value, CopyContext context)
    {
        T copy = value;
        _members.Copy(ref value, ref copy, context);
        return copy;
    }
}

/// <summary>Tuples of the framework that are classes.</summary>
internal sealed class TupleCodec<T>(CodecProvider codecs) : ClassCodec<T> where T : class
{
    private readonly MemberTable<T> _members = new(codecs, [.. typeof(T).GetFields(BindingFlags.Instance | BindingFlags.NonPublic).OrderBy(field => field.MetadataToken)]);

    public override bool IsImmutable => _members.AllImmutable;

    protected override void WriteBody(Writer writer, T value) => _members.Write(writer, ref value);

    protected override T ReadBody(Reader reader, int reference)
    {
        var value = (T)RuntimeHelpers.GetUninitializedObject(typeof(T));
        reader.SetReference(reference, value);
        _members.Read(reader, ref value);
        return value;
    }

    protected override T CopyBody(T value, CopyContext context)
    {
        var copy = (T)RuntimeHelpers.GetUninitializedObject(typeof(T));
        context.Record(value, copy);
        _members.Copy(ref value, ref copy, context);
        return copy;
    }
}

/// <summary>Values that may be missing.</summary>
internal sealed class NullableCodec<T>(CodecProvider codecs) : Codec<T?> where T : struct
{
    private readonly LazyCodec<T> _value = new(codecs);

    public override bool IsImmutable => _value.Value.IsImmutable;

    public override void Write(Writer writer, T? value)
    {
        writer.Byte(value.HasValue ? (byte)1 : (byte)0);
        if (value.HasValue) _value.Value.Write(writer, value.Value);
    }

    public override T? Read(Reader reader) => reader.Byte() == 0 ? null : _value.Value.Read(reader);

    public override T? Copy(T? value, CopyContext context) => value.HasValue ? _value.Value.Copy(value.Value, context) : null;
}

/// <summary>Enumerations as their number.</summary>
internal sealed class EnumCodec<T> : Codec<T> where T : unmanaged, Enum
{
    public override bool IsImmutable => true;

    public override void Write(Writer writer, T value) => writer.Unmanaged(value);

    public override T Read(Reader reader) => reader.Unmanaged<T>();
}
