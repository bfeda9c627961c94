using System.Text;

namespace Conclave.Engine.Grammars;

/// <summary>A set of texts, as the front ends describe it: the tree between a notation and its automaton. Immutable apart from <see cref="Rule.Body"/>.</summary>
internal abstract record Node
{
    /// <summary>The empty text.</summary>
    public static Node Empty { get; } = new Sequence([]);

    /// <summary>No text at all: what leads here is a dead end and is removed.</summary>
    public static Node Never { get; } = new Choice([]);

    public static Node Text(string text) => new Literal(Encoding.UTF8.GetBytes(text));

    public static Node Of(params Node[] parts) => new Sequence(parts);

    public static Node Any(params Node[] alternatives) => new Choice(alternatives);

    public static Node Maybe(Node part) => new Repeat(part, 0, 1);

    /// <summary>Whether it plainly has no empty text.</summary>
    public bool IsText => this switch
    {
        Literal literal => literal.Bytes.Length > 0,
        Character => true,
        Sequence sequence => sequence.Parts.Any(part => part.IsText),
        Choice choice => choice.Alternatives.All(alternative => alternative.IsText),
        Repeat repeat => repeat.Min > 0 && repeat.Part.IsText,
        Nested nested => nested.Inner.IsText,
        _ => false,
    };

    /// <summary>The same texts with each character written otherwise.</summary>
    /// <param name="write">How a character of a set is written.</param>
    public Node Written(Func<CodePoints, Node> write) => this switch
    {
        Character character => write(character.Set),
        Sequence sequence => new Sequence([.. sequence.Parts.Select(part => part.Written(write))]),
        Choice choice => new Choice([.. choice.Alternatives.Select(alternative => alternative.Written(write))]),
        Repeat repeat => repeat with { Part = repeat.Part.Written(write) },
        Graph graph => graph.WithLabels(label => label.Written(write)),
        _ => this,
    };

    /// <summary>These bytes.</summary>
    public sealed record Literal(byte[] Bytes) : Node;

    /// <summary>One character of a set.</summary>
    public sealed record Character(CodePoints Set) : Node;

    /// <summary>One after the other.</summary>
    public sealed record Sequence(IReadOnlyList<Node> Parts) : Node;

    /// <summary>One of them.</summary>
    public sealed record Choice(IReadOnlyList<Node> Alternatives) : Node;

    /// <summary>So many times; <see cref="Unbounded"/> as <paramref name="Max"/>: any number from <paramref name="Min"/> on.</summary>
    public sealed record Repeat(Node Part, int Min, int Max) : Node
    {
        public const int Unbounded = -1;
    }

    /// <summary>Whatever the rule stands for; the only way to recursion.</summary>
    public sealed record Call(Rule Rule) : Node;

    /// <summary>The same texts one level deeper: levels are what the depth of a grammar is counted in.</summary>
    public sealed record Nested(Node Inner) : Node;

    /// <summary>The texts along the ways from state 0 to an accepting state.</summary>
    public sealed record Graph(IReadOnlyList<GraphEdge> Edges, IReadOnlyList<int> Accepting) : Node
    {
        /// <summary>Which states count how far a text has come; null if none does.</summary>
        public GraphLengths? Lengths { get; init; }

        /// <summary>The same with other labels; edges of one label share the new one too.</summary>
        public Graph WithLabels(Func<Node, Node> change)
        {
            var changed = new Dictionary<Node, Node>(ReferenceEqualityComparer.Instance);
            return this with { Edges = [.. Edges.Select(edge => edge with { Label = Changed(edge.Label) })] };

            Node Changed(Node label)
            {
                if (!changed.TryGetValue(label, out Node? made))
                    changed.Add(label, made = change(label));
                return made;
            }
        }
    }
}

/// <summary>A way from one state of a <see cref="Node.Graph"/> to another.</summary>
internal sealed record GraphEdge(int From, Node Label, int To);

/// <summary>
/// States of a <see cref="Node.Graph"/> that differ in nothing but a length, which every step makes greater by no more than the bytes it writes: those of one shape allow the
/// same as long as the text comes near neither bound.
/// </summary>
/// <param name="Min">Least length of a whole text.</param>
/// <param name="Max">Greatest length; null if there is none.</param>
/// <param name="States">Shape and length by the state's number.</param>
internal sealed record GraphLengths(int Min, int? Max, IReadOnlyDictionary<int, (int Shape, int Length)> States);

/// <summary>A named part of a grammar; its automaton exists once, however often it is called.</summary>
internal sealed class Rule(string name)
{
    /// <summary>What users know it by.</summary>
    public string Name { get; } = name;

    /// <summary>What it stands for; set once, before the grammar is built.</summary>
    public Node Body { get; set; } = Node.Never;
}

/// <summary>A grammar ready to be built.</summary>
/// <param name="Root">The whole output.</param>
/// <param name="MaxDepth">Most levels of <see cref="Node.Nested"/> around calls at any time.</param>
/// <param name="Place">What errors call the whole.</param>
internal sealed record GrammarTree(Node Root, int MaxDepth, string Place);
