namespace Orleans.Serialization;

/// <summary>Writes, reads and copies values of one type.</summary>
internal abstract class Codec
{
    /// <summary>Whether sharing a value is as good as copying it.</summary>
    public virtual bool IsImmutable => false;

    public abstract void WriteObject(Writer writer, object? value);

    public abstract object? ReadObject(Reader reader);

    public abstract object? CopyObject(object? value, CopyContext context);
}

/// <inheritdoc/>
internal abstract class Codec<T> : Codec
{
    public abstract void Write(Writer writer, T value);

    public abstract T Read(Reader reader);

    public virtual T Copy(T value, CopyContext context) => value;

    public sealed override void WriteObject(Writer writer, object? value) => Write(writer, (T)value!);

    public sealed override object? ReadObject(Reader reader) => Read(reader);

    public sealed override object? CopyObject(object? value, CopyContext context) => IsImmutable ? value : Copy((T)value!, context);
}

/// <summary>A codec made of two functions, for values that are never changed.</summary>
internal sealed class ValueCodec<T>(Action<Writer, T> write, Func<Reader, T> read) : Codec<T>
{
    public override bool IsImmutable => true;

    public override void Write(Writer writer, T value) => write(writer, value);

    public override T Read(Reader reader) => read(reader);
}

/// <summary>The parts of an object apart from its header.</summary>
internal interface IBodyCodec
{
    void WriteBody(Writer writer, object value);

    object ReadBody(Reader reader, int reference);

    object CopyBody(object value, CopyContext context);

    bool IsImmutable { get; }
}

/// <summary>Values of reference types: null, an object seen before, the declared type or a derived one.</summary>
internal abstract class ClassCodec<T> : Codec<T>, IBodyCodec where T : class
{
    protected abstract void WriteBody(Writer writer, T value);

    /// <summary>Reads the members; calls <see cref="Reader.SetReference"/> before the members if they may refer back.</summary>
    protected abstract T ReadBody(Reader reader, int reference);

    /// <summary>Copies; calls <see cref="CopyContext.Record"/> before the members.</summary>
    protected abstract T CopyBody(T value, CopyContext context);

    void IBodyCodec.WriteBody(Writer writer, object value) => WriteBody(writer, (T)value);

    object IBodyCodec.ReadBody(Reader reader, int reference) => ReadBody(reader, reference);

    object IBodyCodec.CopyBody(object value, CopyContext context) => CopyBody((T)value, context);

    public sealed override void Write(Writer writer, T value) => ObjectSlot.Write(writer, value, typeof(T), this);

    public sealed override T Read(Reader reader) => (T)ObjectSlot.Read(reader, typeof(T), this)!;

    public sealed override T Copy(T value, CopyContext context) => (T)ObjectSlot.Copy(value, typeof(T), this, context)!;
}

/// <summary>A declared type without own instances: an interface, an abstract class, object.</summary>
internal sealed class AbstractCodec<T> : Codec<T> where T : class
{
    public override void Write(Writer writer, T value) => ObjectSlot.Write(writer, value, typeof(T), null);

    public override T Read(Reader reader) => (T)ObjectSlot.Read(reader, typeof(T), null)!;

    public override T Copy(T value, CopyContext context) => (T)ObjectSlot.Copy(value, typeof(T), null, context)!;
}
