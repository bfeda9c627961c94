using System.Buffers.Binary;
using System.Runtime.InteropServices;
using System.Text.Json;

namespace Conclave.Model.Checkpoints;

/// <summary>A tensor that a <see cref="SafetensorsWriter"/> is going to write.</summary>
/// <param name="Name">Its name, unique in the file.</param>
/// <param name="DType">Element type.</param>
/// <param name="Shape">Dimensions, outermost first; none for a scalar.</param>
public sealed record TensorSpec(string Name, DType DType, params long[] Shape)
{
    /// <summary>Bytes of its data.</summary>
    public long SizeBytes => Shape.Aggregate((long)DType.SizeBytes(), (total, dimension) => checked(total * dimension));
}

/// <summary>
/// Writes one safetensors file in constant memory: all tensors are declared first, then their data follows in the same order, in pieces
/// of any size. Call <see cref="Complete"/> at the end; a file left off earlier is found truncated by every reader.
/// </summary>
public sealed class SafetensorsWriter : IDisposable
{
    // The data begins with a cache line of its own: a vector load that crosses two costs twice, and weights are multiplied where they lie in the file.
    private const int Alignment = 64;

    private readonly FileStream _stream;
    private readonly long _dataSizeBytes;
    private long _written;

    /// <summary>Creates or replaces <paramref name="path"/> and writes the header.</summary>
    /// <exception cref="ArgumentException">Two tensors share a name.</exception>
    /// <exception cref="IOException">The file cannot be written.</exception>
    public SafetensorsWriter(string path, IReadOnlyList<TensorSpec> tensors)
    {
        var header = Header(tensors);
        _dataSizeBytes = tensors.Sum(tensor => tensor.SizeBytes);
        _stream = new FileStream(path, FileMode.Create, FileAccess.Write, FileShare.None, bufferSize: 1 << 16);
        Span<byte> length = stackalloc byte[sizeof(long)];
        BinaryPrimitives.WriteInt64LittleEndian(length, header.Length);
        _stream.Write(length);
        _stream.Write(header);
    }

    /// <summary>Appends little-endian data of the declared tensors, in their order; a piece may end anywhere.</summary>
    /// <exception cref="InvalidOperationException">More than was declared.</exception>
    public void Write<T>(ReadOnlySpan<T> data)
        where T : unmanaged
    {
        var bytes = MemoryMarshal.AsBytes(data);
        if (bytes.Length > _dataSizeBytes - _written)
            throw new InvalidOperationException($"{_stream.Name}: the declared tensors take {_dataSizeBytes} bytes; there is no place for {bytes.Length} after {_written}.");
        _stream.Write(bytes);
        _written += bytes.Length;
    }

    /// <summary>Checks that every declared tensor is written, and closes the file.</summary>
    /// <exception cref="InvalidOperationException">Data is missing.</exception>
    public void Complete()
    {
        if (_written != _dataSizeBytes)
            throw new InvalidOperationException($"{_stream.Name}: {_written} of the {_dataSizeBytes} declared bytes were written.");
        _stream.Dispose();
    }

    /// <inheritdoc/>
    public void Dispose() => _stream.Dispose();

    private static byte[] Header(IReadOnlyList<TensorSpec> tensors)
    {
        if (tensors.DistinctBy(tensor => tensor.Name).Count() != tensors.Count)
            throw new ArgumentException("Two tensors share a name.", nameof(tensors));
        using var buffer = new MemoryStream();
        using (var json = new Utf8JsonWriter(buffer))
        {
            json.WriteStartObject();
            json.WriteStartObject("__metadata__");
            json.WriteString("format", "pt"); // Hugging Face loaders refuse files without it
            json.WriteEndObject();
            var offset = 0L;
            foreach (var tensor in tensors)
            {
                WriteEntry(json, tensor, offset);
                offset += tensor.SizeBytes;
            }
            json.WriteEndObject();
        }
        while ((sizeof(long) + buffer.Length) % Alignment != 0)
            buffer.WriteByte((byte)' ');
        return buffer.ToArray();
    }

    private static void WriteEntry(Utf8JsonWriter json, TensorSpec tensor, long offset)
    {
        json.WriteStartObject(tensor.Name);
        json.WriteString("dtype", tensor.DType.Name());
        json.WriteStartArray("shape");
        foreach (var dimension in tensor.Shape)
            json.WriteNumberValue(dimension);
        json.WriteEndArray();
        json.WriteStartArray("data_offsets");
        json.WriteNumberValue(offset);
        json.WriteNumberValue(offset + tensor.SizeBytes);
        json.WriteEndArray();
        json.WriteEndObject();
    }
}
