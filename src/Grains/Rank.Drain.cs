using Conclave.Engine;
using Conclave.Grains.Migration;
using Conclave.Grains.Transport;
using Conclave.Model;
using Microsoft.Extensions.Logging;

namespace Conclave.Grains;

/// <summary>Handing sequences over.</summary>
public sealed partial class Rank
{
    private static readonly TimeSpan DrainPoll = TimeSpan.FromMilliseconds(10);

    /// <summary>How long gateways get to fetch the ends of streams when the grace time is over.</summary>
    private static readonly TimeSpan LastWords = TimeSpan.FromSeconds(2);

    /// <summary>
    /// Takes no new sequences from now on and hands over those it has: each is stopped between two steps, its KV pages go to one of
    /// <paramref name="targets"/>, and its stream ends with <see cref="FinishReason.Moved"/>. Where no target has room the sequence is computed anew by
    /// whoever the gateway picks; without any target, sequences may end by themselves within the grace time. Returns when none is left.
    /// </summary>
    /// <param name="targets">Silos of other ranks, parsable addresses; sequences are dealt out to them in turn.</param>
    /// <param name="graceTime">After this long what is still open ends as moved to anywhere.</param>
    /// <param name="cancellationToken">Ends the grace time early.</param>
    /// <returns>Sequences handed over with their pages, and all others that were open when it began.</returns>
    public async Task<(int Sent, int Others)> DrainAsync(IReadOnlyList<string> targets, TimeSpan graceTime, CancellationToken cancellationToken)
    {
        _isDraining = true;
        if (_receiver is { } receiver) receiver.IsOpen = false;
        using var grace = new CancellationTokenSource(graceTime, _clock);
        using var end = CancellationTokenSource.CreateLinkedTokenSource(grace.Token, cancellationToken);
        int open = _sequences.Count, sent = 0;
        if (targets.Count > 0) sent = await HandOverAsync(targets, end.Token);
        await EmptyAsync(end.Token);

        // Time is up: whoever reads them goes on elsewhere.
        foreach (OpenSequence late in _sequences.Values) late.Sequence.LetGo();
        using var lastWords = new CancellationTokenSource(LastWords, _clock);
        await EmptyAsync(lastWords.Token);
        return (sent, Math.Max(0, open - sent));
    }

    /// <summary>All open sequences, those that only wait first: they cost nothing to move, and must not take the places of those that leave.</summary>
    private async Task<int> HandOverAsync(IReadOnlyList<string> targets, CancellationToken cancellationToken)
    {
        int sent = 0;
        // A look at the queue and the step loop take turns; one that joins the batch meanwhile is moved with the pages it has by then.
        KeyValuePair<Guid, OpenSequence>[] all = [.. _sequences.OrderBy(pair => pair.Value.Sequence.HasPages)];
        var queues = targets.Select((target, i) => (Target: target, Share: all.Where((_, j) => j % targets.Count == i)));
        await Task.WhenAll(queues.Select(queue => Task.Run(
            async () =>
            {
                foreach ((Guid id, OpenSequence open) in queue.Share)
                    if (await MoveAsync(id, open, queue.Target, cancellationToken)) Interlocked.Increment(ref sent);
            },
            CancellationToken.None)));
        return sent;
    }

    /// <summary>Moves one sequence; true if its pages went along. The others compute on meanwhile.</summary>
    private async Task<bool> MoveAsync(Guid id, OpenSequence open, string target, CancellationToken cancellationToken)
    {
        Task<SequenceExport?> exporting = Engine.ExportAsync(open.Sequence);
        await ((Task)exporting).WaitAsync(cancellationToken).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        if (!exporting.IsCompleted)
        {
            // The step hangs. Should it ever end, nobody wants the pages any more.
            _ = DropAsync(exporting);
            return false;
        }

        using SequenceExport? export = await exporting;
        if (export is null) return false;
        string? failure = await SendAsync(id, export, target);
        // Set before the export's end ends the stream.
        open.MovedTo = failure is null ? target : null;
        if (failure is null) LogMoved(id, export.TokenIds.Length, target);
        else LogNotMoved(id, target, failure);
        return failure is null;
    }

    /// <summary>Null if the target has the pages; else why not. Sending blocks a thread of its own.</summary>
    private async Task<string?> SendAsync(Guid id, SequenceExport export, string target)
    {
        if (_sender is not { } sender) return "there is no transport";
        try
        {
            if (_experts.FindPeer(target) is not { } peer) return "no transport reaches it";
            return await Task.Factory.StartNew(() => sender.Send(id, export, peer), CancellationToken.None, TaskCreationOptions.LongRunning, TaskScheduler.Default);
        }
        catch (Exception e)
        {
            // Whatever went wrong with the pages, the sequence itself is safe: it can be computed anew.
            return e.Message;
        }
    }

    private static async Task DropAsync(Task<SequenceExport?> exporting) => (await exporting)?.Dispose();

    private async Task EmptyAsync(CancellationToken cancellationToken)
    {
        while (!_sequences.IsEmpty && !cancellationToken.IsCancellationRequested)
            await Task.Delay(DrainPoll, _clock, CancellationToken.None);
    }

    /// <summary>Makes itself known to other ranks.</summary>
    private void Receive(TensorTransport transport, Engine.Engine engine, KvLayout layout)
    {
        _sender = new KvSender(layout, TimeSpan.FromMilliseconds(Options.ParkMs));
        _receiver = new KvReceiver(engine, layout, TimeSpan.FromMilliseconds(Options.ParkMs), _clock) { IsOpen = !_isDraining };
        foreach (ushort kind in KvFrame.Kinds) transport.Handle(kind, _receiver);
    }

    [LoggerMessage(Level = LogLevel.Information, Message = "sequence {SequenceId} moved with the pages of {Tokens} tokens to silo {Target}")]
    private partial void LogMoved(Guid sequenceId, int tokens, string target);

    [LoggerMessage(Level = LogLevel.Information, Message = "sequence {SequenceId} leaves without its pages, silo {Target} does not take them: {Reason}")]
    private partial void LogNotMoved(Guid sequenceId, string target, string reason);
}
