namespace Conclave.Gateway.Completions;

/// <summary>Adds up what the choices of one request cost.</summary>
/// <param name="choiceCount">How many there are.</param>
internal sealed class UsageTally(int choiceCount)
{
    private int _ended;
    private CompletionUsage? _total;

    public int ChoiceCount { get; } = choiceCount;

    /// <summary>
    /// One choice has ended: the whole request's usage if it was the last, else null. The prompt counts once, and as cached what the choice that came first found.
    /// </summary>
    public CompletionUsage? Add(CompletionUsage usage)
    {
        _total = _total is null ? usage : _total with
        {
            CompletionTokens = _total.CompletionTokens + usage.CompletionTokens,
            ReasoningTokens = _total.ReasoningTokens + usage.ReasoningTokens,
            CachedTokens = Math.Min(_total.CachedTokens, usage.CachedTokens),
        };
        return ++_ended == ChoiceCount ? _total : null;
    }
}
