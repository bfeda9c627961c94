using System.Runtime.InteropServices;

namespace Conclave.Engine.Grammars;

/// <summary>
/// The tree of tokens with nodes made one that bytes of the same kinds lead to: in a large vocabulary a hundredth of the nodes. Where a grammar does not tell the bytes
/// of a kind apart, one step here stands for as many as the node has members. Immutable.
/// </summary>
internal sealed class TokenGroups
{
    /// <summary>Groups the tokens of a tree.</summary>
    /// <param name="nodes">The tree, with a last node that only ends the ranges of the one before.</param>
    /// <param name="ids">Token ids in its order.</param>
    public TokenGroups(TokenNode[] nodes, int[] ids)
    {
        List<Draft> drafts = Draw(nodes);
        var groups = new List<TokenGroup>(drafts.Count);
        var members = new List<int>(nodes.Length);
        var tokens = new List<int>(ids.Length);

        // In order of a walk; one whose subtree is laid out learns where it ends.
        var open = new Stack<(int Draft, int Depth, int Index)>();
        open.Push((0, -1, -1));
        while (open.TryPop(out (int Draft, int Depth, int Index) at))
        {
            if (at.Index >= 0)
            {
                groups[at.Index] = groups[at.Index] with { Next = groups.Count };
                continue;
            }

            Draft draft = drafts[at.Draft];
            if (at.Depth >= 0)
            {
                open.Push(at with { Index = groups.Count });
                groups.Add(new TokenGroup(draft.Kind, (ushort)at.Depth, 0, tokens.Count, members.Count));
                members.AddRange(draft.Members);
                foreach (int node in draft.Members)
                    tokens.AddRange(ids.AsSpan(nodes[node].FirstToken..nodes[node + 1].FirstToken));
            }

            foreach (int child in draft.Children.Values.Reverse())
                open.Push((child, at.Depth + 1, -1));
        }

        groups.Add(new TokenGroup(0, 0, groups.Count, tokens.Count, members.Count));
        (Groups, Members, TokenIds) = ([.. groups], [.. members], [.. tokens]);
    }

    /// <summary>The tree in preorder, and a last one that only ends the ranges of the one before.</summary>
    public TokenGroup[] Groups { get; }

    /// <summary>Nodes of the tree of tokens; a group's lie from <see cref="TokenGroup.FirstMember"/> to the next group's.</summary>
    public int[] Members { get; }

    /// <summary>Token ids in order of the groups.</summary>
    public int[] TokenIds { get; }

    private static List<Draft> Draw(TokenNode[] nodes)
    {
        var drafts = new List<Draft> { new(0, ByteKinds.Start) };
        var path = new int[nodes.Max(node => node.Depth) + 2];
        for (int i = 0; i < nodes.Length - 1; i++)
        {
            TokenNode node = nodes[i];
            Draft parent = drafts[path[node.Depth]];
            (byte kind, byte state) = ByteKinds.Step(parent.State, node.Value);
            ref int child = ref CollectionsMarshal.GetValueRefOrAddDefault(parent.Children, kind, out bool isKnown);
            if (!isKnown)
            {
                child = drafts.Count;
                drafts.Add(new Draft(kind, state));
            }

            drafts[child].Members.Add(i);
            path[node.Depth + 1] = child;
        }

        return drafts;
    }

    private sealed record Draft(byte Kind, byte State)
    {
        public Dictionary<byte, int> Children { get; } = [];

        public List<int> Members { get; } = [];
    }
}

/// <summary>Beginnings of tokens whose bytes are of the same kinds.</summary>
/// <param name="Kind">Of the last byte.</param>
/// <param name="Depth">Bytes before that.</param>
/// <param name="Next">Index of the first group that does not begin like this one.</param>
/// <param name="FirstToken">Index of the first token of this group or a later one.</param>
/// <param name="FirstMember">Index of the first member of this group or a later one.</param>
internal readonly record struct TokenGroup(byte Kind, ushort Depth, int Next, int FirstToken, int FirstMember);
