using System.Reflection;

namespace Orleans.Serialization;

/// <summary>
/// Which members of a type travel: those with <see cref="IdAttribute"/>, and the primary constructor parameters of records.
/// A tag holds the number, the inheritance level and whether the number was given or comes from the position in the constructor.
/// </summary>
internal static class MemberLayout
{
    private const BindingFlags Declared = BindingFlags.Instance | BindingFlags.Public | BindingFlags.NonPublic | BindingFlags.DeclaredOnly;
    private const int MaxLevels = 64;

    public static IReadOnlyList<(ulong Tag, MemberInfo Member)> Of(Type type)
    {
        var members = new SortedDictionary<ulong, MemberInfo>();
        Type[] levels = [.. Levels(type).Reverse()];
        if (levels.Length > MaxLevels) throw new CodecNotFoundException($"{type} has more than {MaxLevels} base types.");
        for (int level = 0; level < levels.Length; level++)
        {
            MemberInfo[] numbered = [.. levels[level].GetMembers(Declared).Where(member => member.IsDefined(typeof(IdAttribute), false))];
            foreach (MemberInfo member in numbered) Add(level, kind: 1, member.GetCustomAttribute<IdAttribute>(false)!.Id, member);
            uint position = 0;
            foreach (PropertyInfo property in PrimaryParameters(levels[level]))
            {
                // A parameter that only fills a property of a base type travels with that one.
                if (property.DeclaringType == levels[level] && !numbered.Contains(property)) Add(level, kind: 0, position, property);
                position++;
            }
        }
        return [.. members.Select(pair => (pair.Key, pair.Value))];

        void Add(int level, uint kind, uint id, MemberInfo member)
        {
            ulong tag = ((((ulong)id * MaxLevels) + (uint)level) * 2) + kind + 1;
            if (!members.TryAdd(tag, member)) throw new CodecNotFoundException($"{member.DeclaringType}: {member.Name} and {members[tag].Name} have the same Id {id}.");
        }
    }

    private static IEnumerable<Type> Levels(Type type)
    {
        for (Type? level = type; level is not null && level.IsDefined(typeof(GenerateSerializerAttribute), false); level = level.BaseType) yield return level;
    }

    private static IEnumerable<PropertyInfo> PrimaryParameters(Type type)
    {
        bool include = type.GetCustomAttribute<GenerateSerializerAttribute>(false) is { IncludePrimaryConstructorParameters: true } || IsRecord(type);
        if (!include) return [];
        ConstructorInfo? primary = type.GetConstructors(Declared)
            .Where(constructor => constructor.GetParameters() is { Length: > 0 } parameters && parameters[0].ParameterType != type && parameters.All(Matches))
            .MaxBy(constructor => constructor.GetParameters().Length);
        return primary?.GetParameters().Select(parameter => Property(type, parameter)!) ?? [];

        bool Matches(ParameterInfo parameter) => Property(type, parameter)?.PropertyType == parameter.ParameterType;
    }

    private static PropertyInfo? Property(Type type, ParameterInfo parameter)
    {
        for (Type? level = type; level is not null; level = level.BaseType)
            if (level.GetProperty(parameter.Name!, Declared) is { } property) return property;
        return null;
    }

    private static bool IsRecord(Type type) => type.GetMethod("PrintMembers", Declared, [typeof(System.Text.StringBuilder)]) is not null;
}
