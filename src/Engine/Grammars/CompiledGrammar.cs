namespace Conclave.Engine.Grammars;

/// <summary>
/// A grammar ready to constrain sequences of one vocabulary; shared by all that ask for the same. Its masks are made when they are first needed and kept.
/// Safe for any number of threads.
/// </summary>
public sealed class CompiledGrammar
{
    // Any object is short; this one is like what is written.
    private const string SomeObject = "{\"a\": \"b\", \"c\": [1, true], \"d\": {\"e\": null}}";

    private CompiledGrammar(GrammarSpec spec, Automaton automaton, TokenVocabulary vocabulary, long cacheSizeBytes)
    {
        (Vocabulary, Automaton) = (vocabulary, automaton);
        Cache = new ConfigurationCache(automaton, vocabulary, cacheSizeBytes);

        // Masks that most texts need. Made here, they cost no step anything.
        LikelyText likely = new(automaton);
        Configuration at = Cache.Start;
        for (int i = 0; i < LikelyText.MaxLength && !ReferenceEquals(at, Configuration.Dead); i++)
        {
            Cache.Mask(at);
            if ((spec.Kind == GrammarKind.JsonObject ? i < SomeObject.Length ? SomeObject[i] : -1 : likely.Next(at)) is var value and >= 0)
                at = Cache.Step(at, (byte)value);
            else
                break;
        }
    }

    /// <summary>The tokens it speaks of.</summary>
    public TokenVocabulary Vocabulary { get; }

    /// <summary>States of its automaton.</summary>
    public int StateCount => Automaton.StateCount;

    /// <summary>Masks computed since it was compiled; the others were at hand.</summary>
    public long MasksComputed => Cache.MaskCount;

    internal Automaton Automaton { get; }

    internal ConfigurationCache Cache { get; }

    /// <summary>Compiles <paramref name="spec"/>; takes milliseconds to about a second, so never within a step.</summary>
    /// <exception cref="OperatingException">With <see cref="OperatingError.InvalidRequest"/>: the spec cannot be used; the message names the place in it.</exception>
    public static CompiledGrammar Compile(GrammarSpec spec, TokenVocabulary vocabulary) => Compile(spec, vocabulary, ConfigurationCache.DefaultSizeBytes);

    /// <summary>As the other one, with a cache of so many bytes.</summary>
    internal static CompiledGrammar Compile(GrammarSpec spec, TokenVocabulary vocabulary, long cacheSizeBytes)
    {
        ArgumentNullException.ThrowIfNull(spec);
        ArgumentNullException.ThrowIfNull(vocabulary);
        return new CompiledGrammar(spec, AutomatonBuilder.Build(GrammarReader.Read(spec), vocabulary), vocabulary, cacheSizeBytes);
    }
}
