namespace Conclave.Engine.Grammars;

/// <summary>A shortest text of a grammar. Its masks prepare for many other texts: all that come through the same places, whatever stands between.</summary>
internal sealed class LikelyText(Automaton automaton)
{
    /// <summary>Most bytes to prepare for.</summary>
    public const int MaxLength = 200;

    /// <summary>The byte that begins a shortest completion; -1 if the text may end here.</summary>
    public int Next(Configuration at)
    {
        if (at.IsComplete)
            return -1;
        (long Length, int ByteClass) best = (long.MaxValue, -1);
        foreach (Position position in at.Positions)
        {
            long around = 0;
            for (Frame? frame = position.Frame; frame is not null; frame = frame.Parent)
                around += automaton.Length(frame.Return);
            foreach (Automaton.Step step in automaton.StepsFrom(position.State))
            {
                // A way that is nested too deep is a dead end, and then it is not worth more search.
                if (automaton.Length(step.To) + around < best.Length)
                    best = (automaton.Length(step.To) + around, step.First);
            }
        }

        return Array.IndexOf(automaton.Classes, (byte)best.ByteClass);
    }
}
