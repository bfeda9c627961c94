using System.Reflection;
using Orleans.Concurrency;
using Orleans.Serialization;

namespace Orleans.Runtime;

/// <summary>A grain interface and its methods.</summary>
internal sealed class GrainInterface
{
    private readonly Dictionary<MethodInfo, GrainMethod> _byInfo = [];
    private readonly Dictionary<string, GrainMethod> _byName = [];

    /// <exception cref="ArgumentException">The interface has a member that cannot be called remotely.</exception>
    public GrainInterface(Type type, string name)
    {
        Type = type;
        Name = name;
        foreach (Type part in type.GetInterfaces().Prepend(type))
        {
            if (part == typeof(IGrain) || part == typeof(IAddressable)) continue;
            foreach (MethodInfo info in part.GetMethods(BindingFlags.Instance | BindingFlags.Public | BindingFlags.NonPublic))
            {
                if (!info.IsAbstract) continue;
                var method = new GrainMethod(this, info);
                if (!_byName.TryAdd(method.Name, method)) throw new ArgumentException($"{type} has two methods with the name {method.Name}; give one an [Alias].");
                _byInfo.Add(info, method);
            }
        }
    }

    public Type Type { get; }

    public string Name { get; }

    public GrainMethod Find(MethodInfo info) =>
        _byInfo.TryGetValue(info, out GrainMethod? method) ? method : throw new InvalidOperationException($"{info.DeclaringType}.{info.Name} is not a grain method.");

    public GrainMethod Find(string name) =>
        _byName.TryGetValue(name, out GrainMethod? method) ? method : throw new SerializerException($"{Type} has no method {name}.");
}

/// <summary>A method of a grain interface: what travels, what comes back and how calls are scheduled.</summary>
internal sealed class GrainMethod
{
    private readonly MethodInvoker _invoker;
    private readonly Type[] _parameters;
    private readonly bool[] _immutable;

    public GrainMethod(GrainInterface owner, MethodInfo info)
    {
        ParameterInfo[] parameters = info.GetParameters();
        string where = $"{info.DeclaringType}.{info.Name}";
        if (info.IsGenericMethodDefinition) throw new ArgumentException($"{where}: generic methods of grain interfaces are not supported.");
        if (Array.Find(parameters, p => p.ParameterType.IsByRef) is { } byRef) throw new ArgumentException($"{where}: parameter {byRef.Name} is passed by reference, which grain methods cannot do.");
        Owner = owner;
        Info = info;
        Name = info.GetCustomAttribute<AliasAttribute>()?.Alias ?? $"{info.Name}({string.Join(',', parameters.Select(p => p.ParameterType.ToString()))})";
        IsOneWay = info.IsDefined(typeof(OneWayAttribute));
        AlwaysInterleave = info.IsDefined(typeof(AlwaysInterleaveAttribute));
        IsReadOnly = info.IsDefined(typeof(ReadOnlyAttribute));
        ResponseTimeout = (info.GetCustomAttribute<ResponseTimeoutAttribute>() ?? info.DeclaringType!.GetCustomAttribute<ResponseTimeoutAttribute>())?.Timeout;
        Returns = ReturnShape.Of(info.ReturnType)
            ?? throw new ArgumentException($"{where} returns {info.ReturnType}; grain methods must return Task, Task<T>, ValueTask, ValueTask<T> or IAsyncEnumerable<T>.");
        _parameters = [.. parameters.Select(p => p.ParameterType)];
        _immutable = [.. parameters.Select(p => p.IsDefined(typeof(ImmutableAttribute)))];
        TokenIndex = Array.IndexOf(_parameters, typeof(CancellationToken));
        _invoker = MethodInvoker.Create(info);
    }

    public GrainInterface Owner { get; }

    public MethodInfo Info { get; }

    public string Name { get; }

    public ReturnShape Returns { get; }

    public bool IsOneWay { get; }

    public bool AlwaysInterleave { get; }

    public bool IsReadOnly { get; }

    public TimeSpan? ResponseTimeout { get; }

    /// <summary>Position of the cancellation token among the parameters; -1 if there is none.</summary>
    public int TokenIndex { get; }

    public object? Invoke(object grain, object?[] arguments) => _invoker.Invoke(grain, arguments.AsSpan());

    public void WriteArguments(Writer writer, object?[] arguments)
    {
        for (int i = 0; i < _parameters.Length; i++) writer.Codecs.Get(_parameters[i]).WriteObject(writer, arguments[i]);
    }

    public object?[] ReadArguments(Reader reader)
    {
        var arguments = new object?[_parameters.Length];
        for (int i = 0; i < arguments.Length; i++) arguments[i] = reader.Codecs.Get(_parameters[i]).ReadObject(reader);
        return arguments;
    }

    public object?[] CopyArguments(CodecProvider codecs, object?[] arguments)
    {
        if (arguments.Length == 0) return arguments;
        var context = new CopyContext(codecs);
        var copy = new object?[arguments.Length];
        for (int i = 0; i < copy.Length; i++) copy[i] = _immutable[i] ? arguments[i] : codecs.Get(_parameters[i]).CopyObject(arguments[i], context);
        return copy;
    }

    public override string ToString() => $"{Owner.Name}.{Info.Name}";
}
