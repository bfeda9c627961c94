using Conclave.Model;

namespace Conclave.Engine;

/// <summary>Sequences that leave for another engine, and those that come from one.</summary>
public sealed partial class Engine
{
    // All guarded by the gate.
    private readonly List<(Sequence Sequence, TaskCompletionSource<SequenceExport?> Done)> _leaving = [];
    private readonly Dictionary<Guid, ParkedSequence> _parked = [];
    private bool _isStepping;
    private bool _isDisposed;

    // Exports and unfinished imports: their owners read and write pages outside of the gate, so the KV memory outlives them.
    private int _handovers;

    /// <summary>
    /// Takes <paramref name="sequence"/> out between two steps: at once if none is under way. Its stream stays open until the export is disposed. Null
    /// if it has ended, or the engine has.
    /// </summary>
    public Task<SequenceExport?> ExportAsync(Sequence sequence)
    {
        ArgumentNullException.ThrowIfNull(sequence);
        lock (_gate)
        {
            if (!_isStepping || _isClosed)
                return Task.FromResult(Detach(sequence));
            var done = new TaskCompletionSource<SequenceExport?>(TaskCreationOptions.RunContinuationsAsynchronously);
            _leaving.Add((sequence, done));
            return done.Task;
        }
    }

    /// <summary>
    /// Takes pages for a sequence that comes from another engine with the latents of <paramref name="tokenIds"/>. Null if there is no room, in which
    /// case the sequence can only be computed anew.
    /// </summary>
    /// <param name="id">Names it for <see cref="Submit"/>.</param>
    /// <param name="tokenIds">Tokens whose pages will be filled.</param>
    /// <param name="pagesNeeded">Pages to its longest end; it takes those of <paramref name="tokenIds"/> now.</param>
    public ParkedSequence? TryPark(Guid id, int[] tokenIds, int pagesNeeded)
    {
        ArgumentNullException.ThrowIfNull(tokenIds);
        lock (_gate)
        {
            if (_isClosed || tokenIds.Length == 0 || pagesNeeded < _memory.PagesFor(tokenIds.Length) || pagesNeeded > _memory.PageCount || _parked.ContainsKey(id))
                return null;
            var pages = new KvPageTable(pagesNeeded, _memory.PageTokens);
            if (!_memory.TryGrow(pages, tokenIds.Length))
                return null;
            var parked = new ParkedSequence(this, id, [.. tokenIds], pages);
            _parked.Add(id, parked);
            _handovers++;
            return parked;
        }
    }

    internal bool Commit(ParkedSequence parked, TimeSpan expiry)
    {
        lock (_gate)
        {
            if (_isClosed || parked.IsCommitted || !IsParked(parked))
                return false;
            parked.IsCommitted = true;
            parked.Expiry = _clock.CreateTimer(_ => Discard(parked, isCommitted: true), null, expiry, Timeout.InfiniteTimeSpan);
            EndHandover();
            return true;
        }
    }

    /// <summary>Gives up a parked sequence that is in the stage of <paramref name="isCommitted"/>: still being filled, or ready to be adopted.</summary>
    internal void Discard(ParkedSequence parked, bool isCommitted)
    {
        lock (_gate)
        {
            if (parked.IsCommitted != isCommitted || !IsParked(parked))
                return;
            Unpark(parked);
            _memory.Release(parked.Pages);
            if (!isCommitted)
                EndHandover();
            if (!_isClosed)
                _wake.Set();
        }
    }

    /// <summary>Takes the pages of an export back.</summary>
    internal void Release(KvPageTable pages)
    {
        lock (_gate)
        {
            _memory.Release(pages);
            EndHandover();
            if (!_isClosed)
                _wake.Set();
        }
    }

    /// <summary>The parked pages that <paramref name="request"/> may go on with; those that do not fit it are given back. Under the gate.</summary>
    private KvPageTable? Adopt(GenerationRequest request, Guid id)
    {
        if (!_parked.TryGetValue(id, out ParkedSequence? parked) || !parked.IsCommitted)
            return null;
        Unpark(parked);

        // The latents of a token depend on all tokens before it: one that differs makes every page behind it worthless. At least one token must be left to compute.
        if (parked.TokenIds.Length >= request.PromptIds.Length || !request.PromptIds.AsSpan().StartsWith(parked.TokenIds))
        {
            _memory.Release(parked.Pages);
            return null;
        }

        parked.Pages.Length = parked.TokenIds.Length;
        return parked.Pages;
    }

    /// <summary>Drops what is ready to be adopted, and the KV memory unless somebody still reads or fills pages. Under the gate, once.</summary>
    private void EndParking()
    {
        foreach (ParkedSequence parked in _parked.Values.Where(parked => parked.IsCommitted).ToArray())
            Unpark(parked);
        _isDisposed = true;
        if (_handovers == 0)
            _memory.Dispose();
    }

    /// <summary>Hands out the sequences that waited for the step to end. Under the gate.</summary>
    private void LetLeave()
    {
        _isStepping = false;
        foreach ((Sequence sequence, TaskCompletionSource<SequenceExport?> done) in _leaving)
            done.SetResult(Detach(sequence));
        _leaving.Clear();
    }

    private SequenceExport? Detach(Sequence sequence)
    {
        if (_isClosed || sequence.IsOver || !_scheduler.Detach(sequence))
            return null;
        _handovers++;
        return new SequenceExport(this, sequence);
    }

    private bool IsParked(ParkedSequence parked) => _parked.TryGetValue(parked.Id, out ParkedSequence? known) && known == parked;

    private void Unpark(ParkedSequence parked)
    {
        _parked.Remove(parked.Id);
        parked.Expiry?.Dispose();
    }

    private void EndHandover()
    {
        if (--_handovers == 0 && _isDisposed)
            _memory.Dispose();
    }
}
