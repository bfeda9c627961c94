using System.Reflection;

namespace Conclave.Compat.Tests;

/// <summary>Writes public types and members in the notation of the api.txt lists: metadata names, one member a line.</summary>
internal static class ApiText
{
    private const BindingFlags Declared =
        BindingFlags.Public | BindingFlags.NonPublic | BindingFlags.Instance | BindingFlags.Static | BindingFlags.DeclaredOnly;

    /// <summary>static class Name&lt;T&gt;, without bases.</summary>
    public static string Kind(Type type) => type switch
    {
        { IsInterface: true } => "interface",
        { IsEnum: true } => "enum",
        { IsValueType: true } => "struct",
        _ when type.IsSubclassOf(typeof(Delegate)) => "delegate",
        { IsAbstract: true, IsSealed: true } => "static class",
        { IsAbstract: true } => "abstract class",
        { IsSealed: true } => "sealed class",
        _ => "class",
    };

    /// <summary>The public base type (unless it says nothing) and all public interfaces.</summary>
    public static IEnumerable<string> Bases(Type type)
    {
        if (type.BaseType is { IsVisible: true } parent && parent != typeof(object) && parent != typeof(ValueType) && parent != typeof(Enum))
            yield return Name(parent);
        foreach (Type implemented in type.GetInterfaces().Where(one => one.IsVisible))
            yield return Name(implemented);
    }

    /// <summary>What others can see of a type's own members. Overrides are left out: they add nothing to what can be called.</summary>
    public static IEnumerable<string> Members(Type type)
    {
        foreach (ConstructorInfo constructor in type.GetConstructors(Declared).Where(one => IsVisible(one) && !one.IsStatic))
            yield return $"{Protected(constructor)}ctor({Parameters(constructor)})";
        foreach (FieldInfo field in type.GetFields(Declared).Where(one => (one.IsPublic || one.IsFamily || one.IsFamilyOrAssembly) && !one.IsSpecialName))
            yield return Field(type, field);
        foreach (PropertyInfo property in type.GetProperties(Declared))
        {
            if (property.GetAccessors(nonPublic: true).Where(IsVisible).ToArray() is [var first, ..] && !IsOverride(first))
                yield return Property(property, first);
        }
        foreach (EventInfo added in type.GetEvents(Declared).Where(one => IsVisible(one.AddMethod!)))
            yield return $"event {Name(added.EventHandlerType!)} {added.Name}";
        foreach (MethodInfo method in type.GetMethods(Declared).Where(IsVisible))
        {
            bool isOperator = method.Name.StartsWith("op_", StringComparison.Ordinal);
            if ((!method.IsSpecialName || isOperator) && !IsOverride(method) && !method.Name.Contains('<'))
                yield return Method(type, method);
        }
    }

    /// <summary>Namespace.Outer.Name&lt;Argument&gt;.</summary>
    public static string Name(Type type)
    {
        if (type.IsByRef || type.IsPointer)
            return Name(type.GetElementType()!);
        if (type.IsArray)
            return $"{Name(type.GetElementType()!)}[]";
        if (type.IsGenericParameter)
            return type.Name;
        string prefix = type.DeclaringType is { } outer
            ? $"{Name(outer)}."
            : type.Namespace is null ? "" : $"{type.Namespace}.";
        int tick = type.Name.IndexOf('`', StringComparison.Ordinal);
        if (tick < 0)
            return prefix + type.Name;
        IEnumerable<Type> own = type.GetGenericArguments().Skip(type.DeclaringType?.GetGenericArguments().Length ?? 0);
        return $"{prefix}{type.Name[..tick]}<{string.Join(", ", own.Select(Name))}>";
    }

    private static string Field(Type type, FieldInfo field)
    {
        if (type.IsEnum)
            return $"{field.Name} = {Convert.ToInt64(field.GetRawConstantValue(), null)}";
        string value = field.IsLiteral ? $" = {field.GetRawConstantValue()}" : "";
        return $"{(field.IsPublic ? "" : "protected ")}{(field.IsStatic ? "static " : "")}{Name(field.FieldType)} {field.Name}{value}";
    }

    private static string Property(PropertyInfo property, MethodInfo first)
    {
        bool isPublic = property.GetAccessors(nonPublic: false).Length > 0;
        string get = property.GetMethod is { } getter && (getter.IsPublic || getter.IsFamily) ? "get; " : "";
        string set = property.SetMethod is { } setter && (setter.IsPublic || setter.IsFamily) ? "set; " : "";
        return $"{(isPublic ? "" : "protected ")}{(first.IsStatic ? "static " : "")}{Name(property.PropertyType)} {property.Name} {{ {get}{set}}}";
    }

    private static string Method(Type type, MethodInfo method)
    {
        string modifier = method switch
        {
            { IsStatic: true } => "static ",
            _ when type.IsInterface => "",
            { IsAbstract: true } => "abstract ",
            { IsVirtual: true, IsFinal: false } => "virtual ",
            _ => "",
        };
        string generic = method.IsGenericMethodDefinition ? $"<{string.Join(", ", method.GetGenericArguments().Select(one => one.Name))}>" : "";
        return $"{Protected(method)}{modifier}{Name(method.ReturnType)} {method.Name}{generic}({Parameters(method)})";
    }

    private static string Parameters(MethodBase method) => string.Join(", ", method.GetParameters().Select(parameter =>
    {
        string kind = !parameter.ParameterType.IsByRef ? "" : parameter.IsOut ? "out " : "ref ";
        string value = parameter.HasDefaultValue ? $" = {parameter.DefaultValue ?? "default"}" : "";
        return $"{kind}{Name(parameter.ParameterType)} {parameter.Name}{value}";
    }));

    private static bool IsVisible(MethodBase method) => method.IsPublic || method.IsFamily || method.IsFamilyOrAssembly;

    private static bool IsOverride(MethodInfo method) => method.GetBaseDefinition() != method;

    private static string Protected(MethodBase method) => method.IsPublic ? "" : "protected ";
}
