using System.Collections.Concurrent;
using System.Collections.Immutable;
using System.Reflection;
using Orleans.Runtime;

namespace Orleans.Serialization;

/// <summary>Finds the codec of each type, and offers the few whole-value operations that calls need.</summary>
internal sealed class CodecProvider
{
    private readonly ConcurrentDictionary<Type, Codec> _codecs = new();
    private readonly ConcurrentBag<Writer> _writers = [];
    private readonly Func<Type, GrainId, object> _makeReference;

    /// <param name="types">Names of the types that may travel.</param>
    /// <param name="makeReference">Makes a grain reference from its interface and grain.</param>
    public CodecProvider(TypeNames types, Func<Type, GrainId, object> makeReference)
    {
        Types = types;
        _makeReference = makeReference;
        foreach (Codec codec in BasicCodecs.All()) _codecs[codec.GetType().BaseType!.GetGenericArguments()[0]] = codec;
    }

    public TypeNames Types { get; }

    /// <summary>The codec of a type.</summary>
    /// <exception cref="CodecNotFoundException">The type may not travel.</exception>
    public Codec Get(Type type) => _codecs.GetOrAdd(type, static (t, self) => self.Create(t), this);

    public Writer RentWriter() => _writers.TryTake(out Writer? writer) ? writer : new Writer(this);

    public void Return(Writer writer)
    {
        writer.Reset();
        _writers.Add(writer);
    }

    public byte[] Serialize<T>(T value)
    {
        Writer writer = RentWriter();
        try
        {
            ((Codec<T>)Get(typeof(T))).Write(writer, value);
            return writer.ToArray();
        }
        finally
        {
            Return(writer);
        }
    }

    public T Deserialize<T>(ReadOnlyMemory<byte> bytes) => ((Codec<T>)Get(typeof(T))).Read(new Reader(this, bytes));

    public static string Missing(Type type) =>
        $"Could not find a codec for type {type}. Mark it with [GenerateSerializer] and its members with [Id(n)], or use a type that has them.";

    private Codec Create(Type type)
    {
        if (typeof(IAddressable).IsAssignableFrom(type)) return Make(typeof(GrainReferenceCodec<>), [type], this, _makeReference);
        if (typeof(Exception).IsAssignableFrom(type)) return Make(typeof(ExceptionCodec<>), [type], this);
        if (type.IsEnum) return Make(typeof(EnumCodec<>), [type]);
        if (type.IsDefined(typeof(GenerateSerializerAttribute), false) && !type.IsAbstract)
            return Make(type.IsValueType ? typeof(StructCodec<>) : typeof(ObjectCodec<>), [type], this);
        if (type.IsSZArray) return Array(type.GetElementType()!);
        if (type is { IsGenericType: true, IsGenericTypeDefinition: false } && CollectionCodecs.TryCreate(this, type) is { } collection) return collection;
        if (!type.IsValueType && (type.IsInterface || type.IsAbstract || type == typeof(object))) return Make(typeof(AbstractCodec<>), [type]);
        throw new CodecNotFoundException(Missing(type));
    }

    private Codec Array(Type element)
    {
        if (element == typeof(bool)) return new BooleanArrayCodec();
        bool block = (element.IsPrimitive && element != typeof(nint) && element != typeof(nuint)) || element == typeof(Half) || element == typeof(Guid);
        return block ? Make(typeof(UnmanagedArrayCodec<>), [element]) : Make(typeof(ArrayCodec<>), [element], this);
    }

    internal static Codec Make(Type definition, Type[] arguments, params object[] parameters)
    {
        try
        {
            return (Codec)Activator.CreateInstance(definition.MakeGenericType(arguments), parameters)!;
        }
        catch (TargetInvocationException e) when (e.InnerException is SerializerException inner)
        {
            throw new CodecNotFoundException(inner.Message);
        }
    }
}

/// <summary>Codecs of the framework's generic types.</summary>
internal static class CollectionCodecs
{
    private static readonly HashSet<Type> FieldStructs =
    [
        typeof(KeyValuePair<,>), typeof(ValueTuple<>), typeof(ValueTuple<,>), typeof(ValueTuple<,,>), typeof(ValueTuple<,,,>), typeof(ValueTuple<,,,,>),
        typeof(ValueTuple<,,,,,>), typeof(ValueTuple<,,,,,,>), typeof(ValueTuple<,,,,,,,>),
    ];

