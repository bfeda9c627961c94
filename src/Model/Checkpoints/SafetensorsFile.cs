using System.Buffers.Binary;
using System.IO.MemoryMappedFiles;
using Microsoft.Win32.SafeHandles;

namespace Conclave.Model.Checkpoints;

/// <summary>
/// One memory-mapped safetensors file: 8 bytes of little-endian header length, a JSON header, then the data. The whole header is checked
/// before any view is handed out, and no data page is touched. The file must not be shortened while it is open.
/// </summary>
public sealed unsafe class SafetensorsFile : IDisposable
{
    /// <summary>The format's own limit on the header.</summary>
    public const long MaxHeaderSizeBytes = 100_000_000;

    private const int PrefixSizeBytes = 8;

    private readonly MemoryMappedFile _map;
    private readonly MemoryMappedViewAccessor _view;
    private readonly Dictionary<string, TensorView> _tensors;
    private bool _disposed;

    private SafetensorsFile(string path, MemoryMappedFile map, IReadOnlyList<SafetensorsEntry> entries, long dataOffset)
    {
        Path = path;
        _map = map;
        _view = map.CreateViewAccessor(0, 0, MemoryMappedFileAccess.Read);
        byte* start = null;
        _view.SafeMemoryMappedViewHandle.AcquirePointer(ref start);
        HugePages.Advise(start, (long)_view.SafeMemoryMappedViewHandle.ByteLength);
        var data = (nint)start + (nint)_view.PointerOffset + (nint)dataOffset;
        _tensors = new Dictionary<string, TensorView>(entries.Count, StringComparer.Ordinal);
        var unsupported = new Dictionary<string, string>(StringComparer.Ordinal);
        foreach (var entry in entries)
        {
            if (entry.DType is { } type)
                _tensors.Add(entry.Name, new TensorView(entry.Name, type, entry.Shape, data + (nint)entry.Begin, entry.End - entry.Begin));
            else
                unsupported.Add(entry.Name, entry.DTypeName);
        }
        UnsupportedTensors = unsupported;
    }

    /// <summary>Where it was opened.</summary>
    public string Path { get; }

    /// <summary>Tensors by name, valid until disposal.</summary>
    public IReadOnlyDictionary<string, TensorView> Tensors => _tensors;

    /// <summary>Element types, by tensor, of those that are in the file but of a type that no part of this program reads.</summary>
    public IReadOnlyDictionary<string, string> UnsupportedTensors { get; }

    /// <summary>Maps <paramref name="path"/> and checks its header.</summary>
    /// <exception cref="CheckpointException">The message names the file and, where one is at fault, the tensor.</exception>
    public static SafetensorsFile Open(string path)
    {
        try
        {
            using var handle = File.OpenHandle(path, FileMode.Open, FileAccess.Read, FileShare.Read);
            var length = RandomAccess.GetLength(handle);
            var header = ReadHeader(handle, length, path);
            var dataOffset = PrefixSizeBytes + header.LongLength;
            var entries = SafetensorsHeader.Parse(header, length - dataOffset, path);
            var map = MemoryMappedFile.CreateFromFile(handle, null, 0, MemoryMappedFileAccess.Read, HandleInheritability.None, leaveOpen: true);
            try
            {
                return new SafetensorsFile(path, map, entries, dataOffset);
            }
            catch
            {
                map.Dispose();
                throw;
            }
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException or ArgumentException or NotSupportedException)
        {
            throw new CheckpointException($"{path}: cannot be opened: {error.Message}", error);
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        if (_disposed)
            return;
        _disposed = true;
        _view.SafeMemoryMappedViewHandle.ReleasePointer();
        _view.Dispose();
        _map.Dispose();
    }

    private static byte[] ReadHeader(SafeFileHandle handle, long length, string path)
    {
        Span<byte> prefix = stackalloc byte[PrefixSizeBytes];
        if (length < PrefixSizeBytes || RandomAccess.Read(handle, prefix, 0) < PrefixSizeBytes)
            throw new CheckpointException($"{path}: truncated: {length} bytes are too few for a safetensors file; download it again.");
        var size = BinaryPrimitives.ReadUInt64LittleEndian(prefix);
        if (size > MaxHeaderSizeBytes)
            throw new CheckpointException($"{path}: a header of {size} bytes is above the format's limit of {MaxHeaderSizeBytes}; this is no safetensors file or a damaged one.");
        if ((long)size > length - PrefixSizeBytes)
            throw new CheckpointException($"{path}: truncated: the header of {size} bytes does not fit the file of {length}; download it again.");
        var header = new byte[size];
        for (var done = 0; done < header.Length;)
        {
            var read = RandomAccess.Read(handle, header.AsSpan(done), PrefixSizeBytes + done);
            if (read == 0)
                throw new CheckpointException($"{path}: truncated while its header was read; download it again.");
            done += read;
        }
        return header;
    }
}
