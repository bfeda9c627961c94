namespace Conclave.Model;

/// <summary>Fixed threads that run one parallel loop at a time; the caller is one of them. Starting a loop allocates nothing.</summary>
public sealed class WorkerPool : IDisposable
{
    /// <summary>Starts <paramref name="threadCount"/> - 1 threads beside the caller's.</summary>
    public WorkerPool(int threadCount) => throw new NotImplementedException();

    /// <summary>Threads, the caller's included.</summary>
    public int ThreadCount => throw new NotImplementedException();

    /// <inheritdoc/>
    public void Dispose() => throw new NotImplementedException();
}
