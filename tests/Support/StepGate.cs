namespace Conclave.Tests.Support;

/// <summary>
/// Stops step loops between two steps, so that what a test has waited for is still under way when it acts. Without that a sequence of any length may be over by then: its steps take microseconds,
/// and on a busy machine the test's own threads may have to wait for seconds. For <c>EngineOptions.BeforeStep</c> of one engine or of several.
/// </summary>
internal sealed class StepGate
{
    // A loop is held for as long as the test's own waits may take, one after the other; only one that was forgotten goes on by itself.
    private static readonly TimeSpan Limit = TimeSpan.FromMinutes(4), HoldLimit = TimeSpan.FromMinutes(15);

    private readonly Lock _gate = new();
    private readonly ManualResetEventSlim _open = new(true);
    private TaskCompletionSource _held = NewHeld();
    private Func<bool>? _condition;

    /// <summary>Before the first step at whose beginning <paramref name="condition"/> holds, the loop waits for <see cref="Release"/>, and so do the others. It is asked on their threads.</summary>
    public void HoldWhen(Func<bool> condition)
    {
        lock (_gate) (_condition, _held) = (condition, NewHeld());
    }

    /// <summary>No step begins from now on.</summary>
    public void Hold() => HoldWhen(() => true);

    /// <summary>Returns when a loop waits.</summary>
    public Task HeldAsync()
    {
        lock (_gate) return _held.Task.WaitAsync(Limit);
    }

    /// <summary>Lets all go on: for good, or until <paramref name="condition"/> holds.</summary>
    public void Release(Func<bool>? condition = null)
    {
        lock (_gate)
        {
            (_condition, _held) = (condition, NewHeld());
            _open.Set();
        }
    }

    /// <summary>What a loop calls before each step.</summary>
    public void Pass()
    {
        if (Volatile.Read(ref _condition) is { } condition && condition())
        {
            lock (_gate)
            {
                // Not if the test has gone on meanwhile.
                if (condition == _condition)
                {
                    _condition = null;
                    _open.Reset();
                    _held.TrySetResult();
                }
            }
        }

        _open.Wait(HoldLimit);
    }

    private static TaskCompletionSource NewHeld() => new(TaskCreationOptions.RunContinuationsAsynchronously);
}
