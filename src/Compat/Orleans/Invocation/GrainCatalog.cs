using System.Collections.Concurrent;
using System.Reflection;
using Orleans.Concurrency;
using Orleans.Placement;
using Orleans.Serialization;

namespace Orleans.Runtime;

/// <summary>A grain class and what its attributes say.</summary>
internal sealed class GrainClass
{
    public GrainClass(Type type)
    {
        Type = type;
        Name = type.GetCustomAttribute<GrainTypeAttribute>()?.GetGrainType(null!, type) ?? GrainType.Create(NameOf(type));
        IsReentrant = type.IsDefined(typeof(ReentrantAttribute));
        Placement = type.GetCustomAttribute<PlacementAttribute>()?.PlacementStrategy;
        AgeLimit = type.GetCustomAttribute<CollectionAgeLimitAttribute>()?.AgeLimit;
    }

    public Type Type { get; }

    public GrainType Name { get; }

    public bool IsReentrant { get; }

    /// <summary>The strategy of the class; null means the default of the silo.</summary>
    public PlacementStrategy? Placement { get; }

    public TimeSpan? AgeLimit { get; }

    /// <summary>The class name in lower case without a trailing "Grain".</summary>
    private static string NameOf(Type type)
    {
        string name = type.Name.ToLowerInvariant();
        int backtick = name.IndexOf('`');
        if (backtick >= 0) name = name[..backtick];
        return name.EndsWith("grain", StringComparison.Ordinal) && name.Length > 5 ? name[..^5] : name;
    }
}

/// <summary>The grain classes, grain interfaces and serializable types of the loaded assemblies.</summary>
internal sealed class GrainCatalog
{
    private readonly Dictionary<GrainType, GrainClass> _classes = [];
    private readonly ConcurrentDictionary<Type, GrainInterface> _interfaces = new();
    private readonly ConcurrentDictionary<(Type Interface, string? Prefix), GrainType> _implementations = new();
    private readonly Dictionary<string, Type> _interfaceNames = [];

    public GrainCatalog()
    {
        var wire = new List<Type>();
        foreach (Type type in ApplicationTypes.All())
        {
            if (type.IsInterface && typeof(IAddressable).IsAssignableFrom(type))
            {
                if (!type.IsGenericTypeDefinition) _interfaceNames.TryAdd(NameOf(type), type);
                if (type != typeof(IAddressable)) wire.Add(type);
            }
            else if (type is { IsClass: true, IsAbstract: false, IsGenericTypeDefinition: false } && typeof(IGrainBase).IsAssignableFrom(type)) AddClass(type);
            else if (type.IsDefined(typeof(GenerateSerializerAttribute), false) || type.IsEnum) wire.Add(type);
        }
        TypeNames = new TypeNames(wire);
    }

    public TypeNames TypeNames { get; }

    public GrainClass GetClass(GrainType type) =>
        _classes.TryGetValue(type, out GrainClass? grainClass) ? grainClass : throw new ArgumentException($"Could not find a grain class of type \"{type}\" in the loaded assemblies.");

    public GrainInterface GetInterface(Type type)
    {
        if (!type.IsInterface) throw new ArgumentException($"{type} is not a grain interface.");
        return _interfaces.GetOrAdd(type, static t => new GrainInterface(t, NameOf(t)));
    }

    public GrainInterface FindInterface(string name) =>
        _interfaceNames.TryGetValue(name, out Type? type) ? GetInterface(type) : throw new SerializerException($"The grain interface \"{name}\" is not known here.");

    /// <summary>The grain class behind an interface: the only one, or the one that is called like the interface.</summary>
    public GrainType GrainTypeOf(Type interfaceType, string? prefix) => _implementations.GetOrAdd((interfaceType, prefix), key => FindImplementation(key.Interface, key.Prefix));

    private GrainType FindImplementation(Type interfaceType, string? prefix)
    {
        GrainClass[] found = [.. _classes.Values.Where(c => interfaceType.IsAssignableFrom(c.Type) && (prefix is null || c.Type.FullName!.StartsWith(prefix, StringComparison.Ordinal)))];
        if (found.Length > 1) found = Array.FindAll(found, c => c.Type.Name == interfaceType.Name.TrimStart('I')) is { Length: 1 } byName ? byName : found;
        return found.Length switch
        {
            1 => found[0].Name,
            0 => throw new ArgumentException($"Could not find an implementation for interface {interfaceType}."),
            _ => throw new ArgumentException($"Unable to pick one of the grain classes {string.Join(", ", found.Select(c => c.Type.Name))} for {interfaceType}; give a class name prefix."),
        };
    }

    private void AddClass(Type type)
    {
        var grainClass = new GrainClass(type);
        if (!_classes.TryAdd(grainClass.Name, grainClass))
            throw new OrleansConfigurationException($"The grain classes {type} and {_classes[grainClass.Name].Type} have the same grain type \"{grainClass.Name}\"; give one a [GrainType].");
    }

    private static string NameOf(Type type) => type.GetCustomAttribute<AliasAttribute>(false)?.Alias ?? type.FullName!;
}

/// <summary>Types of the assemblies that use Orleans; real Orleans has them listed by its code generator.</summary>
internal static class ApplicationTypes
{
    private static readonly Assembly Own = typeof(ApplicationTypes).Assembly;

    public static IEnumerable<Type> All()
    {
        LoadReferenced();
        string own = Own.GetName().Name!;
        return AppDomain.CurrentDomain.GetAssemblies()
            .Where(assembly => !assembly.IsDynamic && (assembly == Own || assembly.GetReferencedAssemblies().Any(name => name.Name == own)))
            .Distinct()
            .SelectMany(assembly => assembly.GetTypes())
            .Where(type => !type.IsDefined(typeof(System.Runtime.CompilerServices.CompilerGeneratedAttribute), false));
    }

    /// <summary>Grain assemblies may not be loaded yet, since assemblies load on first use.</summary>
    private static void LoadReferenced()
    {
        var seen = new HashSet<string>();
        var queue = new Queue<Assembly>(AppDomain.CurrentDomain.GetAssemblies().Where(assembly => !assembly.IsDynamic));
        while (queue.TryDequeue(out Assembly? assembly))
        {
            if (!seen.Add(assembly.FullName!)) continue;
            foreach (AssemblyName name in assembly.GetReferencedAssemblies())
            {
                if (IsFramework(name.Name!) || seen.Contains(name.FullName)) continue;
                if (TryLoad(name) is { } loaded) queue.Enqueue(loaded);
            }
        }
    }

    private static Assembly? TryLoad(AssemblyName name)
    {
        try
        {
            return Assembly.Load(name);
        }
        catch (Exception e) when (e is FileNotFoundException or FileLoadException or BadImageFormatException)
        {
            // Referenced but not deployed: it cannot hold grains then.
            return null;
        }
    }

    private static bool IsFramework(string name) =>
        name.StartsWith("System", StringComparison.Ordinal) || name.StartsWith("Microsoft.", StringComparison.Ordinal) || name is "mscorlib" or "netstandard" or "WindowsBase";
}
