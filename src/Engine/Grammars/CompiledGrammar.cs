namespace Conclave.Engine.Grammars;

/// <summary>
/// A grammar ready to constrain sequences of one vocabulary; shared by all that ask for the same. Its masks are made when they are first needed and kept.
/// Safe for any number of threads.
/// </summary>
public sealed class CompiledGrammar
{
    private CompiledGrammar(Automaton automaton, TokenVocabulary vocabulary, long cacheSizeBytes)
    {
        (Vocabulary, Automaton) = (vocabulary, automaton);
        Cache = new ConfigurationCache(automaton, vocabulary, cacheSizeBytes);

        // The first mask of every sequence; made here, it costs no step anything.
        Cache.Mask(Cache.Start);
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
        return new CompiledGrammar(AutomatonBuilder.Build(GrammarReader.Read(spec), vocabulary), vocabulary, cacheSizeBytes);
    }
}
