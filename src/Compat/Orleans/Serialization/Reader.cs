using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Text;

namespace Orleans.Serialization;

/// <summary>Reads what <see cref="Writer"/> wrote. Wrong bytes end in a <see cref="SerializerException"/>; allocation is bounded by the input's length.</summary>
internal sealed class Reader(CodecProvider codecs, ReadOnlyMemory<byte> input)
{
    private readonly List<object?> _references = [];
    private int _position;
    private int _depth;

    public CodecProvider Codecs { get; } = codecs;

    public int Remaining => input.Length - _position;

    public ReadOnlyMemory<byte> Rest => input[_position..];

    public byte Byte() => Raw(1)[0];

    public ulong Unsigned()
    {
        ulong value = 0;
        for (int shift = 0; shift < 64; shift += 7)
        {
            byte b = Byte();
            value |= (ulong)(b & 0x7F) << shift;
            if (b < 0x80) return value;
        }
        throw new SerializerException("A number is longer than 64 bits.");
    }

    public long Signed()
    {
        ulong value = Unsigned();
        return (long)(value >> 1) ^ -(long)(value & 1);
    }

    public ReadOnlySpan<byte> Raw(int size)
    {
        if ((uint)size > (uint)Remaining) throw new SerializerException($"The data ends after {input.Length} bytes; {size} more are needed at {_position}.");
        ReadOnlySpan<byte> span = input.Span.Slice(_position, size);
        _position += size;
        return span;
    }

    public T Unmanaged<T>() where T : unmanaged => MemoryMarshal.Read<T>(Raw(Unsafe.SizeOf<T>()));

    /// <summary>A count of elements that take at least the given number of bytes each.</summary>
    public int Count(int minimumElementSize = 1) => Count(Unsigned(), minimumElementSize);

    public int Count(ulong count, int minimumElementSize)
    {
        if (count > (ulong)(Remaining / minimumElementSize)) throw new SerializerException($"{count} elements do not fit into the remaining {Remaining} bytes.");
        return (int)count;
    }

    public bool TryBytes(out ReadOnlySpan<byte> bytes)
    {
        ulong header = Unsigned();
        bytes = header == 0 ? default : Raw(Count(header - 1, 1));
        return header != 0;
    }

    public string? String()
    {
        ulong header = Unsigned();
        if (header == 0) return null;
        if ((header & 1) == 1) return Encoding.UTF8.GetString(Raw(Count((header - 1) >> 1, 1)));
        int length = Count((header - 2) >> 1, sizeof(char));
        return new string(MemoryMarshal.Cast<byte, char>(Raw(length * sizeof(char))));
    }

    /// <summary>Keeps a place for an object that is about to be read, so that its members can refer to it.</summary>
    public int ReserveReference()
    {
        _references.Add(null);
        return _references.Count - 1;
    }

    public void SetReference(int index, object value) => _references[index] = value;

    public object Reference(ulong index) =>
        index < (ulong)_references.Count && _references[(int)index] is { } value
            ? value
            : throw new SerializerException($"Reference {index} does not name an object that was read before.");

    public void Enter()
    {
        if (++_depth > ObjectHeader.MaxDepth) throw new SerializerException($"The object graph is nested deeper than {ObjectHeader.MaxDepth} levels.");
    }

    public void Leave() => _depth--;
}

/// <summary>Objects copied so far in one deep copy.</summary>
internal sealed class CopyContext(CodecProvider codecs)
{
    private Dictionary<object, object>? _copies;
    private int _depth;

    public CodecProvider Codecs { get; } = codecs;

    public bool TryGet(object original, [System.Diagnostics.CodeAnalysis.NotNullWhen(true)] out object? copy)
    {
        copy = null;
        return _copies is not null && _copies.TryGetValue(original, out copy);
    }

    public void Enter()
    {
        if (++_depth > ObjectHeader.MaxDepth) throw new SerializerException($"The object graph is nested deeper than {ObjectHeader.MaxDepth} levels.");
    }

    public void Leave() => _depth--;

    public void Record(object original, object copy) => (_copies ??= new(ReferenceEqualityComparer.Instance))[original] = copy;
}
