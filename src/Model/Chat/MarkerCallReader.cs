namespace Conclave.Model.Chat;

/// <summary>Reads the tool calls of v3 (with the type before the name and a fence around the arguments) and v3.1 (without).</summary>
internal sealed class MarkerCallReader(bool typedAndFenced) : CallReader
{
    private const string FunctionType = "function";
    private const string Fence = "```";
    private const string FenceLanguage = "json";

    private bool _insideCall;

    public override Found Next(out ParsedToolCall? call)
    {
        call = null;
        if (!_insideCall)
        {
            SkipWhiteSpace();
            if (TryPass(Markers.CallsEnd)) return Found.End;
            if (!TryPass(Markers.CallBegin)) return MayBecome(Markers.CallBegin) || MayBecome(Markers.CallsEnd) ? Found.Unfinished : Found.Malformed;
            _insideCall = true;
        }

        if (TakeUntil(Markers.CallEnd) is not { } body) return Found.Unfinished;
        _insideCall = false;
        call = typedAndFenced ? ParseTypedAndFenced(body) : ParsePlain(body);
        return call is null ? Found.Malformed : Found.Call;
    }

    private static ParsedToolCall? ParsePlain(string body)
    {
        var separator = body.IndexOf(Markers.CallSeparator, StringComparison.Ordinal);
        return separator < 0 ? null : MakeCall(body[..separator], body[(separator + Markers.CallSeparator.Length)..]);
    }

    private static ParsedToolCall? ParseTypedAndFenced(string body)
    {
        var separator = body.IndexOf(Markers.CallSeparator, StringComparison.Ordinal);
        if (separator < 0 || body[..separator].Trim() != FunctionType) return null;
        var call = body[(separator + Markers.CallSeparator.Length)..];
        var nameEnd = call.IndexOf('\n', StringComparison.Ordinal);
        return nameEnd < 0 ? MakeCall(call, "") : MakeCall(call[..nameEnd], WithoutFence(call[nameEnd..].Trim()));
    }

    private static string WithoutFence(string arguments)
    {
        if (!arguments.StartsWith(Fence, StringComparison.Ordinal)) return arguments;
        arguments = arguments[Fence.Length..];
        if (arguments.StartsWith(FenceLanguage, StringComparison.Ordinal)) arguments = arguments[FenceLanguage.Length..];
        return arguments.EndsWith(Fence, StringComparison.Ordinal) ? arguments[..^Fence.Length] : arguments;
    }

    private static ParsedToolCall? MakeCall(string name, string arguments)
    {
        name = name.Trim();
        return name.Length > 0 && ObjectText(arguments.Trim()) is { } text ? new ParsedToolCall(name, text) : null;
    }
}
