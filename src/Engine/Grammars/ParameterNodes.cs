using Conclave.Model.Chat;

namespace Conclave.Engine.Grammars;

/// <summary>The arguments of a call in v3.2: one element a parameter, strings as raw text, all else as JSON.</summary>
internal sealed class ParameterNodes(SchemaDocument document, JsonNodes json)
{
    // Markers are made of it; nothing that must match an expression needs it.
    private static readonly CodePoints Plain = CodePoints.Single(0xFF5C).Complement();

    private readonly SchemaReader _reader = SchemaReader.Open(document, json);

    /// <summary>All parameters, in the order of the schema, each on its own line.</summary>
    /// <exception cref="OperatingException">The schema cannot be used; the message names the path.</exception>
    public Node All()
    {
        SchemaFacts facts = SchemaUnevaluated.Settle(_reader.Facts(SchemaSources.Of(document.Root)));
        if (facts.Choices.Count > 0 || facts.Values is not null || facts.PatternProperties.Count > 0 || facts.IsNever || !(facts.Types ?? SchemaTypes.Object).HasFlag(SchemaTypes.Object))
            throw SchemaDocument.Error(facts.Path, "must describe an object by its properties, without alternatives, for calls in this chat format");
        ChainMember[] members = [.. _reader.Properties(facts).Select(property => new ChainMember(Parameter(property.Property), property.IsRequired))];
        Node chain = ObjectChain.Of(members, [], Node.Text("\n"), facts.MinProperties, facts.MaxProperties, $"schema {facts.Path}");
        _reader.ReadRules();
        return facts.MinProperties > 0 || members.Any(member => member.IsRequired) ? chain : Node.Maybe(chain);
    }

    private Node Parameter(SchemaProperty property)
    {
        if (property.Name.AsSpan().ContainsAny("\"<>\n｜"))
            throw SchemaDocument.Error($"#/properties/{SchemaDocument.Escape(property.Name)}", "a name with quotes, angle brackets or line ends cannot be written in this chat format");
        SchemaFacts facts = _reader.Facts(property.Sources);
        SchemaTypes types = facts.Types ?? (facts.Implied == SchemaTypes.None ? SchemaTypes.All : facts.Implied);
        Node text = Node.Of(Node.Text(CallNotation.TextParameter), Text(facts with { Types = types & SchemaTypes.String }));
        Node other = Node.Of(Node.Text(CallNotation.JsonParameter), _reader.OfFacts(facts with { Types = types & ~SchemaTypes.String }), Node.Text(CallNotation.ParameterEnd));
        return Node.Of(Node.Text(CallNotation.ParameterBegin + property.Name), Node.Any(text, other));
    }

    /// <summary>A string's characters and the end of its element.</summary>
    private Node Text(SchemaFacts facts)
    {
        if (facts.IsNever || facts.Types == SchemaTypes.None)
            return Node.Never;
        Node end = Node.Text(CallNotation.ParameterEnd);
        if (_reader.ValuesOf(facts) is { } values)
        {
            IEnumerable<string> texts = values.Where(value => value.ValueKind == System.Text.Json.JsonValueKind.String).Select(value => value.GetString()!)
                .Where(text => !text.Contains(CallNotation.ParameterEnd, StringComparison.Ordinal));
            return Node.Of(Node.Any([.. texts.Select(Node.Text)]), end);
        }

        if (facts.Choices is [var choice, ..])
        {
            SchemaFacts others = SchemaReader.WithoutFirstChoice(facts);
            return Node.Any([.. choice.Select(way => Text(_reader.Add(others, way)))]);
        }

        CharacterAutomaton? automaton = SchemaReader.Text(facts);
        return automaton is null ? TextUntil.Through(CallNotation.ParameterEnd) : Node.Of(automaton.ToNode(set => new Node.Character(set.Intersect(Plain))), end);
    }
}
