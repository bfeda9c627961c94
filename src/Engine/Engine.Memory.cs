using Conclave.Engine.Pages;
using Microsoft.Extensions.Logging;

namespace Conclave.Engine;

/// <summary>The KV memory's part in the life of the engine: what it does while nothing is to be served, and at the end.</summary>
public sealed partial class Engine
{
    private const int IdleMs = 1000;
    private static readonly TimeSpan SaveLimit = TimeSpan.FromSeconds(10);

    private readonly ILogger _log;
    private long _checkedStep;
    private long _memoryChecks;
    private long _memoryFaults;

    private KvMemory CreateMemory(EngineOptions options)
    {
        // What was read from disk is looked at by the next step.
        KvTier? tier = options.KvDisk is { } disk ? new KvTier(disk, _clock, _log, () => _wake.Set()) : null;
        return new KvMemory(_model.KvLayout, options.KvMemorySizeBytes, tier);
    }

    /// <summary>Sleeps until there may be something to do, at most <paramref name="timeoutMs"/> (<see cref="Timeout.Infinite"/>: for ever). Idle for a second, it checks the KV memory.</summary>
    private void Sleep(int timeoutMs)
    {
        if (timeoutMs is >= 0 and <= IdleMs)
        {
            _wake.WaitOne(timeoutMs);
            return;
        }

        if (_wake.WaitOne(IdleMs))
            return;
        CheckMemory();
        _wake.WaitOne(timeoutMs < 0 ? Timeout.Infinite : timeoutMs - IdleMs);
    }

    private void CheckMemory()
    {
        lock (_gate)
        {
            if (_stepCount == _checkedStep || _scheduler.RunningCount + _scheduler.WaitingCount + _parked.Count + _handovers > 0)
                return;
            _checkedStep = _stepCount;
            _memoryChecks++;
            if (_memory.Repair() is not { } fault)
                return;
            _memoryFaults++;
            LogMemoryFault(_log, fault);
        }
    }

    /// <summary>Writes what is cached to disk, for the next start; what takes too long is left out.</summary>
    private void SaveMemory()
    {
        long start = _clock.GetTimestamp();
        while (true)
        {
            lock (_gate)
            {
                if (_isDisposed || _memory.TrySpillAll())
                    break;
            }

            TimeSpan left = SaveLimit - _clock.GetElapsedTime(start);
            if (left <= TimeSpan.Zero || !_memory.WaitForDisk(left))
                break;
        }

        _memory.CloseDisk();
    }

    [LoggerMessage(Level = LogLevel.Error, Message = "The KV memory is in disorder: {Fault}. All cached pages are dropped; please report this")]
    private static partial void LogMemoryFault(ILogger log, string fault);
}
