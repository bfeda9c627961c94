namespace Conclave.Model.Chat;

/// <summary>Text that grows at its end and is taken from its front; both cost constant time a character on average.</summary>
internal sealed class TextBuffer
{
    private char[] _characters = new char[256];
    private int _begin;
    private int _end;

    public int Length => _end - _begin;

    public ReadOnlySpan<char> Text => _characters.AsSpan(_begin, Length);

    public void Append(ReadOnlySpan<char> text)
    {
        if (_end + text.Length > _characters.Length) MakeRoom(text.Length);
        text.CopyTo(_characters.AsSpan(_end));
        _end += text.Length;
    }

    /// <summary>Removes the first <paramref name="count"/> characters and returns them.</summary>
    public string Take(int count)
    {
        var taken = new string(_characters, _begin, count);
        _begin += count;
        return taken;
    }

    private void MakeRoom(int extra)
    {
        var target = _characters;
        if (Length + extra > _characters.Length / 2) target = new char[Math.Max(_characters.Length * 2, Length + extra)];
        Text.CopyTo(target);
        (_characters, _end, _begin) = (target, Length, 0);
    }
}
