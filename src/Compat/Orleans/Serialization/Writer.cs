using System.Runtime.InteropServices;
using System.Text;

namespace Orleans.Serialization;

/// <summary>Little-endian bytes of one message, and the objects written so far so that shared and cyclic references keep their shape.</summary>
internal sealed class Writer(CodecProvider codecs)
{
    private byte[] _buffer = new byte[256];
    private int _length;
    private Dictionary<object, int>? _references;

    public CodecProvider Codecs { get; } = codecs;

    /// <summary>Nesting of the object being written; see <see cref="Enter"/>.</summary>
    private int _depth;

    public byte[] ToArray() => _buffer.AsSpan(0, _length).ToArray();

    public int Length => _length;

    public void Byte(byte value)
    {
        Reserve(1)[0] = value;
    }

    public void Unsigned(ulong value)
    {
        Span<byte> span = Ensure(10);
        int i = 0;
        while (value >= 0x80)
        {
            span[i++] = (byte)(value | 0x80);
            value >>= 7;
        }
        span[i++] = (byte)value;
        _length += i;
    }

    public void Signed(long value) => Unsigned((ulong)((value << 1) ^ (value >> 63)));

    public void Raw(ReadOnlySpan<byte> bytes) => bytes.CopyTo(Reserve(bytes.Length));

    public void Unmanaged<T>(T value) where T : unmanaged => MemoryMarshal.Write(Reserve(System.Runtime.CompilerServices.Unsafe.SizeOf<T>()), in value);

    /// <summary>Length in bytes plus one, or 0 for null, then the bytes.</summary>
    public void Bytes(ReadOnlySpan<byte> bytes)
    {
        Unsigned((ulong)bytes.Length + 1);
        Raw(bytes);
    }

    public void String(string? value)
    {
        if (value is null)
        {
            Byte(0);
            return;
        }
        // Halves of broken surrogate pairs must survive, so such strings go as UTF-16; the lowest bit tells the two forms apart.
        if (IsWellFormed(value))
        {
            int size = Encoding.UTF8.GetByteCount(value);
            Unsigned(((ulong)size << 1) + 1);
            Encoding.UTF8.GetBytes(value, Reserve(size));
        }
        else
        {
            Unsigned(((ulong)value.Length << 1) + 2);
            Raw(MemoryMarshal.AsBytes(value.AsSpan()));
        }
    }

    /// <summary>Writes a back reference and returns true if the object was written before; otherwise remembers it.</summary>
    public bool TryReference(object value)
    {
        _references ??= new Dictionary<object, int>(ReferenceEqualityComparer.Instance);
        if (_references.TryGetValue(value, out int index))
        {
            Unsigned((ulong)index + ObjectHeader.FirstReference);
            return true;
        }
        _references.Add(value, _references.Count);
        return false;
    }

    public void Enter()
    {
        if (++_depth > ObjectHeader.MaxDepth) throw new SerializerException($"The object graph is nested deeper than {ObjectHeader.MaxDepth} levels.");
    }

    public void Leave() => _depth--;

    public void Reset()
    {
        if (_buffer.Length > 64 * 1024) _buffer = new byte[256];
        _length = 0;
        _depth = 0;
        if (_references?.Count > 1024) _references = null;
        else _references?.Clear();
    }

    private Span<byte> Reserve(int size)
    {
        Span<byte> span = Ensure(size)[..size];
        _length += size;
        return span;
    }

    private Span<byte> Ensure(int size)
    {
        if (_buffer.Length - _length < size) Array.Resize(ref _buffer, checked((int)Math.Max(_buffer.Length * 2L, (long)_length + size)));
        return _buffer.AsSpan(_length);
    }

    private static bool IsWellFormed(string value)
    {
        for (int i = value.AsSpan().IndexOfAnyInRange('\uD800', '\uDFFF'); i >= 0 && i < value.Length; i++)
        {
            if (!char.IsSurrogate(value[i])) continue;
            if (i + 1 >= value.Length || !char.IsSurrogatePair(value[i], value[i + 1])) return false;
            i++;
        }
        return true;
    }
}

/// <summary>The number in front of each object.</summary>
internal static class ObjectHeader
{
    public const int Null = 0;
    public const int DeclaredType = 1;
    public const int OtherType = 2;
    public const int FirstReference = 3;

    /// <summary>Deepest nesting of objects: bounds the stack for hostile bytes.</summary>
    public const int MaxDepth = 512;
}
