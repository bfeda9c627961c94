using System.Text;
using System.Text.Json;
using System.Text.RegularExpressions;
using Conclave.Model.Chat;

namespace Conclave.Model.Tests.Chat;

/// <summary>
/// The parsing rules once more, written for whole texts with searches and regular expressions: what the streaming parser is compared with.
/// </summary>
internal static class PlainParser
{
    private const string Eos = "<｜end▁of▁sentence｜>";

    public static ParsedMessage Parse(ChatFormat format, bool thinking, bool tools, string text, string[] stops)
    {
        text = text.Split(Eos)[0];
        string? reasoning = null;
        if (thinking && format.SupportsThinking)
        {
            if (text.StartsWith("<think>", StringComparison.Ordinal)) text = text["<think>".Length..];
            var parts = text.Split("</think>", 2);
            reasoning = parts[0];
            text = parts.Length > 1 ? parts[1] : "";
        }

        var isV32 = format.Family == ChatFamily.V32;
        var opener = isV32 ? "<｜DSML｜function_calls>" : "<｜tool▁calls▁begin｜>";
        var block = tools ? text.IndexOf(opener, StringComparison.Ordinal) : -1;
        var begin = isV32 && block >= 2 && text[..block].EndsWith("\n\n", StringComparison.Ordinal) ? block - 2 : block;
        var stop = FindStop(text, block < 0 ? text.Length : block + opener.Length, stops);
        if (stop is { } early && (block < 0 || early.Begin < begin)) return Cut(reasoning, text, early);
        if (block < 0) return new ParsedMessage(reasoning, text, [], null);

        var (calls, ended) = ReadCalls(format.Family, text[(block + opener.Length)..]);
        if (calls.Count > 0 || ended) return new ParsedMessage(reasoning, text[..begin], calls, null);
        // Given back as content: only now do stop strings see the block.
        if (FindStop(text[begin..], text.Length - begin, stops) is not { } late) return new ParsedMessage(reasoning, text, [], null);
        return Cut(reasoning, text, (begin + late.Begin, late.Length));
    }

    private static ParsedMessage Cut(string? reasoning, string text, (int Begin, int Length) stop) =>
        new(reasoning, text[..stop.Begin], [], text.Substring(stop.Begin, stop.Length));

    private static (int Begin, int Length)? FindStop(string text, int limit, string[] stops)
    {
        for (var end = 1; end <= limit; end++)
        {
            var match = stops.Where(stop => stop.Length > 0 && text[..end].EndsWith(stop, StringComparison.Ordinal)).MaxBy(stop => stop.Length);
            if (match is not null) return (end - match.Length, match.Length);
        }

        return null;
    }

    private static (List<ParsedToolCall> Calls, bool Ended) ReadCalls(ChatFamily family, string block)
    {
        var calls = new List<ParsedToolCall>();
        var end = family == ChatFamily.V32 ? "</｜DSML｜function_calls>" : "<｜tool▁calls▁end｜>";
        var pattern = family == ChatFamily.V32
            ? """^<｜DSML｜invoke name="([^<]*?)">((?:\s*<｜DSML｜parameter name=".*?</｜DSML｜parameter>)*)\s*</｜DSML｜invoke>"""
            : "^<｜tool▁call▁begin｜>(.*?)<｜tool▁call▁end｜>";
        while (true)
        {
            block = block.TrimStart();
            if (block.StartsWith(end, StringComparison.Ordinal)) return (calls, true);
            var match = Regex.Match(block, pattern, RegexOptions.Singleline);
            if (!match.Success) return (calls, false);
            var call = family switch
            {
                ChatFamily.V3 => ReadTyped(match.Groups[1].Value),
                ChatFamily.V31 => ReadPlain(match.Groups[1].Value),
                _ => ReadInvoke(match.Groups[1].Value, match.Groups[2].Value),
            };
            if (call is null) return (calls, false);
            calls.Add(call);
            block = block[match.Length..];
        }
    }

    private static ParsedToolCall? ReadPlain(string body)
    {
        var match = Regex.Match(body, "^(.*?)<｜tool▁sep｜>(.*)$", RegexOptions.Singleline);
        return match.Success ? Make(match.Groups[1].Value, match.Groups[2].Value) : null;
    }

    private static ParsedToolCall? ReadTyped(string body)
    {
        var match = Regex.Match(body, @"^\s*function\s*<｜tool▁sep｜>([^\n]*)(.*)$", RegexOptions.Singleline);
        var arguments = Regex.Match(match.Groups[2].Value.Trim(), @"^(?:```(?:json)?)?(.*?)(?<fence>```)?$", RegexOptions.Singleline);
        var isFenced = arguments.Value.StartsWith("```", StringComparison.Ordinal);
        var inner = isFenced ? arguments.Groups[1].Value : arguments.Value;
        return match.Success ? Make(match.Groups[1].Value, inner) : null;
    }

    private static ParsedToolCall? Make(string name, string arguments)
    {
        arguments = arguments.Trim().Length == 0 ? "{}" : arguments.Trim();
        return name.Trim().Length > 0 && Json(arguments)?.ValueKind == JsonValueKind.Object ? new ParsedToolCall(name.Trim(), arguments) : null;
    }

    private static ParsedToolCall? ReadInvoke(string name, string parameters)
    {
        if (name.Trim().Length == 0) return null;
        var arguments = new StringBuilder();
        var names = new HashSet<string>();
        foreach (var parameter in parameters.Split("</｜DSML｜parameter>")[..^1])
        {
            var match = Regex.Match(parameter, """^\s*<｜DSML｜parameter name="(?<name>(?:(?!">).)*?)" string="(?<kind>true|false)">(?<value>.*)$""", RegexOptions.Singleline);
            if (!match.Success || !names.Add(match.Groups["name"].Value)) return null;
            var value = match.Groups["value"].Value;
            arguments.Append(names.Count > 1 ? ", " : "");
            PythonJson.WriteString(arguments, match.Groups["name"].Value);
            arguments.Append(": ");
            if (match.Groups["kind"].Value == "false" && Json(value) is not null) arguments.Append(value.Trim());
            else PythonJson.WriteString(arguments, value);
        }

        return new ParsedToolCall(name, $"{{{arguments}}}");
    }

    private static JsonElement? Json(string text)
    {
        try
        {
            return JsonElement.Parse(text);
        }
        catch (JsonException)
        {
            return null;
        }
    }
}
