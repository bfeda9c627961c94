using System.Diagnostics.CodeAnalysis;

namespace Conclave.Engine.Grammars;

/// <summary>A grammar that cannot be used: the message names the place in it.</summary>
internal static class GrammarError
{
    /// <summary>The error of a grammar that cannot be used.</summary>
    /// <param name="place">Path in the schema, or position in the text.</param>
    /// <param name="problem">What is wrong there and what to do about it.</param>
    public static OperatingException At(string place, string problem) => new(OperatingError.InvalidRequest, $"{place}: {problem}");

    /// <summary>The error of a grammar whose automaton would be too large.</summary>
    /// <param name="place">What is too large.</param>
    [DoesNotReturn]
    public static void ThrowTooLarge(string place) =>
        throw At(place, $"is too large: it needs more than {AutomatonBuilder.MaxStates} states; use smaller repetition counts, lengths and character classes, or fewer alternatives");
}
