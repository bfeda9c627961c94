using Conclave.Engine.Pages;

namespace Conclave.Engine;

/// <summary>The rows one sequence contributes to a step.</summary>
/// <param name="Sequence">Whose.</param>
/// <param name="RowCount">Tokens, from the first that is not in its pages yet.</param>
/// <param name="NeedsLogits">Whether a token is sampled after its last row, and after those of drafts: not so for a prefill chunk that is not the prompt's last.</param>
internal readonly record struct StepSegment(Sequence Sequence, int RowCount, bool NeedsLogits);

/// <summary>
/// Decides which sequences are in the batch and which rows a step computes. A sequence joins, strictly in order of arrival, when a place and
/// pages for its whole prompt and longest completion are free. Reserving everything up front costs some concurrency where completions end
/// early; in return no sequence ever has to be interrupted for want of memory, and a long one cannot be overtaken for ever by short ones.
/// Touches neither model nor clock. Not thread-safe.
/// </summary>
internal sealed class Scheduler(int maxBatch, int maxStepRows, KvMemory memory)
{
    private readonly List<Sequence> _waiting = [];
    private readonly List<Sequence> _running = new(maxBatch);
    private readonly StepSegment[] _segments = new StepSegment[maxBatch];

    /// <summary>Sequences that wait for room.</summary>
    public int WaitingCount => _waiting.Count;

    /// <summary>Sequences in the batch.</summary>
    public int RunningCount => _running.Count;

    /// <summary>
    /// Puts <paramref name="sequence"/> at the end of the queue; one that has its pages already, behind others of that kind at the front: whoever waits for
    /// pages before it would wait for those that it holds.
    /// </summary>
    public void Enqueue(Sequence sequence)
    {
        int place = _waiting.Count;
        if (sequence.HasPages)
        {
            for (place = 0; place < _waiting.Count && _waiting[place].HasPages;)
                place++;
        }

        _waiting.Insert(place, sequence);
    }

    /// <summary>Takes <paramref name="sequence"/> out of the queue and gives its pages back, if it has any; false if it is not in the queue.</summary>
    public bool RemoveWaiting(Sequence sequence)
    {
        if (!_waiting.Remove(sequence))
            return false;
        memory.Release(sequence.Pages);
        return true;
    }

    /// <summary>Takes <paramref name="sequence"/>, whose pages stay taken, out of queue or batch; false if it is in neither.</summary>
    public bool Detach(Sequence sequence) => _running.Remove(sequence) || _waiting.Remove(sequence);

    /// <summary>Lets sequences join, then picks the rows of the next step. Empty if there is nothing to do. Valid until the next call.</summary>
    public ReadOnlySpan<StepSegment> Plan()
    {
        Admit();
        int segmentCount = 0;
        int rowsLeft = maxStepRows;

        // Decode rows first: a token per running stream and step, however long the prompts that come in; drafts as far as that leaves room.
        foreach (Sequence sequence in _running)
            rowsLeft -= sequence.IsDecoding ? 1 : 0;
        foreach (Sequence sequence in _running)
        {
            if (!sequence.IsDecoding)
                continue;
            int drafts = Math.Min(sequence.DraftCount, rowsLeft);
            _segments[segmentCount++] = new StepSegment(sequence, 1 + drafts, NeedsLogits: true);
            rowsLeft -= drafts;
        }

        foreach (Sequence sequence in _running)
        {
            int remaining = sequence.PrefillRemaining;
            if (remaining == 0)
                continue;
            if (rowsLeft == 0)
                break;
            int chunk = Math.Min(remaining, rowsLeft);
            _segments[segmentCount++] = new StepSegment(sequence, chunk, NeedsLogits: chunk == remaining);
            rowsLeft -= chunk;
        }

        return _segments.AsSpan(0, segmentCount);
    }

    /// <summary>Makes what the step computed findable, removes the sequences that are over from the batch, gives their pages back and adds them to <paramref name="retired"/>.</summary>
    public void Retire(List<Sequence> retired)
    {
        int kept = 0;
        for (int i = 0; i < _running.Count; i++)
        {
            Sequence sequence = _running[i];
            if (!sequence.HasFailed)
                memory.Publish(sequence.Request.CacheScope, sequence.Tokens, sequence.Pages);
            if (!sequence.IsOver)
            {
                _running[kept++] = sequence;
                continue;
            }

            memory.Release(sequence.Pages);
            retired.Add(sequence);
        }

        _running.RemoveRange(kept, _running.Count - kept);
        Array.Clear(_segments);
    }

    /// <summary>Empties queue and batch, gives all pages back and adds the sequences to <paramref name="removed"/>.</summary>
    public void Clear(List<Sequence> removed)
    {
        removed.AddRange(_running);
        removed.AddRange(_waiting);
        foreach (Sequence sequence in removed)
            memory.Release(sequence.Pages);
        _running.Clear();
        _waiting.Clear();
        Array.Clear(_segments);
    }

    private void Admit()
    {
        int joined = 0;
        while (joined < _waiting.Count && _running.Count < maxBatch)
        {
            Sequence next = _waiting[joined];
            if (next.IsOver)
            {
                memory.Release(next.Pages);
            }
            else
            {
                if (!next.TryJoin(memory))
                    break;
                _running.Add(next);
            }

            joined++;
        }

        _waiting.RemoveRange(0, joined);
    }
}
