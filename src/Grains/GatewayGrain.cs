using System.Runtime.CompilerServices;
using Conclave.Engine;
using Orleans;
using Orleans.Concurrency;
using Orleans.Runtime;

namespace Conclave.Grains;

/// <summary>One rank's front; many sequences stream through it at once.</summary>
[SiloPlacement, Reentrant]
public sealed class GatewayGrain(Rank rank, ILocalSiloDetails silo, TimeProvider clock) : Grain, IGatewayGrain
{
    /// <inheritdoc/>
    public async IAsyncEnumerable<TokenChunk> Generate(GenerateCommand command, [EnumeratorCancellation] CancellationToken cancellationToken)
    {
        var attention = GrainFactory.GetGrain<IAttentionGrain>(SiloKey.Sequence(command.SequenceId, silo.SiloAddress.ToParsableString()));
        await attention.Open(command);
        try
        {
            OpenSequence open = Find(command.SequenceId);
            // Accepted: a gateway need not wait for the first token to know.
            yield return Nothing(command.ResumedCount, command.TopLogprobs >= 0);
            int position = command.ResumedCount;
            Task<bool>? news = null;
            TokenChunk chunk;
            do
            {
                // Each turn of this loop is a read by the gateway; it dies with the gateway.
                open.Touch();
                news ??= open.Sequence.WaitToReadAsync(cancellationToken).AsTask();
                chunk = await Arrives(news, cancellationToken)
                    ? Take(open, await More(news), position, command.TopLogprobs >= 0)
                    : Patience(position, command.TopLogprobs >= 0);
                if (news.IsCompleted) news = null;
                position += chunk.Ids.Length;
                yield return chunk;
            }
            while (chunk.FinishReason == FinishReason.None);
        }
        finally
        {
            await attention.Close();
        }
    }

    /// <inheritdoc/>
    public Task<RankStatus> Status()
    {
        EngineStatus status = Read(() => rank.Engine.Status);
        return Task.FromResult(new RankStatus
        {
            Running = status.Running,
            Waiting = status.Waiting,
            PagesInUse = status.PagesInUse,
            PagesTotal = status.PagesTotal,
            PromptTokens = status.PromptTokens,
            GeneratedTokens = status.GeneratedTokens,
            Fault = rank.Fault,
            IsDraining = rank.IsDraining,
        });
    }

    private OpenSequence Find(Guid sequenceId) => Read(() => rank.Find(sequenceId));

    /// <summary>What travels is only <see cref="ClusterException"/>.</summary>
    private static T Read<T>(Func<T> what)
    {
        try
        {
            return what();
        }
        catch (OperatingException e)
        {
            throw ClusterException.From(e);
        }
    }

    /// <summary>Whether <paramref name="news"/> came before a keep-alive is due.</summary>
    private async Task<bool> Arrives(Task news, CancellationToken cancellationToken)
    {
        if (!news.IsCompleted)
        {
            await news.WaitAsync(TimeSpan.FromMilliseconds(rank.Options.KeepAliveMs), clock, cancellationToken)
                .ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing | ConfigureAwaitOptions.ContinueOnCapturedContext);
        }

        cancellationToken.ThrowIfCancellationRequested();
        return news.IsCompleted;
    }

    /// <summary>Tells the gateway to wait on, unless that is pointless.</summary>
    private TokenChunk Patience(int position, bool logprobs) => rank.Fault is { } fault
        ? throw new ClusterException(OperatingError.Unavailable, fault)
        : Nothing(position, logprobs) with { IsStalled = rank.IsStalled };

    private static TokenChunk Nothing(int position, bool logprobs) => new()
    {
        Position = position,
        Ids = [],
        Logprobs = logprobs ? [] : null,
        TopIds = logprobs ? [] : null,
        TopIdLogprobs = logprobs ? [] : null,
    };

    private static async Task<bool> More(Task<bool> news)
    {
        try
        {
            return await news;
        }
        catch (OperatingException e)
        {
            throw ClusterException.From(e);
        }
    }

    /// <summary>Takes all tokens that are ready, so that a slow reader costs fewer messages rather than a longer queue.</summary>
    private static TokenChunk Take(OpenSequence open, bool more, int position, bool logprobs)
    {
        Sequence sequence = open.Sequence;
        var ids = new List<int>();
        var chosen = new List<float>();
        var top = new List<GeneratedToken[]>();
        while (sequence.TryRead(out GeneratedToken token))
        {
            ids.Add(token.Id);
            if (!logprobs) continue;
            chosen.Add(token.Logprob);
            top.Add(sequence.TopLogprobs.ToArray());
        }

        FinishReason finish = more ? FinishReason.None : sequence.FinishReason;
        return new TokenChunk
        {
            Position = position,
            Ids = [.. ids],
            Logprobs = logprobs ? [.. chosen] : null,
            TopIds = logprobs ? [.. top.Select(t => t.Select(a => a.Id).ToArray())] : null,
            TopIdLogprobs = logprobs ? [.. top.Select(t => t.Select(a => a.Logprob).ToArray())] : null,
            CachedTokens = sequence.CachedTokens,
            FinishCode = (int)finish,
            MovedTo = finish == FinishReason.Moved ? open.MovedTo : null,
        };
    }
}
