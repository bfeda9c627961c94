namespace Conclave.Engine.Grammars;

/// <summary>A call that has not returned: where it goes on, and those around it. Equal ones are one object, so that stacks share their lower parts.</summary>
/// <param name="return">State after the call.</param>
/// <param name="parent">The call around; null in the root rule.</param>
/// <param name="depth">Levels, its own included.</param>
/// <param name="id">Order of creation.</param>
internal sealed class Frame(int @return, Frame? parent, int depth, int id)
{
    public int Return { get; } = @return;

    public Frame? Parent { get; } = parent;

    public int Depth { get; } = depth;

    /// <summary>The call with counts that no token tells from these; null: not asked for yet. Only for who makes masks.</summary>
    public Frame? Twin { get; set; }

    public int Id { get; } = id;
}

/// <summary>One way to read the text so far: a state from which bytes lead on, and the calls around it.</summary>
internal readonly record struct Position(int State, Frame? Frame)
{
    /// <summary>By state, then by frame.</summary>
    public static int Compare(Position x, Position y) => x.State != y.State ? x.State.CompareTo(y.State) : (x.Frame?.Id ?? -1).CompareTo(y.Frame?.Id ?? -1);

    public bool Equals(Position other) => State == other.State && ReferenceEquals(Frame, other.Frame);

    public override int GetHashCode() => (State * -1640531527) + (Frame?.Id ?? -1);
}

/// <summary>
/// All ways to read the text so far. Equal ones are one object, which also remembers where each class of bytes leads and which tokens it allows, once
/// somebody has asked. Those two are published by a single reference each and may be read without a lock.
/// </summary>
internal sealed class Configuration(Position[] positions, bool isComplete, int classCount, int epoch)
{
    /// <summary>What no text leads out of and no text ends at.</summary>
    public static Configuration Dead { get; } = new([], isComplete: false, classCount: 256, epoch: -1);

    /// <summary>What the bytes of a kind lead to that lead to different configurations.</summary>
    public static Configuration Mixed { get; } = new([], isComplete: false, classCount: 256, epoch: -1);

    /// <summary>Sorted by state and frame, without repeats.</summary>
    public Position[] Positions { get; } = positions;

    /// <summary>The text may end here.</summary>
    public bool IsComplete { get; } = isComplete;

    /// <summary>Where each class of bytes leads; null: not asked for yet.</summary>
    public Configuration?[] Next { get; } = new Configuration?[classCount];

    /// <summary>Where each of the <see cref="ByteKinds"/> leads; null: not asked for yet. Only for who makes masks.</summary>
    public Configuration?[]? Leads { get; set; }

    /// <summary>The tokens it allows, one bit each; null: not asked for yet.</summary>
    public uint[]? Mask { get; set; }

    /// <summary>The life of the cache it belongs to.</summary>
    public int Epoch { get; } = epoch;
}

/// <summary>Configurations are equal if their positions and their end are.</summary>
internal sealed class ConfigurationComparer : IEqualityComparer<Configuration>
{
    public bool Equals(Configuration? x, Configuration? y) =>
        ReferenceEquals(x, y) || (x is not null && y is not null && x.IsComplete == y.IsComplete && x.Positions.AsSpan().SequenceEqual(y.Positions));

    public int GetHashCode(Configuration obj)
    {
        return PositionsComparer.Hash(obj.Positions) + (obj.IsComplete ? 1 : 0);
    }
}

/// <summary>Lists of positions are equal if their elements are.</summary>
internal sealed class PositionsComparer : IEqualityComparer<Position[]>, IAlternateEqualityComparer<ReadOnlySpan<Position>, Position[]>
{
    public static int Hash(ReadOnlySpan<Position> positions)
    {
        int hash = positions.Length;
        foreach (Position position in positions)
            hash = (hash * 31) + position.GetHashCode();
        return hash;
    }

    public bool Equals(Position[]? x, Position[]? y) => x.AsSpan().SequenceEqual(y);

    public bool Equals(ReadOnlySpan<Position> alternate, Position[] other) => alternate.SequenceEqual(other);

    public int GetHashCode(Position[] obj) => Hash(obj);

    public int GetHashCode(ReadOnlySpan<Position> alternate) => Hash(alternate);

    public Position[] Create(ReadOnlySpan<Position> alternate) => [.. alternate];
}

/// <summary>Masks are equal if their bits are: many configurations share one.</summary>
internal sealed class MaskComparer : IEqualityComparer<uint[]>
{
    public bool Equals(uint[]? x, uint[]? y) => x.AsSpan().SequenceEqual(y);

    public int GetHashCode(uint[] obj)
    {
        var hash = default(HashCode);
        hash.AddBytes(System.Runtime.InteropServices.MemoryMarshal.AsBytes(obj.AsSpan()));
        return hash.ToHashCode();
    }
}
