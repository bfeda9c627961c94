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
/// Fixed threads that run one parallel loop at a time; the caller is one of them. Starting a loop allocates nothing. Each thread has a stretch of the items of its own and goes through it
/// in order, so that it reads its weights as one stream; who is done takes chunks from the end of another's stretch. Idle threads spin for a while, since the loops of a forward pass
/// follow each other within microseconds, then they park.
/// </summary>
public sealed unsafe class WorkerPool : IDisposable
{
    // A spin is about 0.1 us, and the next loop of a pass mostly begins within a hundred of them. Whoever waits longer offers the processor to others with every spin; not sooner, since on a
    // busy machine they keep it for milliseconds.
    private const int SpinsBeforeYielding = 2000;
    private const int SpinsBeforeParking = 4000;

    // Stretches lie in cache lines of their own (two: processors fetch lines in pairs), the first behind the array's header.
    private const int StretchStride = 16;
    private const int MaxChunks = ushort.MaxValue;
    private readonly Thread[] _threads;
    private readonly AutoResetEvent[] _wake;
    private readonly int[] _parked;

    // Chunks of each thread that nobody has taken yet: the loop's number, the first one, behind the last one (32, 16 and 16 bits). A chunk is taken by compare-and-swap, which succeeds only
    // while that very loop still has it, so a thread that wakes late can neither run nor disturb a later loop.
    private readonly long[] _stretches;
    private delegate*<void*, int, int, int, void> _body;
    private void* _loop;
    private int _count;
    private int _chunkSize;
    private int _number;
    private int _finished;
    private volatile bool _stopping;

    /// <summary>Starts <paramref name="threadCount"/> - 1 threads beside the caller's.</summary>
    public WorkerPool(int threadCount)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(threadCount, 1);
        _threads = new Thread[threadCount - 1];
        _wake = new AutoResetEvent[threadCount - 1];
        _parked = new int[threadCount - 1];
        _stretches = new long[(threadCount + 1) * StretchStride];
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
    /// Runs <paramref name="loop"/> over items 0 to <paramref name="count"/> in chunks of at least <paramref name="chunkSize"/> and returns when all are done. One
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
        var chunks = Begin(count, chunkSize);
        var start = Stopwatch.GetTimestamp();
        var done = TakeChunks(_number, 0);
        LoopTicks += Stopwatch.GetTimestamp() - start;
        Interlocked.Add(ref _finished, done);
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

    private static long Stretch(int number, int first, int end) => ((long)number << 32) | ((long)first << 16) | (uint)end;

    /// <summary>Gives every thread its stretch, then lets them begin. Returns the number of chunks.</summary>
    private int Begin(int count, int chunkSize)
    {
        _count = count;
        _chunkSize = Math.Max(chunkSize, ((count - 1) / MaxChunks) + 1);
        _finished = 0;
        var chunks = ((count - 1) / _chunkSize) + 1;
        var number = _number + 1;
        for (var i = 0; i < ThreadCount; i++)
            Volatile.Write(ref StretchOf(i), Stretch(number, (int)((long)chunks * i / ThreadCount), (int)((long)chunks * (i + 1) / ThreadCount)));
        // A full fence: a thread that parks sees the number, or is seen parking.
        Interlocked.Exchange(ref _number, number);
        for (var i = 0; i < _parked.Length; i++)
        {
            if (Volatile.Read(ref _parked[i]) != 0)
                _wake[i].Set();
        }

        return chunks;
    }

    private ref long StretchOf(int thread) => ref _stretches[(thread + 1) * StretchStride];

    private void Work(int index)
    {
        var seen = 0;
        var spins = 0;
        while (!_stopping)
        {
            var number = Volatile.Read(ref _number);
            if (number != seen)
            {
                seen = number;
                spins = 0;
                var done = TakeChunks(number, index + 1);
                if (done > 0)
                    Interlocked.Add(ref _finished, done);
            }
            else if (++spins < SpinsBeforeParking)
            {
                Spin(spins);
            }
            else
            {
                // The flag is set before the last look at the number, and the caller sets the number before it looks at the flag: one of both sees the other.
                Interlocked.Exchange(ref _parked[index], 1);
                if (Volatile.Read(ref _number) == seen && !_stopping)
                    _wake[index].WaitOne();
                Interlocked.Exchange(ref _parked[index], 0);
                spins = 0;
            }
        }
    }

    /// <summary>Does the chunks of this thread's stretch from its front, then those that others have left from their ends. Returns how many it did.</summary>
    private int TakeChunks(int number, int worker)
    {
        var done = 0;
        for (var i = 0; i < ThreadCount; i++)
        {
            var owner = worker + i < ThreadCount ? worker + i : worker + i - ThreadCount;
            ref var stretch = ref StretchOf(owner);
            while (true)
            {
                var left = Volatile.Read(ref stretch);
                int first = (int)(left >> 16) & MaxChunks, end = (int)left & MaxChunks;
                if ((int)(left >> 32) != number || first == end)
                    break;
                var taken = i == 0 ? first : end - 1;
                if (Interlocked.CompareExchange(ref stretch, i == 0 ? Stretch(number, first + 1, end) : Stretch(number, first, end - 1), left) != left)
                    continue;
                var start = (long)taken * _chunkSize;
                _body(_loop, (int)start, (int)Math.Min(start + _chunkSize, _count), worker);
                done++;
            }
        }

        return done;
    }
}
