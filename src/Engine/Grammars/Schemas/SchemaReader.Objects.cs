namespace Conclave.Engine.Grammars;

/// <summary>Objects.</summary>
internal sealed partial class SchemaReader
{
    /// <summary>The properties that an object may or must have, in order: those declared, then those that are only required.</summary>
    public static IReadOnlyList<(SchemaProperty Property, bool IsRequired)> Properties(SchemaFacts facts)
    {
        IEnumerable<SchemaProperty> undeclared = facts.Required.Where(name => facts.Properties.All(property => property.Name != name))
            .Select(name => new SchemaProperty(name, facts.Additional ?? new SchemaSources([])));
        return [.. facts.Properties.Concat(undeclared).Select(property => (property, facts.Required.Contains(property.Name)))];
    }

    private Node OfObject(SchemaFacts facts)
    {
        IReadOnlyList<(SchemaProperty Property, bool IsRequired)> properties = Properties(facts);
        if (facts.MinProperties > (facts.MaxProperties ?? int.MaxValue))
            return Node.Never;
        if (properties.Count == 0)
            return OfFreeObject(facts);
        if (facts.PatternProperties.Count > 0)
            throw SchemaDocument.Error($"{facts.Path}/patternProperties", "is not supported beside properties");
        if (facts.PropertyNames is not null)
            throw SchemaDocument.Error($"{facts.Path}/propertyNames", "is not supported beside properties");
        bool isOpen = facts.Additional is not null && !IsFalse(facts.Additional);
        int requiredCount = properties.Count(property => property.IsRequired);
        if (facts.MinProperties > requiredCount || (facts.MaxProperties is { } max && (isOpen || max < properties.Count)))
            throw SchemaDocument.Error($"{facts.Path}/{(facts.MinProperties > requiredCount ? "minProperties" : "maxProperties")}", "is not supported beside optional properties");

        var edges = new List<GraphEdge>();
        for (int i = 0; i < properties.Count; i++)
            edges.Add(new GraphEdge(Before(i), _json.Member(JsonNodes.StringOf(properties[i].Property.Name), Of(properties[i].Property.Sources)), Behind(i + 1)));
        if (isOpen)
            edges.Add(new GraphEdge(Before(properties.Count), _json.Member(OtherName([.. properties.Select(property => property.Property.Name)]), Of(facts.Additional!)), Behind(properties.Count)));
        bool[] isRequired = [.. properties.Select(property => property.IsRequired)];
        return _json.Object(Chain(edges, isRequired, isOpen, _json.Comma), mayBeEmpty: requiredCount == 0);
    }

    /// <summary>Before property i, when one from i on must still come.</summary>
    public static int Before(int i) => 2 * i;

    /// <summary>Before property i, when at least one has been written.</summary>
    public static int Behind(int i) => (2 * i) + 1;

    /// <summary>At least one property, in order, optional ones left out at will, separators between those that are written.</summary>
    /// <param name="edges">The properties: i from <see cref="Before"/>(i) to <see cref="Behind"/>(i + 1); the rest is added.</param>
    /// <param name="isRequired">Of each property.</param>
    /// <param name="isOpen">Others may follow: from Before(count) to Behind(count).</param>
    /// <param name="separator">Between two of them.</param>
    public static Node Chain(List<GraphEdge> edges, bool[] isRequired, bool isOpen, Node separator)
    {
        int count = isRequired.Length;
        var accepting = new List<int>();
        for (int i = 0; i <= count; i++)
        {
            if (i > 0 && (i < count || isOpen))
                edges.Add(new GraphEdge(Behind(i), separator, Before(i)));
            if (i < count && !isRequired[i])
                edges.Add(new GraphEdge(Before(i), Node.Empty, Before(i + 1)));
            if (i > 0 && !isRequired.AsSpan(i).Contains(true))
                accepting.Add(Behind(i));
        }

        return new Node.Graph(edges, accepting);
    }

