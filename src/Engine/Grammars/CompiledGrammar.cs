namespace Conclave.Engine.Grammars;

/// <summary>
/// A grammar ready to constrain sequences of one vocabulary; shared by all that ask for the same. Its masks are made when they are first needed and kept.
/// Safe for any number of threads.
/// </summary>
public sealed class CompiledGrammar
{
    // Any object is short; this one is like what is written.
    private const string SomeObject = "{\"a\": \"b\", \"c\": [1, {\"f\": \"g\", \"h\": [2, \"i\"]}, \"j\"], \"d\": {\"e\": null}}";

    // Words of masks to prepare: hundreds where a vocabulary is small and a step therefore short.
    private const int PreparedWords = 1 << 16;
    private const long PreparedSizeBytes = 6L << 20;

    // Characters of each string, name or the like; where they are counted, each place has a mask of its own.
    private const int LetterRun = 24;

    private CompiledGrammar(GrammarSpec spec, Automaton automaton, TokenVocabulary vocabulary, long cacheSizeBytes)
    {
        (Vocabulary, Automaton) = (vocabulary, automaton);
        Cache = new ConfigurationCache(automaton, vocabulary, cacheSizeBytes);

        // Masks that most texts need. Made here, they cost no step anything.
        LikelyText likely = new(automaton);
        MakeNearestMasks();
        if (spec.Kind == GrammarKind.JsonObject)
        {
            MakeMasks((i, _) => i < SomeObject.Length ? SomeObject[i] : -1);
            return;
        }

        MakeMasks((_, at) => likely.Next(at));
        int run = 0;
        MakeMasks((_, at) => (run = IsLetterNext(at) ? run + 1 : 0) is > 0 and <= LetterRun ? 'e' : likely.Next(at));
    }

    /// <summary>
    /// Makes the masks of the places that the fewest bytes lead to: by ASCII, by bytes that the grammar names one by one (markers), by any where there are no others.
    /// </summary>
    private void MakeNearestMasks()
    {
        IGrouping<byte, int>[] classes = [.. Enumerable.Range(0, 256).GroupBy(value => Automaton.Classes[value])];
        byte[] named = [.. classes.Where(members => members.First() < 0x80 || members.Count() == 1).Select(members => (byte)members.First())];
        byte[] others = [.. classes.Select(members => (byte)members.First()).Except(named)];
        var seen = new HashSet<Configuration>();
        var open = new Queue<Configuration>();
        Open(Cache.Start);
        try
        {
            for (int words = 0; words < PreparedWords && Cache.SizeBytes < PreparedSizeBytes && open.TryDequeue(out Configuration? at); words += Vocabulary.MaskWords)
            {
                Cache.Mask(at);
                bool isNamed = false;
                foreach (byte value in named)
                    isNamed |= Open(Cache.Step(at, value));
                foreach (byte value in isNamed ? [] : others)
                    Open(Cache.Step(at, value));
            }
        }
        catch (OperatingException)
        {
            // A place that is too ambiguous concerns the texts that lead there, and no others.
            open.Clear();
        }

        bool Open(Configuration next)
        {
            if (ReferenceEquals(next, Configuration.Dead))
                return false;
            if (seen.Add(Cache.TwinOf(next)))
                open.Enqueue(next);
            return true;
        }
    }

    private bool IsLetterNext(Configuration at) => !ReferenceEquals(Cache.Step(at, (byte)'e'), Configuration.Dead);

    /// <summary>Makes the masks along a text; its next byte is below 0 where it ends.</summary>
    private void MakeMasks(Func<int, Configuration, int> next)
    {
        Configuration at = Cache.Start;
        for (int i = 0; i < LikelyText.MaxLength && !ReferenceEquals(at, Configuration.Dead); i++)
        {
            Cache.Mask(at);
            int value = next(i, at);
            if (value < 0)
                return;
            at = Cache.Step(at, (byte)value);
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
