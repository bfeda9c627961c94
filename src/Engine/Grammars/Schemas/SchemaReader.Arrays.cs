using System.Text.Json;

namespace Conclave.Engine.Grammars;

/// <summary>Lists.</summary>
internal sealed partial class SchemaReader
{
    // So many elements may come in any order; the states are their subsets.
    private const int MaxShuffled = 8;
    private const int MaxWrittenItems = 4096;
    private const int MaxDistinct = 1000;
    private const int MaxContains = 3;

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
            return contains.Length == 0 ? OfDistinct(facts, min, max) : throw SchemaDocument.Error($"{facts.Path}/uniqueItems", "is not supported beside contains; leave one of them out");
        if (contains.Any(part => part.Max < part.Min))
            return Node.Never;
        bool isBounded = max < int.MaxValue;
        int written = isBounded ? max : Math.Max(facts.PrefixItems.Count, min);
        return Elements(facts, min, written, isBounded, contains);
    }

    /// <summary>Elements one after the other, and how many of them fit each of those things that the list must contain.</summary>
    private Node Elements(SchemaFacts facts, int min, int written, bool isBounded, SchemaContains[] contains)
    {
        int[] most = [.. contains.Select(part => part.Max is { } limit ? Math.Min(limit, isBounded ? written : limit) : part.Min)];
        long counts = most.Aggregate(1L, (product, count) => Math.Min(product * (count + 1L), int.MaxValue));
        if (written > MaxWrittenItems * 8 || contains.Length > MaxContains || (written + 1) * counts << contains.Length > MaxWrittenItems * 16)
            GrammarError.ThrowTooLarge($"schema {facts.Path}");
        var edges = new List<GraphEdge>();
        var accepting = new List<int>();
        Node[]? rest = null;
        for (int i = 0; i < written + (isBounded ? 0 : 1); i++)
        {
            bool isPrefix = i < facts.PrefixItems.Count;
            Node[] fitting = isPrefix ? Fitting(facts.ItemAt(i), contains) : rest ??= [.. Fitting(facts.ItemAt(i), contains).Select(Shared)];
            bool isLoop = !isBounded && i == written;
            for (int at = 0; at < counts; at++)
            {
                for (int subset = 0; subset < fitting.Length; subset++)
                {
                    if (Counted(at, subset, contains, most) is { } next)
                        edges.Add(new GraphEdge(Before(i, at), fitting[subset], Behind(i, next)));
                }

                if (isLoop || i + 1 < written || !isBounded)
                    edges.Add(new GraphEdge(Behind(i, at), _json.Comma, Before(isLoop ? i : i + 1, at)));
                if (i + 1 >= min && IsEnough(at, contains, most))
                    accepting.Add(Behind(i, at));
            }
        }

        return _json.Array(new Node.Graph(edges, accepting), mayBeEmpty: min == 0 && contains.All(part => part.Min == 0));

        int Before(int i, int at) => 2 * ((i * (int)counts) + at);
        int Behind(int i, int at) => Before(i, at) + 1;
        Node Shared(Node node) => node is Node.Call || written + counts == 1 ? node : new Node.Call(new Rule("an element") { Body = node });
    }

    /// <summary>Elements that fit each subset of what the list must contain. Of those that must not be too many they fit no others.</summary>
    private Node[] Fitting(SchemaSources sources, SchemaContains[] contains)
    {
        var fitting = new Node[1 << contains.Length];
        for (int subset = 0; subset < fitting.Length; subset++)
        {
            SchemaSources all = sources;
            for (int i = 0; i < contains.Length; i++)
            {
                if ((subset >> i & 1) != 0)
                    all = all.And(contains[i].Source);
                else if (contains[i].Max is not null)
                    all = all.And(contains[i].Source.Negated);
            }

            fitting[subset] = Of(all);
        }

        return fitting;
    }

    /// <summary>The counts, as digits of one number, behind an element that fits <paramref name="subset"/>; null if it were too many.</summary>
    private static int? Counted(int at, int subset, SchemaContains[] contains, int[] most)
    {
        int next = 0;
        for (int i = 0, place = 1; i < contains.Length; place *= most[i++] + 1)
        {
            int count = at / place % (most[i] + 1) + (subset >> i & 1);
            if (count > most[i] && contains[i].Max is not null)
                return null;
            next += Math.Min(count, most[i]) * place;
        }

        return next;
    }

    private static bool IsEnough(int at, SchemaContains[] contains, int[] most)
    {
        for (int i = 0; i < contains.Length; at /= most[i++] + 1)
        {
            if (at % (most[i] + 1) < contains[i].Min)
                return false;
        }

        return true;
    }

    /// <summary>No two elements equal: of a few values, in any order; of more, in the order of their enumeration.</summary>
    private Node OfDistinct(SchemaFacts facts, int min, int max)
    {
        if (facts.PrefixItems.Count > 0 || Enumerated(Facts(facts.Items ?? new SchemaSources([]))) is not { } values)
        {
            throw SchemaDocument.Error(
                $"{facts.Path}/uniqueItems", $"is supported where items are an enum, constants, booleans or whole numbers within bounds (up to {MaxDistinct} values), and where maxItems is 1; leave it out");
        }

        if (values.Count > MaxShuffled)
        {
            ChainMember[] members = [.. values.Select(value => new ChainMember(_json.Exactly(value), IsRequired: false))];
            return _json.Array(ObjectChain.Of(members, [], _json.Comma, min, max < values.Count ? max : null, $"schema {facts.Path}"), mayBeEmpty: min == 0);
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
        if (facts.IsHopeless)
            return [];
        IEnumerable<JsonElement>? all = facts.Values ?? (facts.Types is { } types ? Enumerated(types, facts.Numbers) : null);
        if (all is null && facts.Choices is [var choice, ..])
        {
            SchemaFacts others = WithoutFirstChoice(facts);
            List<JsonElement>?[] ways = [.. choice.Select(way => Enumerated(_keywords.Add(others, way)))];
            all = ways.Contains(null) ? null : ways.SelectMany(way => way!);
        }

        SchemaFacts rest = facts with { Values = null };
        List<JsonElement>? distinct = all is null ? null : [.. all.DistinctBy(JsonKey.Of).Where(value => Fits(rest, value))];
        return distinct?.Count > MaxDistinct ? null : distinct;
    }

    private static IEnumerable<JsonElement>? Enumerated(SchemaTypes types, NumberLimits numbers)
    {
        IEnumerable<JsonElement> literals = Literals.Where(literal => types.HasFlag(literal.Type)).Select(literal => JsonSerializer.Deserialize<JsonElement>(literal.Text));
        SchemaTypes others = types & ~(SchemaTypes.Boolean | SchemaTypes.Null);
        if (others == SchemaTypes.None)
            return literals;
        return others == SchemaTypes.Integer && numbers is { Low: { } low, High: { } high } && high - low <= MaxDistinct
            ? literals.Concat(Enumerable.Range(0, (int)Math.Max(0, high - Math.Ceiling(low) + 1)).Select(i => JsonSerializer.SerializeToElement((long)Math.Ceiling(low) + i))) : null;
    }
}
