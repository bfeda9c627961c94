using System.Text;
using System.Text.Json;

namespace Conclave.Engine.Grammars;

/// <summary>
/// The parts of JSON text. White space is bounded so that a weak model cannot go on in blanks for ever: between two elements stands nothing, one space, or
/// one line feed and at most <see cref="MaxIndent"/> blanks; none before the first or after the last element. Numbers are bounded too: 15 digits before the point, 15
/// behind it, exponents of two digits. One instance serves one grammar, whose strings and values then share their rules.
/// </summary>
internal sealed class JsonNodes
{
    /// <summary>Blanks after a line feed.</summary>
    public const int MaxIndent = 20;

    /// <summary>Digits before the point, and behind it.</summary>
    public const int MaxDigits = 15;

    // Quote, backslash and control characters must be escaped. The fullwidth line may be, and is, so that no marker of a chat format can stand in a string.
    private static readonly CodePoints Escaped = CodePoints.Of((0, 0x1F), ('"', '"'), ('\\', '\\'), (0xFF5C, 0xFF5C));

    private readonly Rule _string = new("a JSON string");
    private readonly Rule _character = new("a JSON character");
    private readonly Rule _basic = new("a JSON character");
    private readonly Rule _wide = new("a JSON character");
    private readonly Rule _space = new("JSON white space");
    private readonly Rule _value = new("a JSON value");

    public JsonNodes()
    {
        _space.Body = Node.Any(Node.Empty, Node.Text(" "), Node.Of(Node.Text("\n"), new Node.Repeat(Node.Text(" "), 0, MaxIndent)));
        _basic.Body = Node.Any(
            new Node.Character(CodePoints.Basic.Except(Escaped)),
            Node.Of(Node.Text("\\"), new Node.Character(CodePoints.OfCharacters("\"\\/bfnrt"))),
            Node.Of(Node.Text("\\u"), BasicUnit()));
        _wide.Body = Node.Any(new Node.Character(CodePoints.Wide), Node.Of(Node.Text("\\u"), WideUnits()));
        _character.Body = Node.Any(_basic.Body, _wide.Body);
        _string.Body = Node.Of(Node.Text("\""), new Node.Repeat(_character.Body, 0, Node.Repeat.Unbounded), Node.Text("\""));
        _value.Body = Node.Any(AnyObject, AnyArray, String, Number, Literals);
    }

    /// <summary>White space between two elements.</summary>
    public Node Space => new Node.Call(_space);

    /// <summary>Any value.</summary>
    public Node Value => new Node.Call(_value);

    /// <summary>Any string.</summary>
    public Node String => new Node.Call(_string);

    /// <summary>One character of a string, however it is written.</summary>
    public Node AnyCharacter => new Node.Call(_character);

    /// <summary>One of <see cref="CodePoints.Basic"/>.</summary>
    public Node BasicCharacter => new Node.Call(_basic);

    /// <summary>One of <see cref="CodePoints.Wide"/>.</summary>
    public Node WideCharacter => new Node.Call(_wide);

    /// <summary>Any object.</summary>
    public Node AnyObject => Object(Separated(Member(String, Value)), mayBeEmpty: true);

    /// <summary>Any list.</summary>
    public Node AnyArray => Array(Separated(Value), mayBeEmpty: true);

    /// <summary>Any number.</summary>
    public static Node Number { get; } = NumberRange.Any(isInteger: false);

    /// <summary>Any whole number.</summary>
    public static Node Integer { get; } = NumberRange.Any(isInteger: true);

    private static Node Literals => Node.Any(Node.Text("true"), Node.Text("false"), Node.Text("null"));

    /// <summary>Braces around <paramref name="members"/> (which are not empty), one level deeper, or around nothing.</summary>
    public Node Object(Node members, bool mayBeEmpty) => Bracketed("{", members, "}", mayBeEmpty);

    /// <summary>Brackets around <paramref name="elements"/> (which are not empty), one level deeper, or around nothing.</summary>
    public Node Array(Node elements, bool mayBeEmpty) => Bracketed("[", elements, "]", mayBeEmpty);

