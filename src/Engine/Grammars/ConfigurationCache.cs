namespace Conclave.Engine.Grammars;

/// <summary>
/// The configurations of an <see cref="Automaton"/> that texts have reached, and their masks. What it answers depends on the automaton alone, never on what
/// is cached. Safe for any number of threads.
/// </summary>
internal sealed class ConfigurationCache
{
    /// <summary>Memory after which everything is forgotten and begun anew, in bytes, roughly.</summary>
    public const long DefaultSizeBytes = 24L << 20;

    private readonly Automaton _automaton;
    private readonly long _maxSizeBytes;

    // Guards all below, and writing to configurations.
    private readonly Lock _gate = new();
    private readonly ConfigurationGraph _graph;
    private readonly MaskBuilder _builder;
    private readonly HashSet<uint[]> _masks = new(new MaskComparer());
    private Configuration _start;
    private long _masksSizeBytes;
    private long _maskCount;

    public ConfigurationCache(Automaton automaton, TokenVocabulary vocabulary, long maxSizeBytes = DefaultSizeBytes)
    {
        (_automaton, _maxSizeBytes) = (automaton, maxSizeBytes);
        _graph = new ConfigurationGraph(automaton);
        _builder = new MaskBuilder(_graph, automaton, vocabulary);
        _start = _graph.Start;
    }

    /// <summary>Before the first byte.</summary>
    public Configuration Start => Volatile.Read(ref _start);

    /// <summary>Memory in use, in bytes, roughly.</summary>
    public long SizeBytes
    {
        get
        {
            lock (_gate)
                return _graph.SizeBytes + _masksSizeBytes;
        }
    }

    /// <summary>Masks computed since the start, those that were forgotten and made again included.</summary>
    public long MaskCount => Interlocked.Read(ref _maskCount);

    /// <summary>Where <paramref name="value"/> leads; <see cref="Configuration.Dead"/> if nowhere.</summary>
    public Configuration Step(Configuration from, byte value)
    {
        int byteClass = _automaton.Classes[value];
        if (Volatile.Read(ref from.Next[byteClass]) is { } known)
            return known;
        lock (_gate)
            return _graph.Step(Current(from), byteClass);
    }

    /// <summary>A configuration, the same for many, that allows the same tokens.</summary>
    public Configuration TwinOf(Configuration configuration)
    {
        lock (_gate)
            return _graph.TwinOf(Current(configuration));
    }

    /// <summary>The tokens that <paramref name="from"/> allows; every one leads to a text that can be completed.</summary>
    public uint[] Mask(Configuration from)
    {
        if (from.Mask is { } known)
            return known;
        lock (_gate)
        {
            Configuration current = Current(from);
            if (current.Mask is null)
            {
                Configuration twin = _graph.TwinOf(current);
                current.Mask = twin.Mask ??= MakeMask(twin);
            }

            return from.Mask = current.Mask;
        }
    }

    private uint[] MakeMask(Configuration from)
    {
        uint[] mask = _builder.Build(from);
        _maskCount++;
        if (_masks.TryGetValue(mask, out uint[]? known))
            return known;
        _masks.Add(mask);
        _masksSizeBytes += 64 + (4L * mask.Length);
        return mask;
    }

    /// <summary><paramref name="configuration"/> as the cache knows it now: it may be older than the cache's last beginning.</summary>
    private Configuration Current(Configuration configuration)
    {
        if (SizeBytes > _maxSizeBytes)
        {
            _graph.Forget();
            _masks.Clear();
            _masksSizeBytes = 0;
            Volatile.Write(ref _start, _graph.Start);
        }

        return configuration.Epoch == _graph.Epoch ? configuration : _graph.Renew(configuration);
    }
}
