using System.Text.Json;

namespace Conclave.Model.Chat;

/// <summary>Reads the calls of one tool block while its text arrives. It begins directly after the opener.</summary>
internal abstract class CallReader
{
    private readonly TextBuffer _text = new();
    private int _searchedTo;

    /// <summary>What <see cref="Next"/> came upon.</summary>
    public enum Found
    {
        /// <summary>More text is needed.</summary>
        Unfinished,

        /// <summary>A complete, valid call.</summary>
        Call,

        /// <summary>The end of the block.</summary>
        End,

        /// <summary>Something that can never become a valid call.</summary>
        Malformed,
    }

    /// <summary>All the text of the block so far.</summary>
    public ReadOnlySpan<char> Text => _text.Text;

    /// <summary>Where the next element begins.</summary>
    protected int Position { get; private set; }

    public void Append(ReadOnlySpan<char> text) => _text.Append(text);

    /// <summary>Reads on to the next call.</summary>
    public abstract Found Next(out ParsedToolCall? call);

    /// <summary>The text of a JSON object if <paramref name="text"/> is one; null otherwise.</summary>
    protected static string? ObjectText(string text)
    {
        if (text.Length == 0) return "{}";
        return PythonJson.TryParse(text)?.ValueKind == JsonValueKind.Object ? text : null;
    }

    protected void SkipWhiteSpace()
    {
        while (Position < Text.Length && char.IsWhiteSpace(Text[Position])) Position++;
    }

    /// <summary>Whether the next element is <paramref name="marker"/>; if so it is passed.</summary>
    protected bool TryPass(string marker)
    {
        if (!Text[Position..].StartsWith(marker, StringComparison.Ordinal)) return false;
        Position += marker.Length;
        return true;
    }

    /// <summary>Whether the text ends where it may still become <paramref name="marker"/>.</summary>
    protected bool MayBecome(string marker) => marker.AsSpan().StartsWith(Text[Position..], StringComparison.Ordinal);

    /// <summary>
    /// The text up to <paramref name="marker"/>, which is passed; null if the marker has not arrived. A later attempt goes on where this one ended, so
    /// that a long wait stays linear.
    /// </summary>
    protected string? TakeUntil(string marker)
    {
        var from = Math.Max(Position, _searchedTo - marker.Length + 1);
        var found = Text[from..].IndexOf(marker, StringComparison.Ordinal);
        if (found < 0)
        {
            _searchedTo = Text.Length;
            return null;
        }

        var taken = Text[Position..(from + found)].ToString();
        Position = from + found + marker.Length;
        _searchedTo = Position;
        return taken;
    }
}
