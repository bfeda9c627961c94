using System.Globalization;
using System.Text.Json;

namespace Conclave.Engine.Grammars;

/// <summary>A text that is equal for equal JSON values, however they are written.</summary>
internal static class JsonKey
{
    public static string Of(JsonElement value) => value.ValueKind switch
    {
        JsonValueKind.Object => $"{{{string.Join(',', value.EnumerateObject().GroupBy(member => member.Name).OrderBy(same => same.Key, StringComparer.Ordinal).Select(same => Quoted(same.Key) + Of(same.Last().Value)))}}}",
        JsonValueKind.Array => $"[{string.Join(',', value.EnumerateArray().Select(Of))}]",
        JsonValueKind.String => Quoted(value.GetString()!),
        JsonValueKind.Number when value.TryGetDecimal(out decimal number) => (number / 1.0000000000000000000000000000m).ToString(CultureInfo.InvariantCulture),
        JsonValueKind.Number => value.GetDouble().ToString("R", CultureInfo.InvariantCulture),
        _ => value.ValueKind.ToString(),
    };

    // Its length tells where it ends.
    private static string Quoted(string text) => $"{text.Length}\"{text}";
}
