namespace Conclave.Engine.Grammars;

/// <summary>Text up to the first occurrence of a marker, as the automaton of Knuth, Morris and Pratt: state k has just seen the marker's first k characters.</summary>
internal static class TextUntil
{
    /// <summary>Any text that ends with its first occurrence of <paramref name="marker"/>.</summary>
    public static Node Through(string marker) => new Node.Graph(Edges(marker), [marker.EnumerateRunes().Count()]);

    /// <summary>Any text without <paramref name="marker"/>.</summary>
    public static Node Without(string marker) => new Node.Graph(Edges(marker), [.. Enumerable.Range(0, marker.EnumerateRunes().Count())]);

    /// <summary>Any text without <paramref name="marker"/>, or one that ends with its first occurrence and then goes on with <paramref name="rest"/>.</summary>
    public static Node Optionally(string marker, Node rest)
    {
        int length = marker.EnumerateRunes().Count();
        return new Node.Graph([.. Edges(marker), new(length, rest, length + 1)], [.. Enumerable.Range(0, length), length + 1]);
    }

    private static List<GraphEdge> Edges(string marker)
    {
        int[] characters = [.. marker.EnumerateRunes().Select(rune => rune.Value)];
        int[] distinct = [.. characters.Distinct()];
        var edges = new List<GraphEdge>();
        for (int state = 0; state < characters.Length; state++)
        {
            // One edge to each state: characters that lead to the same are then never told apart.
            CodePoints others = CodePoints.All;
            foreach (IGrouping<int, int> way in distinct.GroupBy(value => Longest(characters, state, value)).Where(way => way.Key > 0))
            {
                CodePoints set = CodePoints.Of([.. way.Select(value => (value, value))]);
                others = others.Except(set);
                edges.Add(new GraphEdge(state, new Node.Character(set), way.Key));
            }

            edges.Add(new GraphEdge(state, new Node.Character(others), 0));
        }

        return edges;
    }

    /// <summary>Characters of the marker seen after <paramref name="state"/> of them and <paramref name="value"/>.</summary>
    private static int Longest(int[] marker, int state, int value)
    {
        int[] seen = [.. marker[..state], value];
        int length = Math.Min(marker.Length, state + 1);
        while (!marker.AsSpan(0, length).SequenceEqual(seen.AsSpan(seen.Length - length)))
            length--;
        return length;
    }
}
