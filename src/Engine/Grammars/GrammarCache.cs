namespace Conclave.Engine.Grammars;

/// <summary>Compiled grammars of one vocabulary, the ones used last kept. Safe for any number of threads; two that ask for the same at once wait for one compilation.</summary>
/// <param name="vocabulary">Reads the vocabulary; asked once, when the first grammar is compiled.</param>
public sealed class GrammarCache(Func<TokenVocabulary> vocabulary)
{
    /// <summary>Most grammars kept.</summary>
    public const int Capacity = 32;

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

    private void Remove(LinkedListNode<(GrammarSpec Spec, Lazy<CompiledGrammar> Grammar)> node)
    {
        _recent.Remove(node);
        _nodes.Remove(node.Value.Spec);
    }
}
