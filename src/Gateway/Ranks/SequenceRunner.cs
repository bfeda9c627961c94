using System.Runtime.CompilerServices;
using System.Threading.Channels;
using Conclave.Engine;
using Conclave.Grains;
using Microsoft.Extensions.Logging;
using Polly.Bulkhead;

namespace Conclave.Gateway.Ranks;

/// <summary>Runs sequences on ranks, and goes on elsewhere when one of them fails: the reader gets every token once, and in the end no error.</summary>
public sealed class SequenceRunner(RankDirectory ranks, FailoverOptions options, TimeProvider clock, ILogger<SequenceRunner> logger)
{
    private readonly AsyncBulkheadPolicy _completions = Resilience.Completions(options);

    /// <summary>
    /// The tokens of one sequence. The rank is read as fast as it generates, whatever the reader does; ending the enumeration early frees the sequence.
    /// A chunk without tokens that is not the last says how things stand: <see cref="RunChunk.IsWaiting"/>.
    /// </summary>
    /// <exception cref="OperatingException">Nothing that the ranks could do about it, or no rank for too long.</exception>
    internal async IAsyncEnumerable<RunChunk> Run(GenerateCommand command, [EnumeratorCancellation] CancellationToken cancellationToken)
    {
        using var stop = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        // As many elements as tokens at most, nearly: no bound is needed, and a slow client must not keep a rank waiting.
        var chunks = Channel.CreateUnbounded<RunChunk>(new UnboundedChannelOptions { SingleReader = true, SingleWriter = true });
        Task running = Drive(command, chunks.Writer, stop.Token);
        try
        {
            await foreach (RunChunk chunk in chunks.Reader.ReadAllAsync(cancellationToken)) yield return chunk;
        }
        finally
        {
            await stop.CancelAsync();
            await running;
        }
    }

    private async Task Drive(GenerateCommand command, ChannelWriter<RunChunk> writer, CancellationToken cancellationToken)
    {
        try
        {
            var sequence = new ResumableSequence(command, ranks, options, clock, logger, writer);
            await _completions.ExecuteAsync(sequence.RunAsync, cancellationToken);
            writer.TryComplete();
        }
        catch (BulkheadRejectedException e)
        {
            writer.TryComplete(new OperatingException(OperatingError.Overloaded, $"This gateway is overloaded: {options.MaxCompletions} completions are under way. Please retry later.", e));
        }
        catch (Exception e)
        {
            // The reader gets it, if it is still there.
            writer.TryComplete(e);
        }
    }
}

/// <summary>What <see cref="SequenceRunner"/> tells its reader.</summary>
/// <param name="Tokens">Tokens, or the end; null if there is only a change of state to tell.</param>
/// <param name="IsWaiting">No rank has the sequence at the moment.</param>
internal readonly record struct RunChunk(TokenChunk? Tokens, bool IsWaiting = false);
