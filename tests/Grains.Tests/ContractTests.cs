using System.Reflection;
using Orleans;
using Orleans.Runtime;

namespace Conclave.Grains.Tests;

/// <summary>
/// Silos of two versions talk to each other while a cluster is updated, so the names and numbers of what travels never change. The committed list
/// may only grow.
/// </summary>
public sealed class ContractTests
{
    [Fact]
    public void Aliases_and_ids_are_those_of_the_committed_list()
    {
        string[] committed = File.ReadAllLines(Path.Combine(AppContext.BaseDirectory, "contracts.txt"));
        string[] now = [.. Contracts().Order(StringComparer.Ordinal)];
        string[] gone = [.. committed.Except(now)], added = [.. now.Except(committed)];
        Assert.True(gone.Length == 0, $"gone or changed, which breaks clusters under update:\n{string.Join('\n', gone)}\nnow:\n{string.Join('\n', added)}");
        Assert.True(added.Length == 0, $"new: add these lines to tests/Grains.Tests/contracts.txt:\n{string.Join('\n', added)}");
    }

    [Fact]
    public void No_id_or_alias_is_used_twice()
    {
        Assert.Empty(Travelling().GroupBy(AliasOf).Where(group => group.Count() > 1).Select(group => group.Key));
        foreach (Type type in Travelling())
        {
            IEnumerable<IGrouping<uint, uint>> twice = Members(type).Select(member => member.Id).GroupBy(id => id).Where(group => group.Count() > 1);
            Assert.Empty(twice);
        }
    }

    [Fact]
    public void Everything_that_travels_is_named()
    {
        Assert.All(Travelling().Where(type => type != typeof(SiloPlacement)), type => Assert.False(AliasOf(type) is null, $"{type} has no [Alias]"));
        Assert.All(Interfaces().SelectMany(type => type.GetMethods()), method => Assert.False(method.GetCustomAttribute<AliasAttribute>() is null, $"{method.DeclaringType}.{method.Name} has no [Alias]"));
    }

    private static IEnumerable<string> Contracts()
    {
        foreach (Type type in Interfaces())
            foreach (MethodInfo method in type.GetMethods())
                yield return $"{AliasOf(type)} {method.GetCustomAttribute<AliasAttribute>()?.Alias}({string.Join(", ", method.GetParameters().Select(p => Name(p.ParameterType)))}): {Name(method.ReturnType)}";
        foreach (Type type in Travelling().Where(type => AliasOf(type) is not null))
            foreach ((uint id, string name, Type member) in Members(type))
                yield return $"{AliasOf(type)} [{id}] {name}: {Name(member)}";
    }

    private static IEnumerable<Type> Interfaces() => typeof(IGatewayGrain).Assembly.GetTypes().Where(type => type.IsInterface && type.IsAssignableTo(typeof(IAddressable)) && Ours(type));

    private static IEnumerable<Type> Travelling() => typeof(IGatewayGrain).Assembly.GetTypes().Where(type => type.GetCustomAttribute<GenerateSerializerAttribute>() is not null && Ours(type));

    // Orleans' generators add types of their own to the assembly.
    private static bool Ours(Type type) => type.Namespace?.StartsWith("Conclave.", StringComparison.Ordinal) == true;

    private static IEnumerable<(uint Id, string Name, Type Type)> Members(Type type) =>
        from property in type.GetProperties(BindingFlags.Instance | BindingFlags.Public | BindingFlags.NonPublic | BindingFlags.DeclaredOnly)
        let id = property.GetCustomAttribute<IdAttribute>()
        where id is not null
        select (id.Id, property.Name, property.PropertyType);

    private static string? AliasOf(Type type) => type.GetCustomAttribute<AliasAttribute>()?.Alias;

    private static string Name(Type type) => type.IsGenericType
        ? $"{type.Name[..type.Name.IndexOf('`', StringComparison.Ordinal)]}<{string.Join(", ", type.GetGenericArguments().Select(Name))}>"
        : type.Name;
}
