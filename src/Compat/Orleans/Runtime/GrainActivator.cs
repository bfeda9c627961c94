using System.Collections.Concurrent;
using System.Reflection;
using Microsoft.Extensions.DependencyInjection;
using Orleans.Storage;

namespace Orleans.Runtime;

/// <summary>Makes grain objects: services from the container, persistent states from their attributes.</summary>
internal sealed class GrainActivator(SiloRuntime silo)
{
    /// <summary>Name of the storage of states that name none.</summary>
    public const string DefaultStorage = "Default";

    private readonly ConcurrentDictionary<Type, (ParameterInfo[] States, ObjectFactory Factory)> _factories = new();

    public object Create(Activation activation)
    {
        (ParameterInfo[] states, ObjectFactory factory) = _factories.GetOrAdd(activation.Class.Type, Prepare);
        object?[] arguments = [.. states.Select(parameter => CreateState(activation, parameter))];
        return factory(activation.ActivationServices, arguments);
    }

    private static (ParameterInfo[] States, ObjectFactory Factory) Prepare(Type type)
    {
        ConstructorInfo[] constructors = type.GetConstructors();
        if (constructors.Length == 0) throw new InvalidOperationException($"The grain class {type} has no public constructor.");
        ParameterInfo[] states = [.. constructors.MaxBy(c => c.GetParameters().Length)!.GetParameters().Where(p => p.IsDefined(typeof(PersistentStateAttribute)))];
        return (states, ActivatorUtilities.CreateFactory(type, [.. states.Select(p => p.ParameterType)]));
    }

    private object CreateState(Activation activation, ParameterInfo parameter)
    {
        if (!parameter.ParameterType.IsGenericType || parameter.ParameterType.GetGenericTypeDefinition() != typeof(IPersistentState<>))
            throw new InvalidOperationException($"The parameter {parameter.Name} of {activation.Class.Type} has [PersistentState] but is not an IPersistentState<T>.");
        PersistentStateAttribute attribute = parameter.GetCustomAttribute<PersistentStateAttribute>()!;
        string storageName = attribute.StorageName ?? DefaultStorage;
        IGrainStorage storage = silo.Services.GetKeyedService<IGrainStorage>(storageName)
            ?? throw new OrleansConfigurationException($"Grain {activation.Class.Type} needs the storage \"{storageName}\"; call AddMemoryGrainStorage(\"{storageName}\") on the silo builder, or register an IGrainStorage under that key.");
        Type type = typeof(PersistentState<>).MakeGenericType(parameter.ParameterType.GetGenericArguments());
        var state = (IActivationState)Activator.CreateInstance(type, storage, attribute.StateName, activation)!;
        activation.AddState(state);
        return state;
    }
}
