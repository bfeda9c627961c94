using System.Diagnostics;
using System.Runtime.CompilerServices;

namespace Conclave.Model;

/// <summary>The body of a parallel loop: a struct, so that starting one allocates nothing.</summary>
public interface IParallelLoop
{
    /// <summary>Does items <paramref name="start"/> to <paramref name="end"/> on thread <paramref name="worker"/> (0 is the caller). Must not throw.</summary>
    void Run(int start, int end, int worker);
}

/// <summary>
/// Fixed threads that run one parallel loop at a time; the caller is one of them. Starting a loop allocates nothing. Idle threads spin for
/// a while, since the loops of a forward pass follow each other within microseconds, then they park.
/// </summary>
public sealed unsafe class WorkerPool : IDisposable
{
    // A spin is about 0.1 us. After the first ones every further spin offers the processor to whoever else wants it.
    private const int SpinsBeforeYielding = 200;
    private const int SpinsBeforeParking = 2000;
    private readonly Thread[] _threads;
    private readonly AutoResetEvent[] _wake;
    private readonly int[] _parked;

    // The loop under way. High half of the ticket: the loop's number; low half: chunks not yet taken. A chunk is taken by compare-and-swap, which succeeds
    // only while that very loop still has chunks, so a thread that wakes late can neither run nor disturb a later one.
    private delegate*<void*, int, int, int, void> _body;
    private void* _loop;
    private int _count;
    private int _chunkSize;
    private int _chunkCount;
    private long _ticket;
    private int _finished;
    private volatile bool _stopping;

    /// <summary>Starts <paramref name="threadCount"/> - 1 threads beside the caller's.</summary>
    public WorkerPool(int threadCount)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(threadCount, 1);
        _threads = new Thread[threadCount - 1];
        _wake = new AutoResetEvent[threadCount - 1];
        _parked = new int[threadCount - 1];
        for (var i = 0; i < _threads.Length; i++)
        {
            var index = i;
            _wake[i] = new AutoResetEvent(false);
            _threads[i] = new Thread(() => Work(index)) { IsBackground = true, Name = $"conclave-worker-{index + 1}" };
            _threads[i].Start();
        }
    }

    /// <summary>Threads, the caller's included.</summary>
    public int ThreadCount => _threads.Length + 1;

    /// <summary>
    /// Time that the caller's thread has spent inside loops so far, ticks of <see cref="Stopwatch"/>; waiting for the other threads does not count. What of a step's time is missing here went
    /// into what lies between loops and into handing them over.
    /// </summary>
    public long LoopTicks { get; private set; }

    /// <summary>
    /// Runs <paramref name="loop"/> over items 0 to <paramref name="count"/> in chunks of <paramref name="chunkSize"/> and returns when all are done. One
    /// caller at a time; which thread does a chunk is left to chance, so items must be independent. <paramref name="loop"/> must be a local variable.
    /// </summary>
    public void Run<TLoop>(ref TLoop loop, int count, int chunkSize)
        where TLoop : struct, IParallelLoop
    {
        if (count <= 0)
            return;
        if (_threads.Length == 0 || count <= chunkSize)
        {
            var begin = Stopwatch.GetTimestamp();
            loop.Run(0, count, 0);
            LoopTicks += Stopwatch.GetTimestamp() - begin;
            return;
        }

        _body = &Invoke<TLoop>;
        _loop = Unsafe.AsPointer(ref loop);
        _count = count;
        _chunkSize = chunkSize;
        _chunkCount = ((count - 1) / chunkSize) + 1;
        _finished = 0;
        var number = (Volatile.Read(ref _ticket) >> 32) + 1;
        Interlocked.Exchange(ref _ticket, (number << 32) | (uint)_chunkCount);
        for (var i = 0; i < _parked.Length; i++)
        {
            if (Volatile.Read(ref _parked[i]) != 0)
                _wake[i].Set();
        }

        var chunks = _chunkCount;
        var start = Stopwatch.GetTimestamp();
        TakeChunks(number, 0);
        LoopTicks += Stopwatch.GetTimestamp() - start;
        for (var spins = 0; Volatile.Read(ref _finished) < chunks; spins++)
            Spin(spins);
    }

    /// <summary>Ends the threads; no loop may be running.</summary>
    public void Dispose()
    {
        if (_stopping)
            return;
        _stopping = true;
        foreach (var wake in _wake)
            wake.Set();
        foreach (var thread in _threads)
            thread.Join();
        foreach (var wake in _wake)
            wake.Dispose();
    }

    private static void Invoke<TLoop>(void* loop, int start, int end, int worker)
        where TLoop : struct, IParallelLoop =>
        Unsafe.AsRef<TLoop>(loop).Run(start, end, worker);

    private static void Spin(int spins)
    {
        if (spins > SpinsBeforeYielding)
            Thread.Yield();
        else
            Thread.SpinWait(4);
    }

    private void Work(int index)
    {
        long seen = 0;
        var spins = 0;
        while (!_stopping)
        {
            var number = Volatile.Read(ref _ticket) >> 32;
            if (number != seen)
            {
                seen = number;
                spins = 0;
                TakeChunks(number, index + 1);
            }
            else if (++spins < SpinsBeforeParking)
            {
                Spin(spins);
            }
            else
            {
                // The flag is set before the last look at the ticket, and the caller sets the ticket before it looks at the flag: one of both sees the other.
                Interlocked.Exchange(ref _parked[index], 1);
                if (Interlocked.Read(ref _ticket) >> 32 == seen && !_stopping)
                    _wake[index].WaitOne();
                Interlocked.Exchange(ref _parked[index], 0);
                spins = 0;
            }
        }
    }

    private void TakeChunks(long number, int worker)
    {
        while (true)
        {
            var ticket = Volatile.Read(ref _ticket);
            var left = (int)(ticket & uint.MaxValue);
            if (ticket >> 32 != number || left == 0)
                return;
            if (Interlocked.CompareExchange(ref _ticket, ticket - 1, ticket) != ticket)
                continue;
            var start = (_chunkCount - left) * _chunkSize;
            _body(_loop, start, Math.Min(start + _chunkSize, _count), worker);
            Interlocked.Increment(ref _finished);
        }
    }
}
