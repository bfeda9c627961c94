using System.Threading.Channels;
using Conclave.Engine;
using Conclave.Grains;
using Microsoft.Extensions.Logging;
using Orleans.Runtime;
using Polly;

namespace Conclave.Gateway.Ranks;

/// <summary>
/// One sequence and its lives on ranks. Each life begins with the prompt and all tokens so far, and is exact: the rank's next token is the next
/// one of the sequence. Chunks of an earlier life cannot come in between, since its stream is not read any more.
/// </summary>
internal sealed partial class ResumableSequence
{
    /// <summary>Faults that are nobody's in particular (a bug, a bad weight) get one more try.</summary>
    private const int MostFaults = 1;

    private readonly GenerateCommand _command;
    private readonly RankDirectory _ranks;
    private readonly FailoverOptions _options;
    private readonly TimeProvider _clock;
    private readonly ILogger _logger;
    private readonly ChannelWriter<RunChunk> _writer;
    private readonly ResiliencePipeline<bool> _policy;
    private readonly List<int> _tokens = [];
    private readonly long _arrived;
    private Guid _id;
    private string? _movedTo;
    private int? _cachedTokens;
    private bool _hasBegun;
    private bool _isStalled;
    private int _faults;

    // When the first of the failures came after which there was no progress; 0 while all is well.
    private long _troubleSince;
    private long _attemptStarted;

    public ResumableSequence(GenerateCommand command, RankDirectory ranks, FailoverOptions options, TimeProvider clock, ILogger logger, ChannelWriter<RunChunk> writer)
    {
        (_command, _ranks, _options, _clock, _logger, _writer, _id) = (command, ranks, options, clock, logger, writer, command.SequenceId);
        _policy = Resilience.Sequence(IsWorthwhile, clock);
        _arrived = clock.GetTimestamp();
    }

    private TimeSpan Patience => TimeSpan.FromMilliseconds(_options.PatienceMs);

    private TimeSpan TroubleAge => _troubleSince == 0 ? TimeSpan.Zero : _clock.GetElapsedTime(_troubleSince);

    /// <summary>Returns when the last chunk is written.</summary>
    public async Task RunAsync(CancellationToken cancellationToken)
    {
        // An attempt that ends well but not with the sequence was handed over to another rank.
        while (!await _policy.ExecuteAsync(async token => await LiveAsync(token), cancellationToken))
        {
        }
    }

    /// <summary>One life: true if the sequence ended, false if another rank took it over.</summary>
    private async Task<bool> LiveAsync(CancellationToken cancellationToken)
    {
        if (_tokens.Count == _command.MaxTokens)
        {
            // The rank was lost between the last token and the word that it was the last.
            Write(new TokenChunk { Position = _tokens.Count, Ids = [], CachedTokens = _cachedTokens ?? 0, FinishCode = (int)FinishReason.Length });
            return true;
        }

        _attemptStarted = _clock.GetTimestamp();
        KnownRank rank = await _ranks.PickAsync(_movedTo, Prefix(), Patience - TroubleAge, cancellationToken);
        _movedTo = null;
        _isStalled = false;
        _attemptStarted = _clock.GetTimestamp();
        var cancel = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        IAsyncEnumerator<TokenChunk> stream = rank.Grain.Generate(NextCommand(), cancel.Token).WithBatchSize(1).GetAsyncEnumerator(cancel.Token);
        Task<bool>? move = null;
        rank.Enter();
        try
        {
            for (bool isFirst = true; ; isFirst = false)
            {
                move = stream.MoveNextAsync().AsTask();
                // The first answer may have to wait for a grain to be made and code to be compiled.
                int silenceMs = isFirst ? 2 * _options.SilenceMs : _options.SilenceMs;
                if (!await Hearing.Hears(move, silenceMs, _clock)) throw new TimeoutException($"silo {rank.Silo} has been silent for {silenceMs} ms");
                if (!await move) throw new EnumerationAbortedException($"silo {rank.Silo} ended the stream without a reason");
                if (isFirst) Begin(rank);
                if (Read(stream.Current) is not { } ended) continue;
                // A rank that hands one sequence over is draining and takes no other.
                if (!ended) _ranks.Report(rank);
                // The next turn of a conversation begins with this one's answer.
                else _ranks.Note(rank, Prefix());
                return ended;
            }
        }
        catch (Exception e) when (!cancellationToken.IsCancellationRequested && Resilience.MayResume(e, _hasBegun))
        {
            _ranks.Report(rank);
            // The next life may find what this one has computed, which saved nothing.
            if (_hasBegun || e is TimeoutException) _cachedTokens ??= 0;
            LogLost(_command.SequenceId, rank.Silo, _tokens.Count, e.Message);
            throw;
        }
        finally
        {
            rank.Leave();
            // A dead silo takes as long to close a stream as to answer: nobody waits for it.
            _ = CloseAsync(stream, move, cancel);
        }
    }

    private ulong[] Prefix() => PrefixHints.Blocks(_command.CacheScope, [.. _command.PromptIds, .. _tokens]);

    private GenerateCommand NextCommand() => _command with
    {
        SequenceId = _id,
        PromptIds = [.. _command.PromptIds, .. _tokens],
        ResumedCount = _command.ResumedCount + _tokens.Count,
        Deadline = TimeLeft(),
    };

