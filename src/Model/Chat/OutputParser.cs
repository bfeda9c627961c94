using System.Text;

namespace Conclave.Model.Chat;

/// <summary>
/// Takes the model's output apart while it arrives: reasoning, content and tool calls. The result never depends on how the text is cut into pieces,
/// the time is linear in its length, and no text makes it throw.
/// </summary>
/// <remarks>
/// <para>The text passes through stages: the end-of-sequence text cuts everything behind it; reasoning lasts until <c>&lt;/think&gt;</c>; content lasts
/// until the opener of a tool block; the block is read call by call. Each stage holds back the longest tail that could begin what it looks for.</para>
/// <para>A block whose first call is malformed or cut off is content after all, opener included. After a good call the rest is dropped.</para>
/// <para>Stop strings end the content only: a stop string such as <c>```</c> must not end a reply while the model still reasons, nor cut a tool call.
/// The one that ends first counts, the longest of those that end together; a tool block that begins before it, or at the same place, goes first.</para>
/// </remarks>
public sealed class OutputParser
{
    private static readonly PatternSet Nothing = new([]);
    private static readonly PatternSet EndOfSequence = new([Markers.Eos]);
    private static readonly PatternSet EndOfReasoning = new([Markers.ThinkEnd]);
    private static readonly PatternSet OpenerOfV3 = new([Markers.CallsBegin]);
    private static readonly PatternSet OpenerOfV32 = new([Markers.DsmlCallsBegin, "\n\n" + Markers.DsmlCallsBegin]);

    private readonly ChatFamily _family;
    private readonly PatternSet _stops;
    private readonly TextBuffer _beforeEnd = new();
    private readonly TextBuffer _text = new();
    private PatternSet _openers;
    private Stage _stage;
    private int _endState;
    private int _scanned; // characters of _text that the automata have seen
    private int _markerState;
    private int _stopState;
    private (int Begin, int Length)? _waitingStop; // complete, but an opener that began no later may still complete
    private string _opener = "";
    private CallReader? _calls;

    /// <summary>Begins a new output.</summary>
    /// <param name="format">The format that rendered the prompt.</param>
    /// <param name="thinking">Whether the prompt ended inside an open <c>&lt;think&gt;</c>: <see cref="RenderedPrompt.ThinkingOpen"/>.</param>
    /// <param name="toolsOffered">Whether the request offered tools (and did not choose "none"); otherwise tool markers are text.</param>
    /// <param name="stopStrings">Strings that end the content; empty ones are ignored.</param>
    public OutputParser(ChatFormat format, bool thinking, bool toolsOffered, IReadOnlyList<string>? stopStrings = null)
    {
        _family = format.Family;
        _stage = thinking && format.SupportsThinking ? Stage.BeforeReasoning : Stage.Content;
        _openers = !toolsOffered ? Nothing : _family == ChatFamily.V32 ? OpenerOfV32 : OpenerOfV3;
        _stops = stopStrings is { Count: > 0 } ? new PatternSet(stopStrings) : Nothing;
    }

    private enum Stage
    {
        BeforeReasoning,
        Reasoning,
        Content,
        Calls,
        Done,
    }

    /// <summary>The stop string that ended the content; null so far or at all. The caller must then end the generation.</summary>
    public string? StopMatched { get; private set; }

    /// <summary>Number of tool calls emitted so far.</summary>
    public int CallCount { get; private set; }

    /// <summary>Whether what comes next is reasoning, as far as can be told.</summary>
    public bool InReasoning => _stage is Stage.BeforeReasoning or Stage.Reasoning;

    /// <summary>Whether nothing that may still come can change the message, so that the generation may end.</summary>
    public bool IsComplete => _stage == Stage.Done;

    /// <summary>Parses a complete output.</summary>
    public static ParsedMessage Parse(
        ChatFormat format, bool thinking, bool toolsOffered, string text, IReadOnlyList<string>? stopStrings = null)
    {
        var parser = new OutputParser(format, thinking, toolsOffered, stopStrings);
        var deltas = new List<ChatDelta>();
        parser.Push(text, deltas);
        parser.Finish(deltas);

        var (reasoning, content, calls) = (new StringBuilder(), new StringBuilder(), new List<ParsedToolCall>());
        foreach (var delta in deltas)
        {
            if (delta.Kind == ChatDeltaKind.ToolCall) calls.Add(new ParsedToolCall(delta.CallName!, delta.Text));
            else (delta.Kind == ChatDeltaKind.Reasoning ? reasoning : content).Append(delta.Text);
        }

        var isReasoned = thinking && format.SupportsThinking;
        return new ParsedMessage(isReasoned ? reasoning.ToString() : null, content.ToString(), calls, parser.StopMatched);
    }

    /// <summary>Takes in more output text and appends what became certain by it to <paramref name="into"/>.</summary>
    public void Push(string text, List<ChatDelta> into)
    {
        if (IsComplete) return;
        _beforeEnd.Append(text);
        var scanned = _beforeEnd.Length - text.Length;
        foreach (var character in text)
        {
            scanned++;
            _endState = EndOfSequence.Step(_endState, character);
            if (EndOfSequence.MatchLengthAt(_endState) == 0) continue;
            Read(_beforeEnd.Take(scanned - Markers.Eos.Length), into);
            End(into);
            return;
        }

        Read(_beforeEnd.Take(scanned - EndOfSequence.DepthOf(_endState)), into);
    }

    /// <summary>Ends the output: what was held back becomes certain. Nothing may be pushed afterwards.</summary>
    public void Finish(List<ChatDelta> into)
    {
        if (IsComplete) return;
        Read(_beforeEnd.Take(_beforeEnd.Length), into);
        End(into);
    }

