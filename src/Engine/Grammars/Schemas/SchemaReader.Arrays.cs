using System.Text.Json;

namespace Conclave.Engine.Grammars;

/// <summary>Lists.</summary>
internal sealed partial class SchemaReader
{
    // So many elements may come in any order; the states are their subsets.
    private const int MaxShuffled = 8;
    private const int MaxWrittenItems = 4096;

    private Node OfArray(SchemaFacts facts)
    {
        bool isClosed = facts.Items is { All: var items } && items.Any(item => item.Value.ValueKind == JsonValueKind.False);
        int max = Math.Min(Cap(facts.MaxItems, facts.MinItems, MaxWrittenItems) ?? int.MaxValue, isClosed ? facts.PrefixItems.Count : int.MaxValue);
        int min = Math.Max(facts.MinItems, facts.Excluded.Any(value => value.ValueKind == JsonValueKind.Array) ? 1 : 0);
        if (facts.Excluded.Any(value => value.ValueKind == JsonValueKind.Array && value.GetArrayLength() > 0))
            throw SchemaDocument.Error(facts.Path, "'not' of a list that is given element by element is not supported");
        if (max < min)
            return Node.Never;
        SchemaContains[] contains = [.. facts.Contains.Where(part => part.Min > 0 || part.Max is not null)];
        if (facts.IsUnique && max > 1)
            return contains.Length == 0 ? OfDistinct(facts, min, max) : throw SchemaDocument.Error($"{facts.Path}/uniqueItems", "is not supported beside contains");
        bool isBounded = max < int.MaxValue;
        int written = isBounded ? max : Math.Max(facts.PrefixItems.Count, min);
        if (written > AutomatonBuilder.MaxStates / 8)
            GrammarError.ThrowTooLarge($"schema {facts.Path}");
        return contains.Length switch
        {
            0 => Elements(facts, min, written, isBounded, null),
            1 => contains[0].Max < contains[0].Min ? Node.Never : Elements(facts, min, written, isBounded, contains[0]),
            _ => throw SchemaDocument.Error($"{facts.Path}/contains", "is supported once for a list"),
        };
    }

    /// <summary>Elements one after the other, and how many of them fit what the list must contain.</summary>
    private Node Elements(SchemaFacts facts, int min, int written, bool isBounded, SchemaContains? contains)
    {
        int most = contains is null ? 0 : contains.Max is { } limit ? Math.Min(limit, isBounded ? written : Math.Max(limit, contains.Min)) : contains.Min;
        if ((long)(written + 1) * (most + 1) > MaxWrittenItems * 8)
            GrammarError.ThrowTooLarge($"schema {facts.Path}");
        Node? rest = null, restFound = null, restOther = null;
        var edges = new List<GraphEdge>();
        var accepting = new List<int>();
        for (int i = 0; i < written + (isBounded ? 0 : 1); i++)
        {
            bool isPrefix = i < facts.PrefixItems.Count;
            SchemaSources sources = isPrefix ? facts.PrefixItems[i] : facts.Items ?? new SchemaSources([]);
            Node any = isPrefix ? Of(sources) : rest ??= Shared(Of(sources));
            Node found = contains is null ? Node.Never : isPrefix ? Of(sources.And(contains.Source)) : restFound ??= Shared(Of(sources.And(contains.Source)));
            Node other = contains?.Max is null ? any : isPrefix ? Of(sources.And(contains.Source.Negated)) : restOther ??= Shared(Of(sources.And(contains.Source.Negated)));
            for (int count = 0; count <= most; count++)
            {
                edges.Add(new GraphEdge(Before(i, count), other, Behind(i, count)));
                if (contains is not null && (count < most || contains.Max is null))
                    edges.Add(new GraphEdge(Before(i, count), found, Behind(i, Math.Min(most, count + 1))));
                bool isLoop = !isBounded && i == written;
                if (isLoop || i + 1 < written || !isBounded)
                    edges.Add(new GraphEdge(Behind(i, count), _json.Comma, Before(isLoop ? i : i + 1, count)));
                if (i + 1 >= min && count >= (contains?.Min ?? 0))
                    accepting.Add(Behind(i, count));
            }
        }

        return _json.Array(new Node.Graph(edges, accepting), mayBeEmpty: min == 0 && (contains?.Min ?? 0) == 0);

        int Before(int i, int count) => 2 * ((i * (most + 1)) + count);
        int Behind(int i, int count) => Before(i, count) + 1;
        Node Shared(Node node) => node is Node.Call || written + most == 0 ? node : new Node.Call(new Rule("an element") { Body = node });
    }

    /// <summary>No two elements equal: of a few values, in any order; of more, in the order of their enumeration.</summary>
    private Node OfDistinct(SchemaFacts facts, int min, int max)
    {
        if (facts.PrefixItems.Count > 0 || Enumerated(Facts(facts.Items ?? new SchemaSources([]))) is not { } values)
            throw SchemaDocument.Error($"{facts.Path}/uniqueItems", "is supported where items are an enum, and where maxItems is 1; leave it out");
        if (values.Count > MaxShuffled)
        {
            ChainMember[] members = [.. values.Select(value => new ChainMember(_json.Exactly(value), IsRequired: false))];
            return _json.Array(ObjectChain.Of(members, null, _json.Comma, min, max < values.Count ? max : null, $"schema {facts.Path}"), mayBeEmpty: min == 0);
        }

        var edges = new List<GraphEdge>();
        var accepting = new List<int>();
        for (int subset = 0; subset < 1 << values.Count; subset++)
        {
            int count = int.PopCount(subset);
            if (subset > 0)
                edges.Add(new GraphEdge(Behind(subset), _json.Comma, Before(subset)));
            if (subset > 0 && count >= min && count <= max)
                accepting.Add(Behind(subset));
            for (int i = 0; i < values.Count && count < max; i++)
            {
                if ((subset >> i & 1) == 0)
                    edges.Add(new GraphEdge(Before(subset), _json.Exactly(values[i]), Behind(subset | (1 << i))));
            }
        }

        return _json.Array(new Node.Graph(edges, accepting), mayBeEmpty: min == 0);

        static int Before(int subset) => 2 * subset;
        static int Behind(int subset) => (2 * subset) + 1;
    }

    /// <summary>All values that fit, if they are given one by one; else null.</summary>
    private List<JsonElement>? Enumerated(SchemaFacts facts)
    {
        IEnumerable<JsonElement>? all = facts.Values
            ?? (facts.Types is { } types && (types & ~(SchemaTypes.Boolean | SchemaTypes.Null)) == 0 ? Literals.Select(literal => JsonSerializer.Deserialize<JsonElement>(literal.Text)) : null);
        if (all is null)
            return null;
        var distinct = new List<JsonElement>();
        foreach (JsonElement value in all.Where(value => Fits(facts, value)))
        {
            if (!distinct.Any(known => JsonElement.DeepEquals(known, value)))
                distinct.Add(value);
        }

        return distinct;
    }
}