    private static readonly HashSet<Type> Tuples =
        [typeof(Tuple<>), typeof(Tuple<,>), typeof(Tuple<,,>), typeof(Tuple<,,,>), typeof(Tuple<,,,,>), typeof(Tuple<,,,,,>), typeof(Tuple<,,,,,,>)];

    private static readonly Dictionary<Type, string> Factories = new()
    {
        [typeof(List<>)] = nameof(List),
        [typeof(Dictionary<,>)] = nameof(Dictionary),
        [typeof(SortedDictionary<,>)] = nameof(SortedDictionary),
        [typeof(HashSet<>)] = nameof(HashSet),
        [typeof(SortedSet<>)] = nameof(SortedSet),
        [typeof(Queue<>)] = nameof(Queue),
        [typeof(ImmutableList<>)] = nameof(ImmutableList),
        [typeof(ImmutableHashSet<>)] = nameof(ImmutableHashSet),
        [typeof(ImmutableDictionary<,>)] = nameof(ImmutableDictionary),
    };

    public static Codec? TryCreate(CodecProvider codecs, Type type)
    {
        Type definition = type.GetGenericTypeDefinition();
        if (definition == typeof(Nullable<>)) return CodecProvider.Make(typeof(NullableCodec<>), type.GetGenericArguments(), codecs);
        if (definition == typeof(ImmutableArray<>)) return CodecProvider.Make(typeof(ImmutableArrayCodec<>), type.GetGenericArguments(), codecs);
        if (FieldStructs.Contains(definition)) return CodecProvider.Make(typeof(FieldsCodec<>), [type], codecs);
        if (Tuples.Contains(definition)) return CodecProvider.Make(typeof(TupleCodec<>), [type], codecs);
        if (!Factories.TryGetValue(definition, out string? factory)) return null;
        MethodInfo method = typeof(CollectionCodecs).GetMethod(factory, BindingFlags.Static | BindingFlags.NonPublic)!;
        return (Codec)method.MakeGenericMethod(type.GetGenericArguments()).Invoke(null, [codecs])!;
    }

    private static Codec List<T>(CodecProvider codecs) =>
        new CollectionCodec<List<T>, T>(codecs, like => new List<T>(like?.Count ?? 0), (list, item) => list.Add(item));

    private static Codec Dictionary<TKey, TValue>(CodecProvider codecs) where TKey : notnull =>
        new CollectionCodec<Dictionary<TKey, TValue>, KeyValuePair<TKey, TValue>>(codecs, like => new Dictionary<TKey, TValue>(like?.Comparer), (map, pair) => map[Key(pair.Key)] = pair.Value);

    private static Codec SortedDictionary<TKey, TValue>(CodecProvider codecs) where TKey : notnull =>
        new CollectionCodec<SortedDictionary<TKey, TValue>, KeyValuePair<TKey, TValue>>(codecs, like => new SortedDictionary<TKey, TValue>(like?.Comparer), (map, pair) => map[Key(pair.Key)] = pair.Value);

    private static Codec HashSet<T>(CodecProvider codecs) =>
        new CollectionCodec<HashSet<T>, T>(codecs, like => new HashSet<T>(like?.Comparer), (set, item) => set.Add(item));

    private static Codec SortedSet<T>(CodecProvider codecs) =>
        new CollectionCodec<SortedSet<T>, T>(codecs, like => new SortedSet<T>(like?.Comparer), (set, item) => set.Add(item));

    private static Codec Queue<T>(CodecProvider codecs) =>
        new CollectionCodec<Queue<T>, T>(codecs, like => new Queue<T>(like?.Count ?? 0), (queue, item) => queue.Enqueue(item));

    private static Codec ImmutableList<T>(CodecProvider codecs) =>
        new FrozenCodec<ImmutableList<T>, T>(codecs, items => [.. items]);

    private static Codec ImmutableHashSet<T>(CodecProvider codecs) =>
        new FrozenCodec<ImmutableHashSet<T>, T>(codecs, items => [.. items]);

    private static Codec ImmutableDictionary<TKey, TValue>(CodecProvider codecs) where TKey : notnull =>
        new FrozenCodec<ImmutableDictionary<TKey, TValue>, KeyValuePair<TKey, TValue>>(codecs, pairs => System.Collections.Immutable.ImmutableDictionary<TKey, TValue>.Empty.SetItems(pairs.Select(pair => KeyValuePair.Create(Key(pair.Key), pair.Value))));

    private static TKey Key<TKey>(TKey key) => key is null ? throw new SerializerException("A dictionary has a null key.") : key;
}
