using Conclave.Gateway.Completions;
using Conclave.Model.Chat;

namespace Conclave.Gateway.Http;

/// <summary>One choice of a whole answer, as it comes in.</summary>
internal sealed class ChatChoice
{
    public List<ChatDelta> Deltas { get; } = [];

    public List<TokenLogprob> Tokens { get; } = [];

    /// <summary>Null until its last event.</summary>
    public CompletionEvent.Finished? Finished { get; private set; }

    public void Add(CompletionEvent happened)
    {
        Finished = happened as CompletionEvent.Finished;
        if (happened is not CompletionEvent.Progress progress) return;
        Deltas.AddRange(progress.Deltas);
        Tokens.AddRange(progress.Logprobs ?? []);
    }
}
