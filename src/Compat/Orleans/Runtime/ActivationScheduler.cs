using Microsoft.Extensions.Logging;

namespace Orleans.Runtime;

/// <summary>Runs the tasks of one activation one after another on the thread pool, so that its code never runs on two threads at once.</summary>
internal sealed partial class ActivationScheduler(Activation activation, TimeProvider clock, ILogger logger) : TaskScheduler, IThreadPoolWorkItem
{
    private static readonly TimeSpan Quantum = TimeSpan.FromMilliseconds(100);
    private static readonly TimeSpan LongTurn = TimeSpan.FromSeconds(1);

    private readonly Queue<Task> _tasks = new();
    private bool _running;

    public override int MaximumConcurrencyLevel => 1;

    /// <summary>Runs an asynchronous function as turns of the activation, without the caller's execution context.</summary>
    public void Run(Func<Task> function)
    {
        if (ExecutionContext.IsFlowSuppressed())
        {
            _ = Task.Factory.StartNew(function, CancellationToken.None, TaskCreationOptions.DenyChildAttach, this);
            return;
        }
        using (ExecutionContext.SuppressFlow())
            _ = Task.Factory.StartNew(function, CancellationToken.None, TaskCreationOptions.DenyChildAttach, this);
    }

    void IThreadPoolWorkItem.Execute()
    {
        Activation? previous = Activation.Current;
        Activation.Current = activation;
        try
        {
            RunTasks();
        }
        finally
        {
            Activation.Current = previous;
        }
    }

    protected override void QueueTask(Task task)
    {
        lock (_tasks)
        {
            _tasks.Enqueue(task);
            if (_running) return;
            _running = true;
        }
        ThreadPool.UnsafeQueueUserWorkItem(this, preferLocal: true);
    }

    protected override bool TryExecuteTaskInline(Task task, bool taskWasPreviouslyQueued) =>
        !taskWasPreviouslyQueued && ReferenceEquals(Activation.Current, activation) && TryExecuteTask(task);

    protected override IEnumerable<Task> GetScheduledTasks()
    {
        lock (_tasks) return [.. _tasks];
    }

    private void RunTasks()
    {
        long start = clock.GetTimestamp();
        while (true)
        {
            Task? task;
            lock (_tasks)
            {
                if (!_tasks.TryDequeue(out task))
                {
                    _running = false;
                    return;
                }
            }
            long turn = clock.GetTimestamp();
            TryExecuteTask(task);
            if (clock.GetElapsedTime(turn) is var length && length >= LongTurn) LogLongTurn(activation.GrainId, length.TotalMilliseconds);
            if (clock.GetElapsedTime(start) < Quantum) continue;
            ThreadPool.UnsafeQueueUserWorkItem(this, preferLocal: false);
            return;
        }
    }

    [LoggerMessage(LogLevel.Warning, "A turn of grain {Grain} blocked its thread for {LengthMs:F0} ms")]
    private partial void LogLongTurn(GrainId grain, double lengthMs);
}
