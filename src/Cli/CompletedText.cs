using System.Text;
using Conclave.Gateway.Completions;
using Conclave.Model.Chat;

namespace Conclave.Cli;

/// <summary>A completion read to its end.</summary>
/// <param name="Reasoning">All reasoning.</param>
/// <param name="Content">All content.</param>
/// <param name="Calls">Tool calls.</param>
/// <param name="End">Why it ended.</param>
/// <param name="Usage">What it cost.</param>
internal sealed record CompletedText(string Reasoning, string Content, IReadOnlyList<ChatDelta> Calls, CompletionEnd End, CompletionUsage Usage)
{
    public static async Task<CompletedText> Collect(CompletionRunner runner, CompletionRequest request, CancellationToken cancellationToken)
    {
        var (reasoning, content, calls) = (new StringBuilder(), new StringBuilder(), new List<ChatDelta>());
        CompletionEvent.Finished? finished = null;
        await foreach (CompletionEvent happened in runner.Run(request, cancellationToken))
        {
            finished = happened as CompletionEvent.Finished;
            foreach (ChatDelta delta in (happened as CompletionEvent.Progress)?.Deltas ?? [])
                if (delta.Kind == ChatDeltaKind.ToolCall) calls.Add(delta);
                else (delta.Kind == ChatDeltaKind.Reasoning ? reasoning : content).Append(delta.Text);
        }

        return new CompletedText(reasoning.ToString(), content.ToString(), calls, finished!.End, finished.Usage);
    }
}