    /// <summary>A name, a colon, a value.</summary>
    public Node Member(Node name, Node value) => Node.Of(name, Space, Node.Text(":"), Space, value);

    /// <summary>The comma between elements.</summary>
    public Node Comma => Node.Of(Space, Node.Text(","), Space);

    /// <summary>At least one element, any number of them.</summary>
    public Node Separated(Node element) => new Node.Graph([new(0, element, 1), new(1, Comma, 0)], [1]);

    /// <summary>A string whose value is exactly this.</summary>
    public static Node StringOf(string value)
    {
        var text = new StringBuilder("\"");
        foreach (Rune rune in value.EnumerateRunes())
        {
            _ = rune.Value switch
            {
                '"' => text.Append("\\\""),
                '\\' => text.Append(@"\\"),
                '\n' => text.Append("\\n"),
                '\r' => text.Append("\\r"),
                '\t' => text.Append("\\t"),
                _ when Escaped.Contains(rune.Value) => text.Append($"\\u{rune.Value:x4}"),
                _ => text.Append(rune.ToString()),
            };
        }

        return Node.Text(text.Append('"').ToString());
    }

    /// <summary>Exactly this value; white space as everywhere.</summary>
    public Node Exactly(JsonElement value) => value.ValueKind switch
    {
        JsonValueKind.Object => Object(Join(value.EnumerateObject().Select(member => Member(StringOf(member.Name), Exactly(member.Value)))), !value.EnumerateObject().Any()),
        JsonValueKind.Array => Array(Join(value.EnumerateArray().Select(Exactly)), value.GetArrayLength() == 0),
        JsonValueKind.String => StringOf(value.GetString()!),
        _ => Node.Text(value.GetRawText()),
    };

    /// <summary>A character of <paramref name="set"/> as a string writes it: raw where that is allowed, else escaped.</summary>
    public static Node Characters(CodePoints set)
    {
        var ways = new List<Node> { new Node.Character(set.Except(Escaped)) };
        foreach ((int first, int last) in set.Intersect(Escaped).Ranges.ToArray())
        {
            for (int value = first; value <= last; value++)
                ways.Add(EscapeOf(value));
        }

        return Node.Any([.. ways]);
    }

    private static Node EscapeOf(int value) => Node.Text(value switch
    {
        '"' => "\\\"",
        '\\' => @"\\",
        '\b' => "\\b",
        '\f' => "\\f",
        '\n' => "\\n",
        '\r' => "\\r",
        '\t' => "\\t",
        _ => $"\\u{value:x4}",
    });

    /// <summary>Four hexadecimal digits of a character, not of half a surrogate pair.</summary>
    private static Node BasicUnit()
    {
        Node hex = Hex("0123456789abcdefABCDEF");
        return Node.Any(Node.Of(Hex("0123456789abcefABCEF"), hex, hex, hex), Node.Of(Hex("dD"), Hex("01234567"), hex, hex));
    }

    /// <summary>Four digits of the first half of a surrogate pair, and the escape of the second half.</summary>
    private static Node WideUnits()
    {
        Node hex = Hex("0123456789abcdefABCDEF");
        return Node.Of(Hex("dD"), Hex("89abAB"), hex, hex, Node.Text("\\u"), Hex("dD"), Hex("cdefCDEF"), hex, hex);
    }

    private static Node Hex(string digits) => new Node.Character(CodePoints.OfCharacters(digits));

    private Node Bracketed(string open, Node inner, string close, bool mayBeEmpty)
    {
        Node filled = Node.Of(new Node.Nested(inner), Space);
        return Node.Of(Node.Text(open), Space, mayBeEmpty ? Node.Maybe(filled) : filled, Node.Text(close));
    }

    private Node Join(IEnumerable<Node> elements)
    {
        var parts = new List<Node>();
        foreach (Node element in elements)
        {
            if (parts.Count > 0)
                parts.Add(Comma);
            parts.Add(element);
        }

        return parts.Count == 0 ? Node.Never : new Node.Sequence(parts);
    }
}
