namespace Conclave.Engine.Scheduling;

/// <summary>What one key has been served.</summary>
internal sealed class FairAccount(string key)
{
    /// <summary>Whose it is.</summary>
    public string Key { get; } = key;

    /// <summary>Virtual counter: service in <see cref="FairShare.PromptWeight"/> and <see cref="FairShare.OutputWeight"/>, lifted after pauses.</summary>
    public long Served { get; set; }

    /// <summary>Sequences that wait.</summary>
    public int Waiting { get; set; }

    /// <summary>Sequences that wait or run.</summary>
    public int Open { get; set; }
}

/// <summary>
/// Virtual token counters (Sheng et al., "Fairness in Serving Large Language Models", OSDI 2024): of the keys that have sequences waiting, the one that was served least goes
/// next. A key that comes back after a pause is lifted to the least of those that wait: nobody saves up a claim while away. Two keys that have sequences waiting all the
/// time are never further apart than twice the most that one sequence, or the whole batch, costs. Not thread-safe.
/// </summary>
internal sealed class FairShare
{
    /// <summary>Cost of a prompt token that is computed.</summary>
    public const int PromptWeight = 1;

    /// <summary>Cost of a generated token: it has a step to itself, where prompt tokens share one.</summary>
    public const int OutputWeight = 2;

    // Keys without sequences that are owed nothing by them are forgotten at once; the others when there are more than this.
    private const int MaxIdleAccounts = 4096;

    private readonly Dictionary<string, FairAccount> _accounts = new(StringComparer.Ordinal);
    private readonly List<FairAccount> _waiting = [];
    private FairAccount? _lastWaiting;

    /// <summary>Keys that are remembered.</summary>
    public int AccountCount => _accounts.Count;

    /// <summary>A new sequence of <paramref name="key"/>, before it waits.</summary>
    public FairAccount Open(string key)
    {
        if (!_accounts.TryGetValue(key, out FairAccount? account))
            _accounts.Add(key, account = new FairAccount(key));
        if (account.Waiting == 0)
            account.Served = Math.Max(account.Served, Floor());
        account.Open++;
        return account;
    }

    /// <summary>One of its sequences waits now.</summary>
    public void BeginWait(FairAccount account)
    {
        if (account.Waiting++ == 0)
            _waiting.Add(account);
    }

    /// <summary>One of its sequences does not wait any more.</summary>
    public void EndWait(FairAccount account)
    {
        if (--account.Waiting > 0)
            return;
        _waiting.Remove(account);
        _lastWaiting = account;
    }

    /// <summary>Charges a key for tokens that were computed for it. What has to be computed once more, because it gave way to others, is not its affair.</summary>
    public static void Charge(FairAccount account, int promptTokens, int outputTokens) =>
        account.Served += ((long)promptTokens * PromptWeight) + ((long)outputTokens * OutputWeight);

    /// <summary>One of its sequences, which does not wait, is over.</summary>
    public void Close(FairAccount account)
    {
        if (--account.Open > 0)
            return;
        if (account.Served <= Floor())
            _accounts.Remove(account.Key);
        if (_accounts.Count > MaxIdleAccounts)
            ForgetIdle();
    }

    /// <summary>What a key that comes now is lifted to: the least of those that wait; if none does, what the last that did has been served.</summary>
    private long Floor()
    {
        if (_waiting.Count == 0)
            return _lastWaiting?.Served ?? 0;
        long least = long.MaxValue;
        foreach (FairAccount account in _waiting)
            least = Math.Min(least, account.Served);
        return least;
    }

    private void ForgetIdle()
    {
        foreach (FairAccount account in _accounts.Values.Where(account => account.Open == 0).ToArray())
            _accounts.Remove(account.Key);
    }
}
