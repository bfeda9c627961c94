using Conclave.Cli.Admin;
using Conclave.Engine;
using Conclave.Grains;
using Orleans;
using Orleans.Runtime;

namespace Conclave.Cli.Commands.Bench;

/// <summary>A steady number of sequences that decode on each rank, through its grain: one that ends is followed by another.</summary>
internal sealed class RebalanceLoad(AdminClient cluster, string[] ranks, int sequences, int maxTokens)
{
    private const int PromptTokens = 8;
    private int _next;

    /// <summary>Runs until <paramref name="enough"/> is cancelled.</summary>
    /// <exception cref="ClusterException">A rank refused or lost a sequence.</exception>
    public Task Run(CancellationToken enough) => Task.WhenAll(Enumerable.Range(0, sequences).Select(place => Work(place, enough)));

    private async Task Work(int place, CancellationToken enough)
    {
        try
        {
            while (!enough.IsCancellationRequested)
            {
                int number = Interlocked.Increment(ref _next);
                var command = new Grains.GenerateCommand
                {
                    SequenceId = Guid.NewGuid(),
                    PromptIds = [.. Enumerable.Range(0, PromptTokens).Select(i => 2 + (((number * 31) + (i * 7)) % 200))],
                    MaxTokens = maxTokens,
                    StopTokenIds = [],
                    Temperature = 1,
                    Seed = (ulong)number,
                };
                IAsyncEnumerable<TokenChunk> chunks = cluster.Rank(ranks[place % ranks.Length]).Generate(command, enough).WithBatchSize(1);
                await foreach (TokenChunk chunk in chunks.WithCancellation(enough))
                {
                    // The steps are timed where they run.
                    if (chunk.FinishReason == FinishReason.Moved) throw new InvalidOperationException("a rank drains in the middle of the measurement");
                }
            }
        }
        catch (OperationCanceledException) when (enough.IsCancellationRequested)
        {
            // The measurement is over.
            return;
        }
    }
}
