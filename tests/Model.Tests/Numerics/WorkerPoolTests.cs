using System.Diagnostics;

namespace Conclave.Model.Tests.Numerics;

public sealed class WorkerPoolTests
{
    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(5)]
    public void Every_item_is_done_exactly_once_before_the_call_returns(int threads)
    {
        using var workers = new WorkerPool(threads);
        for (var round = 0; round < 3000; round++)
        {
            var count = round % 97;
            var loop = new CountLoop { Done = new int[count] };
            workers.Run(ref loop, count, 1 + (round % 5));
            Assert.All(loop.Done, done => Assert.Equal(1, done));
        }
    }

    [Fact]
    public async Task Parked_threads_wake_again()
    {
        using var workers = new WorkerPool(3);
        for (var round = 0; round < 20; round++)
        {
            var loop = new CountLoop { Done = new int[1000] };
            workers.Run(ref loop, 1000, 1);
            Assert.All(loop.Done, done => Assert.Equal(1, done));
            await Task.Delay(5);
        }
    }

    [Theory]
    [InlineData(1)]
    [InlineData(3)]
    public void Time_inside_loops_is_counted(int threads)
    {
        using var workers = new WorkerPool(threads);
        var start = Stopwatch.GetTimestamp();
        var loop = new BusyLoop { Ticks = Stopwatch.Frequency / 1000 };
        workers.Run(ref loop, 2 * threads, 1);
        var counted = workers.LoopTicks;
        // What the others did is not the caller's time, and they may have been quick enough to leave it nothing.
        Assert.InRange(counted, threads == 1 ? 2 * loop.Ticks : 0, Stopwatch.GetTimestamp() - start);
        workers.Run(ref loop, 1, 1);
        Assert.InRange(workers.LoopTicks, counted + loop.Ticks, Stopwatch.GetTimestamp() - start);
    }

    private struct BusyLoop : IParallelLoop
    {
        public long Ticks;

        public readonly void Run(int start, int end, int worker)
        {
            for (var stop = Stopwatch.GetTimestamp() + (Ticks * (end - start)); Stopwatch.GetTimestamp() < stop;)
                Thread.SpinWait(1);
        }
    }

    private struct CountLoop : IParallelLoop
    {
        public int[] Done;

        public readonly void Run(int start, int end, int worker)
        {
            for (var i = start; i < end; i++)
                Interlocked.Increment(ref Done[i]);
        }
    }
}
