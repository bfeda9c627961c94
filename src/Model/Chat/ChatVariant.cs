namespace Conclave.Model.Chat;

/// <summary>The three chat formats: what the model writes, and how its output is parsed.</summary>
public enum ChatFamily
{
    /// <summary>V3 and V3-0324.</summary>
    V3,

    /// <summary>V3.1, V3.1-Terminus and V3.2-Exp.</summary>
    V31,

    /// <summary>V3.2.</summary>
    V32,
}

/// <summary>The variants of the chat formats: how a conversation is rendered.</summary>
public enum ChatVariant
{
    /// <summary>The template of the first V3, with its quirks.</summary>
    V3Original,

    /// <summary>The template of V3-0324.</summary>
    V30324,

    /// <summary>The template of the first V3.1.</summary>
    V31,

    /// <summary>The template of V3.1-Terminus and V3.2-Exp.</summary>
    V31Terminus,

    /// <summary>The encoding of V3.2.</summary>
    V32,
}

/// <summary>Names of <see cref="ChatVariant"/> as users write them.</summary>
public static class ChatVariants
{
    private static readonly (string Name, ChatVariant Variant)[] Names =
    [
        ("v3", ChatVariant.V3Original),
        ("v3-0324", ChatVariant.V30324),
        ("v3.1", ChatVariant.V31),
        ("v3.1-terminus", ChatVariant.V31Terminus),
        ("v3.2-exp", ChatVariant.V31Terminus),
        ("v3.2", ChatVariant.V32),
    ];

    /// <summary>The names that <see cref="Parse"/> accepts, for messages to users.</summary>
    public static string Choices { get; } = string.Join(", ", Names.Select(entry => entry.Name));

    /// <summary>Reads a variant by its name; letter case does not matter.</summary>
    /// <exception cref="FormatException">The name is unknown; the message lists the choices.</exception>
    public static ChatVariant Parse(string name)
    {
        foreach (var (known, variant) in Names)
        {
            if (known.Equals(name, StringComparison.OrdinalIgnoreCase)) return variant;
        }

        throw new FormatException($"Unknown chat format '{name}'. Choose one of: {Choices}.");
    }

    /// <summary>The name that <see cref="Parse"/> reads back as <paramref name="variant"/>.</summary>
    public static string NameOf(ChatVariant variant) => Names.First(entry => entry.Variant == variant).Name;

    /// <summary>
    /// The default variant of a family given by name: <c>v3</c>, <c>v3.1</c> and <c>v3.2</c> mean V3-0324, V3.1-Terminus and V3.2.
    /// </summary>
    /// <exception cref="FormatException">The name is unknown; the message lists the choices.</exception>
    public static ChatVariant ParseFamily(string name) => name.ToLowerInvariant() switch
    {
        "v3" => ChatVariant.V30324,
        "v3.1" => ChatVariant.V31Terminus,
        "v3.2" => ChatVariant.V32,
        _ => throw new FormatException($"Unknown chat format family '{name}'. Choose one of: v3, v3.1, v3.2."),
    };

    /// <summary>The format that a variant belongs to.</summary>
    public static ChatFamily FamilyOf(ChatVariant variant) => variant switch
    {
        ChatVariant.V3Original or ChatVariant.V30324 => ChatFamily.V3,
        ChatVariant.V31 or ChatVariant.V31Terminus => ChatFamily.V31,
        _ => ChatFamily.V32,
    };
}
