using System.Buffers;
using Orleans.Serialization;

namespace Orleans.Runtime;

/// <summary>The packed state of a grain that moves.</summary>
internal sealed class MigrationState(CodecProvider codecs) : IDehydrationContext, IRehydrationContext
{
    private readonly Dictionary<string, byte[]> _values = [];

    public IEnumerable<string> Keys => _values.Keys;

    public void AddBytes(string key, ReadOnlySpan<byte> value) => _values.Add(key, value.ToArray());

    public void AddBytes<T>(string key, Action<T, IBufferWriter<byte>> valueWriter, T value)
    {
        var buffer = new ArrayBufferWriter<byte>();
        valueWriter(value, buffer);
        AddBytes(key, buffer.WrittenSpan);
    }

    public bool TryAddValue<T>(string key, T? value)
    {
        try
        {
            _values.Add(key, codecs.Serialize(value));
            return true;
        }
        catch (CodecNotFoundException)
        {
            return false;
        }
    }

    public bool TryGetBytes(string key, out ReadOnlySequence<byte> value)
    {
        bool found = _values.TryGetValue(key, out byte[]? bytes);
        value = found ? new ReadOnlySequence<byte>(bytes!) : default;
        return found;
    }

    public bool TryGetValue<T>(string key, out T? value)
    {
        bool found = _values.TryGetValue(key, out byte[]? bytes);
        value = found ? codecs.Deserialize<T>(bytes) : default;
        return found;
    }

    /// <summary>All values as the body of a message, together with the activation that they come from.</summary>
    public byte[] Pack(ActivationId from) => codecs.Serialize((from, _values));

    public static MigrationState Unpack(ReadOnlyMemory<byte> body, CodecProvider codecs, out ActivationId from)
    {
        var state = new MigrationState(codecs);
        (from, Dictionary<string, byte[]> values) = codecs.Deserialize<(ActivationId, Dictionary<string, byte[]>)>(body);
        foreach ((string key, byte[] value) in values) state._values.Add(key, value);
        return state;
    }
}
