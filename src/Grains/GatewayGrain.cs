using System.Runtime.CompilerServices;
using Conclave.Engine;
using Orleans;
using Orleans.Concurrency;
using Orleans.Runtime;

namespace Conclave.Grains;

/// <summary>One rank's front; many sequences stream through it at once.</summary>
[SiloPlacement, Reentrant]
public sealed class GatewayGrain(Rank rank, ILocalSiloDetails silo) : Grain, IGatewayGrain
{
    /// <inheritdoc/>
    public async IAsyncEnumerable<TokenChunk> Generate(GenerateCommand command, [EnumeratorCancellation] CancellationToken cancellationToken)
    {
        var attention = GrainFactory.GetGrain<IAttentionGrain>(SiloKey.Sequence(command.SequenceId, silo.SiloAddress.ToParsableString()));
        await attention.Open(command);
        try
        {
            Sequence sequence = rank.Find(command.SequenceId);
            int position = 0;
            TokenChunk chunk;
            do
            {
                chunk = await NextChunk(sequence, position, command.TopLogprobs >= 0, cancellationToken);
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
        EngineStatus status = rank.Engine.Status;
        return Task.FromResult(new RankStatus
        {
            Running = status.Running,
            Waiting = status.Waiting,
            PagesInUse = status.PagesInUse,
            PagesTotal = status.PagesTotal,
            PromptTokens = status.PromptTokens,
            GeneratedTokens = status.GeneratedTokens,
            Fault = status.Fault?.Message,
        });
    }

    /// <summary>Waits for tokens and takes all that are ready, so that a slow reader costs fewer messages rather than a longer queue.</summary>
    private static async Task<TokenChunk> NextChunk(Sequence sequence, int position, bool logprobs, CancellationToken cancellationToken)
    {
        try
        {
            bool more = await sequence.WaitToReadAsync(cancellationToken);
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

            return new TokenChunk
            {
                Position = position,
                Ids = [.. ids],
                Logprobs = logprobs ? [.. chosen] : null,
                TopIds = logprobs ? [.. top.Select(t => t.Select(a => a.Id).ToArray())] : null,
                TopIdLogprobs = logprobs ? [.. top.Select(t => t.Select(a => a.Logprob).ToArray())] : null,
                CachedTokens = sequence.CachedTokens,
                FinishCode = more ? 0 : (int)sequence.FinishReason,
            };
        }
        catch (OperatingException e)
        {
            throw new ClusterException(e.Error, e.Message);
        }
    }
}
