namespace Conclave.Engine.Grammars;

/// <summary>
/// The string formats, as expressions. Each is a part of what its standard allows that every validator accepts: dates without 29 February, years 1000 to
/// 2999, addresses and names in lower and upper case ASCII of moderate length. Beside those of the standard, those that Pydantic and zod write.
/// </summary>
internal static class StringFormats
{
    private const string Date = @"[12]\d{3}-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12]\d|3[01])|(?:0[469]|11)-(?:0[1-9]|[12]\d|30)|02-(?:0[1-9]|1\d|2[0-8]))";
    private const string Clock = @"(?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d(?:\.\d{1,6})?";
    private const string Offset = @"(?:Z|[+-](?:0\d|1[0-3]):[0-5]\d)";
    private const string Label = "[A-Za-z0-9](?:[A-Za-z0-9-]{0,30}[A-Za-z0-9])?";
    private const string Host = $@"{Label}(?:\.{Label}){{0,5}}";
    private const string Domain = $@"(?:{Label}\.){{1,4}}[A-Za-z]{{2,12}}";
    private const string Octet = @"(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)";
    private const string Group = "[0-9A-Fa-f]{1,4}";
    private const string UriCharacter = "[A-Za-z0-9._~!$&'()*+,;=:@-]";

    private static readonly Dictionary<string, string> Patterns = new(StringComparer.Ordinal)
    {
        ["date"] = $"^{Date}$",
        ["time"] = $"^{Clock}{Offset}$",
        ["date-time"] = $"^{Date}T{Clock}{Offset}$",
        ["duration"] = @"^P(?:\d{1,4}W|(?:\d{1,4}Y(?:\d{1,4}M(?:\d{1,4}D)?)?|\d{1,4}M(?:\d{1,4}D)?|\d{1,4}D)(?:T(?:\d{1,4}H(?:\d{1,4}M(?:\d{1,4}S)?)?|\d{1,4}M(?:\d{1,4}S)?|\d{1,4}S))?|T(?:\d{1,4}H(?:\d{1,4}M(?:\d{1,4}S)?)?|\d{1,4}M(?:\d{1,4}S)?|\d{1,4}S))$",
        ["uuid"] = "^[0-9A-Fa-f]{8}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{12}$",
        ["email"] = $@"^[A-Za-z0-9_+-]{{1,30}}(?:\.[A-Za-z0-9_+-]{{1,30}}){{0,1}}@{Domain}$",
        ["hostname"] = $"^{Host}$",
        ["ipv4"] = $@"^{Octet}(?:\.{Octet}){{3}}$",
        ["ipv6"] = $"^(?:(?:{Group}:){{7}}{Group}|(?:{Group}:){{1,5}}(?::{Group}){{1,2}}|::(?:{Group}:){{0,5}}{Group})$",
        ["uri"] = $@"^https?://{Host}(?::[1-9]\d{{0,3}})?(?:/{UriCharacter}*)*(?:\?{UriCharacter}*)?(?:#{UriCharacter}*)?$",
        ["json-pointer"] = "^(?:/(?:[^/~]|~[01])*)*$",
        ["relative-json-pointer"] = "^(?:0|[1-9]\\d{0,5})(?:#|(?:/(?:[^/~]|~[01])*)*)$",
        ["regex"] = "^(?:[A-Za-z0-9 _-]|\\\\[dws.])*$",
        ["ulid"] = "^[0-7][0-9A-HJKMNP-TV-Z]{25}$",
        ["nanoid"] = "^[A-Za-z0-9_-]{21}$",
        ["cuid"] = "^c[a-z0-9]{24}$",
        ["cuid2"] = "^[a-z][a-z0-9]{23}$",
        ["base64"] = "^(?:[0-9A-Za-z+/]{4})*(?:[0-9A-Za-z+/][AQgw]==|[0-9A-Za-z+/]{2}[AEIMQUYcgkosw048]=)?$",
        ["base64url"] = "^(?:[0-9A-Za-z_-]{4})*$",
        ["e164"] = @"^\+[1-9]\d{6,14}$",
        ["ipv4network"] = $@"^{Octet}\.0\.0\.0/(?:8|1[0-9]|2[0-9]|3[0-2])$",
        ["cidrv4"] = $@"^{Octet}(?:\.{Octet}){{3}}/(?:[0-9]|[12][0-9]|3[0-2])$",
    };

    // Other names, and those of which a part will do.
    private static readonly Dictionary<string, string> Aliases = new (string Name, string Known)[]
    {
        ("idn-email", "email"), ("name-email", "email"), ("idn-hostname", "hostname"), ("iri", "uri"), ("url", "uri"), ("uri-reference", "uri"), ("iri-reference", "uri"), ("uri-template", "uri"),
        ("ip", "ipv4"), ("ipvanyaddress", "ipv4"), ("ipv4interface", "cidrv4"), ("ipvanyinterface", "cidrv4"), ("ipvanynetwork", "ipv4network"), ("guid", "uuid"), ("timedelta", "duration"),
    }.ToDictionary(alias => alias.Name, alias => alias.Known, StringComparer.Ordinal);

    private static readonly string[] Annotations = ["int32", "int64", "float", "double", "password", "byte", "binary", "decimal", "enum", "text", "string", "textarea", "markdown", "html", "color", "path", "file-path", "directory-path", "json-string"];

    // No text is of two of these, whichever way their standards are read.
    private static readonly string[] Exclusive = ["date", "time", "date-time", "uuid", "email", "ipv4", "ipv6", "uri"];

    /// <summary>Whether no text is of all these formats.</summary>
    public static bool AreExclusive(IReadOnlyList<string> names) => names.Where(name => Exclusive.Contains(name, StringComparer.Ordinal)).Distinct(StringComparer.Ordinal).Count() > 1;

    /// <summary>The names of all, for errors.</summary>
    public static string Names => string.Join(", ", Patterns.Keys);

    /// <summary>The expression of a format; null if it is unknown, or (<paramref name="isAnnotation"/>) demands nothing that a grammar could tell.</summary>
    public static string? Find(string name, out bool isAnnotation)
    {
        isAnnotation = Annotations.Contains(name, StringComparer.Ordinal);
        return Patterns.GetValueOrDefault(Aliases.GetValueOrDefault(name, name));
    }
}
