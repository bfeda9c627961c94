using System.Diagnostics.CodeAnalysis;
using System.Text;

namespace Conclave.Model.Tokenization;

/// <summary>
/// Tokens by id and by written form. Immutable. All strings lie in two byte arrays, so that 130,000 tokens are a handful of
/// objects for the garbage collector.
/// </summary>
internal sealed class Vocabulary
{
    private readonly WrittenTokens _written;
    // Decoded bytes of an id: _bytes[_starts[id].._starts[id + 1]].
    private readonly byte[] _bytes;
    private readonly int[] _starts;
    private readonly bool[] _defined;

    /// <summary>Takes the tokens over; nothing may be added to them afterwards.</summary>
    public Vocabulary(WrittenTokens written)
    {
        _written = written;
        var entryOfId = new int[written.HighestId + 1];
        for (var entry = 0; entry < written.Count; entry++)
        {
            entryOfId[written.Id(entry)] = entry + 1;
        }

        _bytes = new byte[written.SizeBytes];
        _starts = new int[entryOfId.Length + 1];
        _defined = new bool[entryOfId.Length];
        for (var id = 0; id < entryOfId.Length; id++)
        {
            _defined[id] = entryOfId[id] != 0;
            var token = _defined[id] ? written.Token(entryOfId[id] - 1) : [];
            _starts[id + 1] = _starts[id] + ByteLevel.Read(token, _bytes.AsSpan(_starts[id]));
        }
    }

    /// <summary>Whether an id has a token.</summary>
    public bool Contains(int id) => (uint)id < (uint)_defined.Length && _defined[id];

    /// <summary>One more than the highest id.</summary>
    public int Size => _defined.Length;

    /// <summary>The bytes that a token stands for.</summary>
    public ReadOnlySpan<byte> Bytes(int id)
    {
        if ((uint)id >= (uint)_defined.Length || !_defined[id])
        {
            ThrowUnknown(id);
        }

        return _bytes.AsSpan(_starts[id].._starts[id + 1]);
    }

    /// <summary>The id of a token by its written form in the file, or -1.</summary>
    public int Find(ReadOnlySpan<byte> written) => _written.Find(written);

    /// <inheritdoc cref="Find(ReadOnlySpan{byte})"/>
    public int Find(string written) => _written.Find(Encoding.UTF8.GetBytes(written));

    [DoesNotReturn]
    private void ThrowUnknown(int id) => throw new ArgumentOutOfRangeException(
        nameof(id), id, $"Token id {id} is not in the tokenizer (ids run from 0 to {Size - 1}).");
}