    /// <summary>What the lives before have left of the deadline.</summary>
    private TimeSpan? TimeLeft()
    {
        if (_command.Deadline is not { } deadline) return null;
        TimeSpan left = deadline - _clock.GetElapsedTime(_arrived);
        return left > TimeSpan.Zero
            ? left
            : throw new OperatingException(OperatingError.DeadlineExceeded, $"the request was not finished within its time limit of {deadline.TotalSeconds:0.###} s");
    }

    /// <summary>A rank has the sequence.</summary>
    private void Begin(KnownRank rank)
    {
        if (_hasBegun) LogResumed(_command.SequenceId, rank.Silo, _tokens.Count);
        _hasBegun = true;
        _writer.TryWrite(new RunChunk(null));
    }

    /// <summary>Takes a chunk: null if more will come, else as <see cref="LiveAsync"/>.</summary>
    private bool? Read(TokenChunk chunk)
    {
        if (chunk.Position != _command.ResumedCount + _tokens.Count)
            throw new OperatingException(OperatingError.Internal, $"the rank sent token {chunk.Position} where {_command.ResumedCount + _tokens.Count} was due");
        if (chunk.Ids.Length > 0)
        {
            _tokens.AddRange(chunk.Ids);
            _troubleSince = 0;
            // What the prompt's prefix saved is told once: later lives find their own former pages.
            _cachedTokens ??= chunk.CachedTokens;
        }

        if (chunk.IsStalled != _isStalled) Stall(chunk.IsStalled);
        if (_isStalled && TroubleAge >= Patience)
            throw new OperatingException(OperatingError.Unavailable, $"no silo has brought this request forward for {Patience.TotalSeconds:F0} s; try again shortly");
        if (chunk.FinishReason is FinishReason.Cancelled or FinishReason.Failed)
            throw new OperatingException(OperatingError.Unavailable, "the rank gave this sequence up; try again");
        bool isMoved = chunk.FinishReason == FinishReason.Moved;
        bool isEnd = chunk.FinishReason != FinishReason.None && !isMoved;
        if (chunk.Ids.Length > 0 || isEnd)
            Write(chunk with { CachedTokens = _cachedTokens ?? chunk.CachedTokens, FinishCode = isMoved ? 0 : chunk.FinishCode, MovedTo = null });
        if (!isMoved) return isEnd ? true : null;
        _movedTo = chunk.MovedTo;
        // Under its id its pages wait at the new rank. Elsewhere a fresh id, which cannot meet a former life that has not ended yet.
        if (_movedTo is null) _id = Guid.NewGuid();
        LogMoved(_command.SequenceId, _movedTo ?? "any other rank", _tokens.Count);
        return false;
    }

    /// <summary>
    /// The rank says that its step hangs, or does so no more. Patience runs while it does, as if the rank had failed; a step that ends after all, of a long prompt say, has brought the sequence forward.
    /// </summary>
    private void Stall(bool isStalled)
    {
        _isStalled = isStalled;
        if (!isStalled) _troubleSince = 0;
        else if (_troubleSince == 0) _troubleSince = _clock.GetTimestamp();
        _writer.TryWrite(new RunChunk(null, IsWaiting: isStalled));
    }

    private void Write(TokenChunk chunk) => _writer.TryWrite(new RunChunk(chunk));

    private bool IsWorthwhile(Exception failure)
    {
        bool mayResume = Resilience.MayResume(failure, _hasBegun) || (failure is ClusterException { Error: OperatingError.Internal } && _faults++ < MostFaults);
        if (!mayResume) return false;
        // An attempt that went well for a long time (in a queue, say) starts the count anew.
        bool wentWell = !_isStalled && _clock.GetElapsedTime(_attemptStarted) > Patience;
        if (_troubleSince == 0 || wentWell) _troubleSince = _clock.GetTimestamp();
        else if (TroubleAge >= Patience) return false;
        _id = Guid.NewGuid();
        _writer.TryWrite(new RunChunk(null, IsWaiting: true));
        return true;
    }

    private async Task CloseAsync(IAsyncEnumerator<TokenChunk> stream, Task<bool>? move, CancellationTokenSource cancel)
    {
        try
        {
            await cancel.CancelAsync();
            // An enumerator may not be disposed while it moves.
            if (move is not null) await ((Task)move).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            await stream.DisposeAsync();
        }
        catch (Exception e)
        {
            LogNotClosed(e.Message);
        }
        finally
        {
            cancel.Dispose();
        }
    }

    [LoggerMessage(Level = LogLevel.Warning, Message = "sequence {SequenceId} lost silo {Silo} after {Tokens} tokens and is resumed: {Reason}")]
    private partial void LogLost(Guid sequenceId, string silo, int tokens, string reason);

    [LoggerMessage(Level = LogLevel.Information, Message = "sequence {SequenceId} goes on at silo {Silo} after {Tokens} tokens")]
    private partial void LogResumed(Guid sequenceId, string silo, int tokens);

    [LoggerMessage(Level = LogLevel.Information, Message = "sequence {SequenceId} moves to {Silo} after {Tokens} tokens")]
    private partial void LogMoved(Guid sequenceId, string silo, int tokens);

    [LoggerMessage(Level = LogLevel.Debug, Message = "a stream that is over could not be closed: {Reason}")]
    private partial void LogNotClosed(string reason);
}