    private void Read(ReadOnlySpan<char> text, List<ChatDelta> into)
    {
        if (_stage == Stage.Calls)
        {
            ReadCalls(text, into);
            return;
        }

        if (_stage == Stage.Done) return;
        _text.Append(text);
        if (_stage == Stage.BeforeReasoning) SkipThinkBegin();
        if (_stage == Stage.Reasoning) ReadReasoning(into);
        if (_stage == Stage.Content) ReadContent(into);
    }

    private void End(List<ChatDelta> into)
    {
        if (_stage == Stage.Calls && CallCount == 0) GiveBackBlock(into);
        if (_stage == Stage.Content && _waitingStop is { } stop) Stop(stop, into);
        if (_stage is Stage.BeforeReasoning or Stage.Reasoning) Emit(ChatDeltaKind.Reasoning, _text.Length, into);
        if (_stage == Stage.Content) Emit(ChatDeltaKind.Content, _text.Length, into);
        _stage = Stage.Done;
    }

    /// <summary>Some outputs repeat the opening tag of the prompt.</summary>
    private void SkipThinkBegin()
    {
        if (_text.Text.StartsWith(Markers.ThinkBegin, StringComparison.Ordinal)) _text.Take(Markers.ThinkBegin.Length);
        else if (Markers.ThinkBegin.AsSpan().StartsWith(_text.Text, StringComparison.Ordinal)) return;
        _stage = Stage.Reasoning;
    }

    private void ReadReasoning(List<ChatDelta> into)
    {
        while (_scanned < _text.Length)
        {
            _markerState = EndOfReasoning.Step(_markerState, _text.Text[_scanned++]);
            if (EndOfReasoning.MatchLengthAt(_markerState) == 0) continue;
            Emit(ChatDeltaKind.Reasoning, _scanned - Markers.ThinkEnd.Length, into);
            _text.Take(Markers.ThinkEnd.Length);
            (_scanned, _markerState, _stage) = (0, 0, Stage.Content);
            return;
        }

        EmitCertain(ChatDeltaKind.Reasoning, _scanned - EndOfReasoning.DepthOf(_markerState), into);
    }

    private void ReadContent(List<ChatDelta> into)
    {
        while (_scanned < _text.Length)
        {
            var character = _text.Text[_scanned++];
            _markerState = _openers.Step(_markerState, character);
            _stopState = _stops.Step(_stopState, character);
            var openerLength = _openers.MatchLengthAt(_markerState);
            if (openerLength > 0)
            {
                OpenBlock(_scanned - openerLength, into);
                return;
            }

            var stopLength = _stops.MatchLengthAt(_stopState);
            if (stopLength > 0) _waitingStop ??= (_scanned - stopLength, stopLength);
            if (_waitingStop is not { } stop || stop.Begin >= _scanned - _openers.DepthOf(_markerState)) continue;
            Stop(stop, into);
            return;
        }

        var held = Math.Max(_openers.DepthOf(_markerState), _stops.DepthOf(_stopState));
        EmitCertain(ChatDeltaKind.Content, Math.Min(_scanned - held, _waitingStop?.Begin ?? _scanned), into);
    }

    private void Stop((int Begin, int Length) stop, List<ChatDelta> into)
    {
        Emit(ChatDeltaKind.Content, stop.Begin, into);
        StopMatched = _text.Take(stop.Length);
        _stage = Stage.Done;
    }

    private void OpenBlock(int begin, List<ChatDelta> into)
    {
        Emit(ChatDeltaKind.Content, begin, into);
        _opener = _text.Take(_scanned);
        _calls = _family == ChatFamily.V32 ? new DsmlCallReader() : new MarkerCallReader(typedAndFenced: _family == ChatFamily.V3);
        (_scanned, _stage, _waitingStop) = (0, Stage.Calls, null);
        ReadCalls(_text.Take(_text.Length), into);
    }

    private void ReadCalls(ReadOnlySpan<char> text, List<ChatDelta> into)
    {
        _calls!.Append(text);
        while (true)
        {
            switch (_calls.Next(out var call))
            {
                case CallReader.Found.Call:
                    into.Add(new ChatDelta(ChatDeltaKind.ToolCall, call!.Arguments, CallCount++, call.Name));
                    continue;
                case CallReader.Found.Unfinished:
                    return;
                case CallReader.Found.Malformed when CallCount == 0:
                    GiveBackBlock(into);
                    return;
                default:
                    _stage = Stage.Done;
                    return;
            }
        }
    }

    /// <summary>Without one good call the block is content, opener included, and so is all that follows.</summary>
    private void GiveBackBlock(List<ChatDelta> into)
    {
        _openers = Nothing;
        (_markerState, _stopState, _stage) = (0, 0, Stage.Content);
        _text.Append(_opener);
        _text.Append(_calls!.Text);
        _calls = null;
        ReadContent(into);
    }

    /// <summary>Emits up to <paramref name="length"/> characters, but never the first half of a surrogate pair alone.</summary>
    private void EmitCertain(ChatDeltaKind kind, int length, List<ChatDelta> into)
    {
        if (length > 0 && char.IsHighSurrogate(_text.Text[length - 1])) length--;
        Emit(kind, length, into);
    }

    private void Emit(ChatDeltaKind kind, int length, List<ChatDelta> into)
    {
        if (length <= 0) return;
        into.Add(new ChatDelta(kind, _text.Take(length)));
        _scanned -= length;
        if (_waitingStop is { } stop) _waitingStop = (stop.Begin - length, stop.Length);
    }
}
