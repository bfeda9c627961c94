namespace Orleans;

/// <summary>Marks a type whose members with <see cref="IdAttribute"/> travel in grain calls.</summary>
[AttributeUsage(AttributeTargets.Class | AttributeTargets.Struct | AttributeTargets.Enum)]
public sealed class GenerateSerializerAttribute : Attribute
{
    /// <summary>Whether the parameters of a primary constructor travel too; on for records, off otherwise.</summary>
    public bool IncludePrimaryConstructorParameters { get; set; }
}

/// <summary>The stable number of a serialized member within its declaring type.</summary>
[AttributeUsage(AttributeTargets.Field | AttributeTargets.Property)]
public sealed class IdAttribute(uint id) : Attribute
{
    /// <summary>Number of the member, unique within the declaring type.</summary>
    public uint Id { get; } = id;
}

/// <summary>A stable name on the wire for a type or a grain method.</summary>
[AttributeUsage(AttributeTargets.Class | AttributeTargets.Struct | AttributeTargets.Interface | AttributeTargets.Enum | AttributeTargets.Method)]
public sealed class AliasAttribute(string alias) : Attribute
{
    /// <summary>The name used instead of the declared one.</summary>
    public string Alias { get; } = alias;
}

/// <summary>Promises that instances are never changed after creation, so that calls within a silo need no copy.</summary>
[AttributeUsage(AttributeTargets.Class | AttributeTargets.Struct | AttributeTargets.Parameter | AttributeTargets.Property | AttributeTargets.Field | AttributeTargets.Method)]
public sealed class ImmutableAttribute : Attribute;
