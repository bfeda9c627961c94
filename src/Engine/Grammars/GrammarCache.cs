namespace Conclave.Engine.Grammars;

/// <summary>Compiled grammars of one vocabulary, the ones used last kept. Safe for any number of threads; two that ask for the same at once wait for one compilation.</summary>
/// <param name="vocabulary">Reads the vocabulary; asked once, when the first grammar is compiled.</param>
public sealed class GrammarCache(Func<TokenVocabulary> vocabulary)
{
    /// <summary>Most grammars kept.</summary>
    public const int Capacity = 32;

    private const int WarmUpRounds = 20;
    private const string WarmUpSchema = """{"properties":{"a":{"type":"string","maxLength":9},"b":{"enum":[1,"c"]},"d":{"type":"string","pattern":"^\\w{2} .[a-f]$"}},"required":["a","b","d"]}""";

    private readonly Lazy<TokenVocabulary> _vocabulary = new(vocabulary);
    private readonly Lock _gate = new();
    private readonly LinkedList<(GrammarSpec Spec, Lazy<CompiledGrammar> Grammar)> _recent = new();
    private readonly Dictionary<GrammarSpec, LinkedListNode<(GrammarSpec Spec, Lazy<CompiledGrammar> Grammar)>> _nodes = [];

    /// <summary>The compiled form of <paramref name="spec"/>. Compiles in the caller's thread if need be.</summary>
    /// <exception cref="OperatingException">The spec cannot be used.</exception>
    public CompiledGrammar Get(GrammarSpec spec)
    {
        ArgumentNullException.ThrowIfNull(spec);
        Lazy<CompiledGrammar> grammar;
        lock (_gate)
        {
            if (_nodes.TryGetValue(spec, out var node))
                _recent.Remove(node);
            else
                _nodes.Add(spec, node = new((spec, new Lazy<CompiledGrammar>(() => CompiledGrammar.Compile(spec, _vocabulary.Value)))));
            _recent.AddFirst(node);
            if (_recent.Count > Capacity)
                Remove(_recent.Last!);
            grammar = node.Value.Grammar;
        }

        try
        {
            return grammar.Value;
        }
        catch (OperatingException)
        {
            lock (_gate)
            {
                if (_nodes.TryGetValue(spec, out var node) && ReferenceEquals(node.Value.Grammar, grammar))
                    Remove(node);
            }

            throw;
        }
    }

    /// <summary>
    /// Lays out the vocabulary, and compiles grammars until the runtime has compiled the code that does so at its best, which it does to code that has been in use for a
    /// while: the first request with a grammar then waits for neither. For the background, when a model has been loaded; takes about two seconds, little of
    /// it in computing.
    /// </summary>
    public async Task WarmUp(TimeProvider clock, CancellationToken cancellationToken)
    {
        TokenVocabulary vocabulary = await Task.Run(() => _vocabulary.Value, cancellationToken).ConfigureAwait(false);
        for (int round = 0; round < WarmUpRounds; round++)
        {
            await Task.Delay(TimeSpan.FromMilliseconds(100), clock, cancellationToken).ConfigureAwait(false);
            foreach (GrammarSpec spec in (GrammarSpec[])[new(GrammarKind.JsonObject, ""), new(GrammarKind.JsonSchema, WarmUpSchema)])
                CompiledGrammar.Compile(spec, vocabulary);
        }

        Get(new GrammarSpec(GrammarKind.JsonObject, ""));
    }

    private void Remove(LinkedListNode<(GrammarSpec Spec, Lazy<CompiledGrammar> Grammar)> node)
    {
        _recent.Remove(node);
        _nodes.Remove(node.Value.Spec);
    }
}
