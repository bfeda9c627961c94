using System.Reflection;
using Grpc.Core;

namespace Grpc.AspNetCore.Server.Internal;

/// <summary>Finds what the gRPC compiler generated for a service, starting from the class that implements it.</summary>
internal static class ServiceBinding
{
    private const BindingFlags Static = BindingFlags.Static | BindingFlags.Public | BindingFlags.NonPublic;

    /// <summary>Tells <paramref name="binder"/> the methods of a service.</summary>
    public static void Bind(Type serviceType, ServiceBinderBase binder)
    {
        (Type baseType, BindServiceMethodAttribute bind) = FindBase(serviceType)
            ?? throw new InvalidOperationException($"{serviceType} is not a gRPC service: it derives from no class that the gRPC compiler generated.");
        MethodInfo method = bind.BindType.GetMethod(bind.BindMethodName, Static, [typeof(ServiceBinderBase), baseType])
            ?? throw new InvalidOperationException($"{bind.BindType} has no method {bind.BindMethodName}(ServiceBinderBase, {baseType.Name}).");
        method.Invoke(null, BindingFlags.DoNotWrapExceptions, null, [binder, null], null);
    }

    /// <summary>The descriptor of a service, or null when its messages are not protocol buffers.</summary>
    public static Google.Protobuf.Reflection.ServiceDescriptor? FindDescriptor(Type serviceType)
        => FindBase(serviceType)?.Attribute.BindType.GetProperty("Descriptor", Static)?.GetValue(null) as Google.Protobuf.Reflection.ServiceDescriptor;

    private static (Type BaseType, BindServiceMethodAttribute Attribute)? FindBase(Type serviceType)
    {
        for (Type? type = serviceType; type is not null; type = type.BaseType)
        {
            if (type.GetCustomAttribute<BindServiceMethodAttribute>(inherit: false) is { } attribute)
                return (type, attribute);
        }
        return null;
    }
}
