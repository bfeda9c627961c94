using System.Collections.Concurrent;
using System.Collections.Immutable;
using System.Net;
using Orleans.Runtime;

namespace Orleans.Serialization;

/// <summary>
/// Names of types on the wire. Only types that may travel have one: framework values and collections, types marked with
/// <see cref="GenerateSerializerAttribute"/>, grain interfaces, enumerations of applications, exceptions. Bytes can name no other type.
/// </summary>
internal sealed class TypeNames
{
    private const int MaxNesting = 8;
    private const int MaxCached = 4096;

    private static readonly Type[] Builtin =
    [
        typeof(object), typeof(bool), typeof(byte), typeof(sbyte), typeof(short), typeof(ushort), typeof(int), typeof(uint), typeof(long), typeof(ulong),
        typeof(float), typeof(double), typeof(Half), typeof(decimal), typeof(char), typeof(string), typeof(Guid), typeof(DateTime), typeof(DateTimeOffset), typeof(TimeSpan),
        typeof(DateOnly), typeof(TimeOnly), typeof(Uri), typeof(Version), typeof(IPAddress), typeof(IPEndPoint), typeof(Memory<>), typeof(ReadOnlyMemory<>),
        typeof(GrainId), typeof(GrainType), typeof(IdSpan), typeof(SiloAddress), typeof(ActivationId), typeof(MembershipVersion), typeof(IAddressable),
        typeof(Nullable<>), typeof(List<>), typeof(Dictionary<,>), typeof(HashSet<>), typeof(Queue<>), typeof(SortedDictionary<,>), typeof(SortedSet<>),
        typeof(KeyValuePair<,>), typeof(ImmutableArray<>), typeof(ImmutableList<>), typeof(ImmutableHashSet<>), typeof(ImmutableDictionary<,>),
        typeof(IEnumerable<>), typeof(IReadOnlyList<>), typeof(IReadOnlyCollection<>), typeof(IReadOnlyDictionary<,>), typeof(IList<>), typeof(ICollection<>), typeof(IDictionary<,>),
        typeof(ValueTuple<>), typeof(ValueTuple<,>), typeof(ValueTuple<,,>), typeof(ValueTuple<,,,>), typeof(ValueTuple<,,,,>), typeof(ValueTuple<,,,,,>), typeof(ValueTuple<,,,,,,>), typeof(ValueTuple<,,,,,,,>),
        typeof(Tuple<>), typeof(Tuple<,>), typeof(Tuple<,,>), typeof(Tuple<,,,>), typeof(Tuple<,,,,>), typeof(Tuple<,,,,,>), typeof(Tuple<,,,,,,>),
    ];

    private readonly Dictionary<string, Type> _types = [];
    private readonly Dictionary<Type, string> _names = [];
    private readonly ConcurrentDictionary<string, Type> _resolved = new();

    public TypeNames(IEnumerable<Type> application)
    {
        foreach (Type type in Builtin) Add(type.FullName!, type);
        foreach (Type type in application) Add(AliasOf(type) ?? type.FullName!, type);
    }

    public string NameOf(Type type)
    {
        if (type.IsArray) return NameOf(type.GetElementType()!) + "[]";
        if (type is { IsGenericType: true, IsGenericTypeDefinition: false })
            return $"{NameOf(type.GetGenericTypeDefinition())}<{string.Join(',', type.GetGenericArguments().Select(NameOf))}>";
        if (_names.TryGetValue(type, out string? name)) return name;
        return typeof(Exception).IsAssignableFrom(type) ? type.FullName! : throw new CodecNotFoundException(CodecProvider.Missing(type));
    }

    /// <summary>The type of that name.</summary>
    /// <exception cref="SerializerException">There is none, or it does not fit the declared type.</exception>
    public Type Resolve(string? name, Type declared)
    {
        if (name is null) throw new SerializerException("The name of a type is missing.");
        if (!_resolved.TryGetValue(name, out Type? type))
        {
            ReadOnlySpan<char> rest = name;
            type = Parse(ref rest, 0, declared);
            if (rest.Length > 0) throw Unknown(name);
            if (_resolved.Count < MaxCached && type != typeof(UnavailableExceptionFallbackException)) _resolved.TryAdd(name, type);
        }
        return declared.IsAssignableFrom(type) ? type : throw new SerializerException($"A value of type {type} is not a {declared}.");
    }

    private Type Parse(ref ReadOnlySpan<char> text, int nesting, Type? declared)
    {
        if (nesting > MaxNesting) throw new SerializerException("The name of a type is nested too deeply.");
        int end = text.IndexOfAny("<>,[");
        string name = (end < 0 ? text : text[..end]).ToString();
        text = end < 0 ? [] : text[end..];
        Type type = Simple(name, declared);
        if (text.StartsWith("<")) type = Generic(type, ref text, nesting);
        while (text.StartsWith("[]"))
        {
            if (++nesting > MaxNesting) throw new SerializerException("The name of a type is nested too deeply.");
            text = text[2..];
            type = type.MakeArrayType();
        }
        return type;
    }

    private Type Generic(Type definition, ref ReadOnlySpan<char> text, int nesting)
    {
        var arguments = new List<Type>();
        do
        {
            text = text[1..];
            arguments.Add(Parse(ref text, nesting + 1, null));
        }
        while (text.StartsWith(",") && arguments.Count < 16);
        if (!text.StartsWith(">") || !definition.IsGenericTypeDefinition || definition.GetGenericArguments().Length != arguments.Count) throw Unknown(definition.ToString());
        text = text[1..];
        try
        {
            return definition.MakeGenericType([.. arguments]);
        }
        catch (ArgumentException e)
        {
            throw new SerializerException($"{definition} cannot take {string.Join(", ", arguments)}.", e);
        }
    }

    private Type Simple(string name, Type? declared)
    {
        if (_types.TryGetValue(name, out Type? type)) return type;
        if (name.Length == 0) throw Unknown(name);
        if (declared is null || !declared.IsAssignableFrom(typeof(UnavailableExceptionFallbackException))) throw Unknown(name);
        // Exceptions cross even between processes that do not share all their types.
        foreach (var assembly in AppDomain.CurrentDomain.GetAssemblies())
            if (!assembly.IsDynamic && assembly.GetType(name) is { IsGenericTypeDefinition: false } found && found.IsSubclassOf(typeof(Exception))) return found;
        return typeof(Exception).FullName == name ? typeof(Exception) : typeof(UnavailableExceptionFallbackException);
    }

    private void Add(string name, Type type)
    {
        if (name.AsSpan().IndexOfAny("<>,[]") >= 0) throw new OrleansConfigurationException($"The alias \"{name}\" of {type} may not contain any of < > , [ ].");
        // Enumerations need no attribute, so they cannot be asked to keep their names apart: the first one has it.
        if (!_types.TryAdd(name, type) && type.IsEnum) return;
        if (_types[name] != type) throw new OrleansConfigurationException($"{type.AssemblyQualifiedName} and {_types[name].AssemblyQualifiedName} have the same name \"{name}\"; give one an [Alias].");
        _names.Add(type, name);
    }

    private static string? AliasOf(Type type) => (Attribute.GetCustomAttribute(type, typeof(AliasAttribute), inherit: false) as AliasAttribute)?.Alias;

    private static SerializerException Unknown(string name) => new($"The type \"{name}\" is not known here.");
}
