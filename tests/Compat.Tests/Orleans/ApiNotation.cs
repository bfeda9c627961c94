using System.Globalization;
using System.Reflection;

namespace Conclave.Compat.Tests.Orleans;

/// <summary>Writes the public surface of types in the notation of orleans-api.txt.</summary>
internal static class ApiNotation
{
    private const BindingFlags Declared = BindingFlags.Public | BindingFlags.NonPublic | BindingFlags.Instance | BindingFlags.Static | BindingFlags.DeclaredOnly;

    /// <summary>"sealed class Some.Name&lt;T&gt;" and the like: what comes before the base types.</summary>
    public static string Header(Type type)
    {
        string kind = type.IsEnum ? "enum" : type.IsInterface ? "interface" : type.IsValueType ? "struct" : "class";
        string modifier = kind != "class" ? "" : type is { IsAbstract: true, IsSealed: true } ? "static " : type.IsAbstract ? "abstract " : type.IsSealed ? "sealed " : "";
        return modifier + kind + " " + Name(type);
    }

    /// <summary>Base class and interfaces.</summary>
    public static IEnumerable<string> Bases(Type type)
    {
        if (type.IsEnum) yield break;
        if (type.BaseType is { } parent && parent != typeof(object) && parent != typeof(ValueType)) yield return Name(parent);
        foreach (Type part in type.GetInterfaces()) yield return Name(part);
    }

    public static IEnumerable<string> Members(Type type)
    {
        if (type.IsEnum) return Enum.GetNames(type).Select(name => $"{name} = {Convert.ToInt64(Enum.Parse(type, name), CultureInfo.InvariantCulture)}");
        return type.GetFields(Declared).Where(field => Visible(field.Attributes)).Select(Field)
            .Concat(type.GetProperties(Declared).Where(property => property.GetAccessors(true).Any(Visible)).Select(Property))
            .Concat(type.GetMethods(Declared).Where(method => Visible(method) && (!method.IsSpecialName || method.Name.StartsWith("op_", StringComparison.Ordinal))).Select(Method))
            .Concat(type.GetConstructors(Declared).Where(constructor => Visible(constructor) && !constructor.IsStatic)
                .Select(constructor => Protection(constructor) + $"ctor({Parameters(constructor)})"));
    }

    private static string Field(FieldInfo field)
    {
        string protection = field.IsPublic ? "" : "protected ";
        string value = field.IsLiteral ? " = " + Value(field.GetRawConstantValue()) : "";
        return $"{protection}{(field.IsStatic ? "static " : "")}{Name(field.FieldType)} {field.Name}{value}";
    }

    private static string Property(PropertyInfo property)
    {
        MethodInfo[] accessors = property.GetAccessors(true);
        string protection = accessors.Any(accessor => accessor.IsPublic) ? "" : "protected ";
        string get = property.GetMethod is { } getter && (getter.IsPublic || getter.IsFamily) ? "get; " : "";
        string set = property.SetMethod is { } setter && (setter.IsPublic || setter.IsFamily) ? "set; " : "";
        return $"{protection}{(accessors[0].IsStatic ? "static " : "")}{Name(property.PropertyType)} {property.Name} {{ {get}{set}}}";
    }

    private static string Method(MethodInfo method)
    {
        string kind = method.IsStatic ? "static "
            : method.DeclaringType!.IsInterface || method.IsFinal ? ""
            : method.IsAbstract ? "abstract " : method.IsVirtual ? "virtual " : "";
        string generic = method.IsGenericMethodDefinition ? $"<{string.Join(", ", method.GetGenericArguments().Select(Name))}>" : "";
        return $"{Protection(method)}{kind}{Name(method.ReturnType)} {method.Name}{generic}({Parameters(method)})";
    }

    private static string Parameters(MethodBase method) => string.Join(", ", method.GetParameters().Select(parameter =>
    {
        string direction = parameter.IsOut ? "out " : parameter.ParameterType.IsByRef && !parameter.IsIn ? "ref " : "";
        Type type = parameter.ParameterType.IsByRef ? parameter.ParameterType.GetElementType()! : parameter.ParameterType;
        string value = parameter.HasDefaultValue ? " = " + Value(type.IsEnum ? Enum.ToObject(type, parameter.RawDefaultValue!) : parameter.RawDefaultValue) : "";
        return $"{direction}{Name(type)} {parameter.Name}{value}";
    }));

    private static string Value(object? value) => value is null ? "default" : Convert.ToString(value, CultureInfo.InvariantCulture)!;

    private static string Name(Type type)
    {
        if (type.IsGenericParameter) return type.Name;
        if (type.IsArray) return Name(type.GetElementType()!) + "[]";
        string name = (type.IsGenericType ? type.GetGenericTypeDefinition() : type).FullName!.Replace('+', '.');
        int backtick = name.IndexOf('`');
        return backtick < 0 ? name : $"{name[..backtick]}<{string.Join(", ", type.GetGenericArguments().Select(Name))}>";
    }

    private static bool Visible(MethodBase method) => method.IsPublic || method.IsFamily || method.IsFamilyOrAssembly;

    private static bool Visible(FieldAttributes attributes) =>
        (attributes & FieldAttributes.SpecialName) == 0
        && (attributes & FieldAttributes.FieldAccessMask) is FieldAttributes.Public or FieldAttributes.Family or FieldAttributes.FamORAssem;

    private static string Protection(MethodBase method) => method.IsPublic ? "" : "protected ";
}
