using System.Text;
using Conclave.Model.Tokenization;

namespace Conclave.Model.Chat;

/// <summary>A prompt, ready to be encoded. It begins with exactly one BOS, so it is encoded without adding another.</summary>
/// <param name="Segments">The prompt in pieces that tell the template's own text from the client's; neighbours differ in kind.</param>
/// <param name="ThinkingOpen">Whether the prompt ends inside an open <c>&lt;think&gt;</c>, so that the model's output begins with reasoning.</param>
public sealed record RenderedPrompt(IReadOnlyList<TextSegment> Segments, bool ThinkingOpen)
{
    /// <summary>The whole prompt.</summary>
    public string Text { get; } = string.Concat(Segments.Select(segment => segment.Text));
}

/// <summary>Collects a prompt piece by piece.</summary>
internal sealed class PromptBuilder
{
    private readonly List<TextSegment> _segments = [];
    private readonly StringBuilder _run = new();
    private bool _runIsTemplate = true;
    private bool _thinkingOpen;

    /// <summary>Adds text of the template, in which markers become tokens.</summary>
    public PromptBuilder Template(string text) => Add(text, isTemplate: true);

    /// <summary>Adds text of the client, in which nothing becomes a marker; null counts as empty.</summary>
    public PromptBuilder Client(string? text) => Add(text ?? "", isTemplate: false);

    /// <summary>Opens the reasoning, or closes it (also where none was open: the formats mark its absence so).</summary>
    public PromptBuilder Think(bool open)
    {
        _thinkingOpen = open;
        return Template(open ? Markers.ThinkBegin : Markers.ThinkEnd);
    }

    public RenderedPrompt Build()
    {
        EndRun();
        return new RenderedPrompt(_segments, _thinkingOpen);
    }

    private PromptBuilder Add(string text, bool isTemplate)
    {
        if (text.Length == 0) return this;
        if (isTemplate != _runIsTemplate) EndRun();
        _runIsTemplate = isTemplate;
        _run.Append(text);
        return this;
    }

    private void EndRun()
    {
        if (_run.Length == 0) return;
        _segments.Add(new TextSegment(_run.ToString(), _runIsTemplate));
        _run.Clear();
    }
}
