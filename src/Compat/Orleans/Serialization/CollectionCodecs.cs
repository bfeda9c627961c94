using System.Collections.Immutable;
using System.Runtime.InteropServices;

namespace Orleans.Serialization;

/// <summary>Arrays of numbers, bytes, characters and truth values: one block.</summary>
internal sealed class UnmanagedArrayCodec<T> : Codec<T[]?> where T : unmanaged
{
    public override void Write(Writer writer, T[]? value)
    {
        if (value is null) writer.Byte(0);
        else writer.Bytes(MemoryMarshal.AsBytes(value.AsSpan()));
    }

    public override T[]? Read(Reader reader)
    {
        if (!reader.TryBytes(out ReadOnlySpan<byte> bytes)) return null;
        if (bytes.Length % System.Runtime.CompilerServices.Unsafe.SizeOf<T>() != 0) throw new SerializerException($"{bytes.Length} bytes are not an array of {typeof(T)}.");
        return MemoryMarshal.Cast<byte, T>(bytes).ToArray();
    }

    public override T[]? Copy(T[]? value, CopyContext context) => value?.AsSpan().ToArray();
}

/// <summary>Truth values are checked, since other bit patterns would be undefined.</summary>
internal sealed class BooleanArrayCodec : Codec<bool[]?>
{
    public override void Write(Writer writer, bool[]? value)
    {
        if (value is null) writer.Byte(0);
        else writer.Bytes(MemoryMarshal.AsBytes(value.AsSpan()));
    }

    public override bool[]? Read(Reader reader)
    {
        if (!reader.TryBytes(out ReadOnlySpan<byte> bytes)) return null;
        var values = new bool[bytes.Length];
        for (int i = 0; i < values.Length; i++) values[i] = bytes[i] != 0;
        return values;
    }

    public override bool[]? Copy(bool[]? value, CopyContext context) => value?.AsSpan().ToArray();
}

/// <summary>Read-only and writable memory of bytes.</summary>
internal sealed class MemoryCodec : Codec<Memory<byte>>
{
    public override void Write(Writer writer, Memory<byte> value) => writer.Bytes(value.Span);

    public override Memory<byte> Read(Reader reader) => reader.TryBytes(out ReadOnlySpan<byte> bytes) ? bytes.ToArray() : default;

    public override Memory<byte> Copy(Memory<byte> value, CopyContext context) => value.ToArray();
}

/// <inheritdoc cref="MemoryCodec"/>
internal sealed class ReadOnlyMemoryCodec : Codec<ReadOnlyMemory<byte>>
{
    public override void Write(Writer writer, ReadOnlyMemory<byte> value) => writer.Bytes(value.Span);

    public override ReadOnlyMemory<byte> Read(Reader reader) => reader.TryBytes(out ReadOnlySpan<byte> bytes) ? bytes.ToArray() : default;

    public override ReadOnlyMemory<byte> Copy(ReadOnlyMemory<byte> value, CopyContext context) => value.ToArray();
}

/// <summary>Arrays with one dimension.</summary>
internal sealed class ArrayCodec<T>(CodecProvider codecs) : ClassCodec<T[]>
{
    private readonly LazyCodec<T> _element = new(codecs);

    protected override void WriteBody(Writer writer, T[] value)
    {
        writer.Unsigned((ulong)value.Length);
        foreach (T item in value) _element.Value.Write(writer, item);
    }

    protected override T[] ReadBody(Reader reader, int reference)
    {
        var array = new T[reader.Count()];
        reader.SetReference(reference, array);
        for (int i = 0; i < array.Length; i++) array[i] = _element.Value.Read(reader);
        return array;
    }

    protected override T[] CopyBody(T[] value, CopyContext context)
    {
        var copy = new T[value.Length];
        context.Record(value, copy);
        for (int i = 0; i < copy.Length; i++) copy[i] = _element.Value.Copy(value[i], context);
        return copy;
    }
}

/// <summary>Changeable collections: an empty one, then its elements.</summary>
internal sealed class CollectionCodec<TCollection, T>(CodecProvider codecs, Func<TCollection?, TCollection> create, Action<TCollection, T> add) : ClassCodec<TCollection>
    where TCollection : class, IReadOnlyCollection<T>
{
    private readonly LazyCodec<T> _element = new(codecs);

    protected override void WriteBody(Writer writer, TCollection value)
    {
        writer.Unsigned((ulong)value.Count);
        foreach (T item in value) _element.Value.Write(writer, item);
    }

    protected override TCollection ReadBody(Reader reader, int reference)
    {
        int count = reader.Count();
        TCollection collection = create(null);
        reader.SetReference(reference, collection);
        for (int i = 0; i < count; i++) add(collection, _element.Value.Read(reader));
        return collection;
    }

    protected override TCollection CopyBody(TCollection value, CopyContext context)
    {
        TCollection copy = create(value);
        context.Record(value, copy);
        foreach (T item in value) add(copy, _element.Value.Copy(item, context));
        return copy;
    }
}

/// <summary>Collections that are made from all their elements at once and never change.</summary>
internal sealed class FrozenCodec<TCollection, T>(CodecProvider codecs, Func<T[], TCollection> create) : ClassCodec<TCollection>
    where TCollection : class, IReadOnlyCollection<T>
{
    private readonly LazyCodec<T> _element = new(codecs);

    public override bool IsImmutable => _element.Value.IsImmutable;

    protected override void WriteBody(Writer writer, TCollection value)
    {
        writer.Unsigned((ulong)value.Count);
        foreach (T item in value) _element.Value.Write(writer, item);
    }

    protected override TCollection ReadBody(Reader reader, int reference)
    {
        var items = new T[reader.Count()];
        for (int i = 0; i < items.Length; i++) items[i] = _element.Value.Read(reader);
        return create(items);
    }

    protected override TCollection CopyBody(TCollection value, CopyContext context) =>
        create([.. value.Select(item => _element.Value.Copy(item, context))]);
}

/// <summary>Immutable arrays, which are structs around an array that may be missing.</summary>
internal sealed class ImmutableArrayCodec<T>(CodecProvider codecs) : Codec<ImmutableArray<T>>
{
    private readonly LazyCodec<T> _element = new(codecs);

    public override bool IsImmutable => _element.Value.IsImmutable;

    public override void Write(Writer writer, ImmutableArray<T> value)
    {
        writer.Unsigned(value.IsDefault ? 0 : (ulong)value.Length + 1);
        if (value.IsDefault) return;
        foreach (T item in value) _element.Value.Write(writer, item);
    }

    public override ImmutableArray<T> Read(Reader reader)
    {
        ulong header = reader.Unsigned();
        if (header == 0) return default;
        var items = new T[reader.Count(header - 1, 1)];
        for (int i = 0; i < items.Length; i++) items[i] = _element.Value.Read(reader);
        return ImmutableCollectionsMarshal.AsImmutableArray(items);
    }

    public override ImmutableArray<T> Copy(ImmutableArray<T> value, CopyContext context) =>
        value.IsDefault || IsImmutable ? value : [.. value.Select(item => _element.Value.Copy(item, context))];
}

/// <summary>A codec looked up at first use, since types may contain themselves.</summary>
internal sealed class LazyCodec<T>(CodecProvider codecs)
{
    private Codec<T>? _value;

    public Codec<T> Value => _value ??= (Codec<T>)codecs.Get(typeof(T));
}
