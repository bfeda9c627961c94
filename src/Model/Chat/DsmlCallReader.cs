using System.Text;

namespace Conclave.Model.Chat;

/// <summary>Reads the tool calls of v3.2: invoke elements with one element a parameter.</summary>
internal sealed class DsmlCallReader : CallReader
{
    private const string NameEnd = "\">";
    private const string StringAttribute = "\" string=\"true\">";
    private const string JsonAttribute = "\" string=\"false\">";

    private readonly StringBuilder _arguments = new();
    private readonly HashSet<string> _names = new(StringComparer.Ordinal);
    private Inside _inside;
    private string _function = "";

    private enum Inside
    {
        Block,
        InvokeTag,
        Invoke,
        Parameter,
    }

    public override Found Next(out ParsedToolCall? call)
    {
        call = null;
        while (true)
        {
            var found = _inside switch
            {
                Inside.Block => ReadBlock(),
                Inside.InvokeTag => ReadInvokeTag(),
                Inside.Invoke => ReadInvoke(out call),
                _ => ReadParameter(),
            };
            if (found is { } result) return result;
        }
    }

    private Found? ReadBlock()
    {
        SkipWhiteSpace();
        if (TryPass(Markers.DsmlCallsEnd)) return Found.End;
        if (!TryPass(Markers.DsmlInvokeBegin))
        {
            return MayBecome(Markers.DsmlInvokeBegin) || MayBecome(Markers.DsmlCallsEnd) ? Found.Unfinished : Found.Malformed;
        }

        _inside = Inside.InvokeTag;
        return null;
    }

    private Found? ReadInvokeTag()
    {
        if (TakeUntil(NameEnd) is not { } name) return Found.Unfinished;
        // A tag that was never closed would otherwise take in the next one.
        if (string.IsNullOrWhiteSpace(name) || name.Contains('<', StringComparison.Ordinal)) return Found.Malformed;
        _function = name;
        _arguments.Clear().Append('{');
        _names.Clear();
        _inside = Inside.Invoke;
        return null;
    }

    private Found? ReadInvoke(out ParsedToolCall? call)
    {
        call = null;
        SkipWhiteSpace();
        if (TryPass(Markers.DsmlInvokeEnd))
        {
            call = new ParsedToolCall(_function, _arguments.Append('}').ToString());
            _inside = Inside.Block;
            return Found.Call;
        }

        if (!TryPass(Markers.DsmlParameterBegin))
        {
            return MayBecome(Markers.DsmlParameterBegin) || MayBecome(Markers.DsmlInvokeEnd) ? Found.Unfinished : Found.Malformed;
        }

        _inside = Inside.Parameter;
        return null;
    }

    private Found? ReadParameter()
    {
        if (TakeUntil(Markers.DsmlParameterEnd) is not { } parameter) return Found.Unfinished;
        _inside = Inside.Invoke;
        var isString = true;
        var nameEnd = parameter.IndexOf(NameEnd, StringComparison.Ordinal);
        if (nameEnd < 0) return Found.Malformed;
        var head = parameter.AsSpan(0, nameEnd + NameEnd.Length);
        if (head.EndsWith(JsonAttribute, StringComparison.Ordinal)) isString = false;
        else if (!head.EndsWith(StringAttribute, StringComparison.Ordinal)) return Found.Malformed;

        var name = head[..^(isString ? StringAttribute : JsonAttribute).Length].ToString();
        if (!_names.Add(name)) return Found.Malformed;
        if (_names.Count > 1) _arguments.Append(", ");
        PythonJson.WriteString(_arguments, name);
        _arguments.Append(": ");
        WriteValue(parameter[head.Length..], isString);
        return null;
    }

    private void WriteValue(string value, bool isString)
    {
        if (!isString && PythonJson.TryParse(value) is not null) _arguments.Append(value.AsSpan().Trim());
        else PythonJson.WriteString(_arguments, value);
    }
}