    /// <summary>An object that declares no property.</summary>
    private Node OfFreeObject(SchemaFacts facts)
    {
        Node name = facts.PropertyNames is { } names ? Name(names) : _json.String;
        Node value = facts.Additional is { } additional ? Of(additional) : _json.Value;
        bool isClosed = facts.Additional is not null && IsFalse(facts.Additional);
        if (facts.PatternProperties is [var only])
        {
            // Names that do not match would be free otherwise; that cannot be told, so they are left out.
            if (facts.PropertyNames is not null)
                throw SchemaDocument.Error($"{facts.Path}/patternProperties", "is not supported beside propertyNames");
            (name, value, isClosed) = (Quoted(RegexReader.ReadSearch(only.Name, $"schema {facts.Path}/patternProperties", Character)), Of(only.Sources), false);
        }
        else if (facts.PatternProperties.Count > 1)
        {
            throw SchemaDocument.Error($"{facts.Path}/patternProperties", "is supported with one pattern only");
        }

        Node member = _json.Member(name, value);
        int min = facts.MinProperties;
        if (isClosed)
            return min == 0 ? _json.Object(Node.Never, mayBeEmpty: true) : Node.Never;
        if (min <= 1 && facts.MaxProperties is null)
            return _json.Object(_json.Separated(member), mayBeEmpty: min == 0);
        if (facts.MaxProperties == 0)
            return _json.Object(Node.Never, mayBeEmpty: true);
        var following = new Node.Repeat(Node.Of(_json.Comma, member), Math.Max(0, min - 1), Cap(facts.MaxProperties, min, MaxWrittenItems) - 1 ?? Node.Repeat.Unbounded);
        return _json.Object(Node.Of(member, following), mayBeEmpty: min == 0);
    }

    private Node Name(SchemaSources names)
    {
        SchemaFacts facts = Facts(names);
        if (facts.Choices.Count > 0 || facts.Values is { } values && values.Any(value => value.ValueKind != System.Text.Json.JsonValueKind.String))
            throw SchemaDocument.Error(facts.Path, "must be a schema of strings without alternatives");
        return OfTypes(facts with { Types = (facts.Types ?? SchemaTypes.All) & SchemaTypes.String });
    }

    private static bool IsFalse(SchemaSources sources) => sources.All.Any(source => source.Value.ValueKind == System.Text.Json.JsonValueKind.False);

    /// <summary>A name that is none of <paramref name="names"/>. Written without escapes, so that none of them can be written in disguise.</summary>
    private static Node OtherName(IReadOnlyList<string> names)
    {
        CodePoints plain = CodePoints.Of((0, 0x1F), ('"', '"'), ('\\', '\\'), (0xFF5C, 0xFF5C)).Complement();
        var edges = new List<GraphEdge> { new(1, new Node.Character(plain), 1) };
        var accepting = new List<int> { 1 };
        int count = 2;
        void Branch(int state, List<int[]> rests)
        {
            // The names that begin like the text so far: leave their ways, or go along and end before or behind them.
            if (rests.All(rest => rest.Length > 0))
                accepting.Add(state);
            var nexts = rests.Where(rest => rest.Length > 0).GroupBy(rest => rest[0]).ToList();
            CodePoints leaving = plain.Except(CodePoints.Of([.. nexts.Select(next => (next.Key, next.Key))]));
            edges.Add(new GraphEdge(state, new Node.Character(leaving), 1));
            foreach (IGrouping<int, int[]> next in nexts.Where(next => plain.Contains(next.Key)))
            {
                edges.Add(new GraphEdge(state, new Node.Character(CodePoints.Single(next.Key)), count));
                Branch(count++, [.. next.Select(rest => rest[1..])]);
            }
        }

        Branch(0, [.. names.Select(name => name.EnumerateRunes().Select(rune => rune.Value).ToArray())]);
        return Quoted(new Node.Graph(edges, accepting));
    }
}
