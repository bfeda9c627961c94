using System.Globalization;
using System.Text.Json;

namespace Conclave.Engine.Grammars;

/// <summary>The keywords of numbers.</summary>
internal static class SchemaNumbers
{
    /// <summary>Bounds beyond this are far outside of what is ever generated.</summary>
    private const decimal Largest = 1_000_000_000_000_000_000;

    /// <summary><paramref name="limits"/> with one more keyword; null if it is none of numbers.</summary>
    /// <exception cref="OperatingException">Its value is wrong.</exception>
    public static NumberLimits? Add(NumberLimits limits, SchemaKeyword keyword) => keyword.Name switch
    {
        "minimum" => Raise(limits, Bound(keyword), IsExclusive(keyword, "exclusiveMinimum")),
        "maximum" => Lower(limits, Bound(keyword), IsExclusive(keyword, "exclusiveMaximum")),

        // Boolean in draft 4, where they belong to the bound.
        "exclusiveMinimum" or "exclusiveMaximum" when keyword.Value.ValueKind is JsonValueKind.True or JsonValueKind.False => limits,
        "exclusiveMinimum" => Raise(limits, Bound(keyword), isExclusive: true),
        "exclusiveMaximum" => Lower(limits, Bound(keyword), isExclusive: true),
        "multipleOf" => WithStep(limits, keyword, isMultiple: true),
        _ => null,
    };

    /// <summary><paramref name="limits"/> and what breaks a keyword of numbers; null if that cannot be or it is none of numbers.</summary>
    /// <exception cref="OperatingException">Its value is wrong.</exception>
    public static NumberLimits? AddNegated(NumberLimits limits, SchemaKeyword keyword) => keyword.Name switch
    {
        // Beyond the largest bound nothing is generated, so nothing can be.
        not "multipleOf" when keyword.Value.ValueKind == JsonValueKind.Number && Math.Abs(Bound(keyword)) == Largest => null,
        "minimum" => Lower(limits, Bound(keyword), !IsExclusive(keyword, "exclusiveMinimum")),
        "maximum" => Raise(limits, Bound(keyword), !IsExclusive(keyword, "exclusiveMaximum")),
        "exclusiveMinimum" or "exclusiveMaximum" when keyword.Value.ValueKind is JsonValueKind.True or JsonValueKind.False => null,
        "exclusiveMinimum" => Lower(limits, Bound(keyword), isExclusive: false),
        "exclusiveMaximum" => Raise(limits, Bound(keyword), isExclusive: false),
        "multipleOf" => WithStep(limits, keyword, isMultiple: false),
        _ => null,
    };

    /// <summary><paramref name="limits"/> without one value, as limits of what lies below and of what lies above.</summary>
    public static IEnumerable<NumberLimits> Except(NumberLimits limits, decimal value) =>
        Allows(limits, value) ? [Lower(limits, value, isExclusive: true), Raise(limits, value, isExclusive: true)] : [limits];

    /// <summary>Whether a value is within <paramref name="limits"/>.</summary>
    public static bool Allows(NumberLimits limits, decimal value) =>
        (limits.Low is not { } low || (limits.IsLowExclusive ? value > low : value >= low))
        && (limits.High is not { } high || (limits.IsHighExclusive ? value < high : value <= high))
        && limits.Multiples.All(step => value % step == 0) && limits.NoMultiples.All(step => value % step != 0);

    private static bool IsExclusive(SchemaKeyword keyword, string name) =>
        keyword.Owner.Value.TryGetProperty(name, out JsonElement flag) && flag.ValueKind == JsonValueKind.True;

    private static NumberLimits Raise(NumberLimits limits, decimal low, bool isExclusive) => limits.Low is { } known && (known > low || (known == low && limits.IsLowExclusive))
        ? limits : limits with { Low = low, IsLowExclusive = isExclusive };

    private static NumberLimits Lower(NumberLimits limits, decimal high, bool isExclusive) => limits.High is { } known && (known < high || (known == high && limits.IsHighExclusive))
        ? limits : limits with { High = high, IsHighExclusive = isExclusive };

    private static NumberLimits WithStep(NumberLimits limits, SchemaKeyword keyword, bool isMultiple)
    {
        decimal step = Number(keyword);
        if (!NumberRange.CanStep(step))
            throw keyword.Error("must be above 0 and at most 1000 units of its last digit");
        NumberLimits made = isMultiple ? limits with { Multiples = [.. limits.Multiples.Union([step])] } : limits with { NoMultiples = [.. limits.NoMultiples.Union([step])] };
        return NumberRange.CanStep(made) ? made : throw keyword.Error("is too much together with the multipleOf of other schemas");
    }

    private static decimal Bound(SchemaKeyword keyword) => Math.Clamp(Number(keyword), -Largest, Largest);

    private static decimal Number(SchemaKeyword keyword)
    {
        if (keyword.Value.ValueKind != JsonValueKind.Number)
            throw keyword.Error("must be a number");
        if (decimal.TryParse(keyword.Value.GetRawText(), NumberStyles.Float, CultureInfo.InvariantCulture, out decimal value))
            return value;
        return keyword.Value.GetDouble() < 0 ? -Largest : Largest;
    }
}
