using Orleans.Serialization;

namespace Orleans.Runtime;

/// <summary>What a grain method returns: how the caller gets it and how the runtime awaits it.</summary>
internal abstract class ReturnShape
{
    /// <summary>The type of the awaited result; object for none.</summary>
    public abstract Type ResultType { get; }

    public virtual bool IsStream => false;

    public abstract PendingCall NewCall();

    /// <summary>The caller's view of a call under way.</summary>
    public abstract object? Wrap(PendingCall call);

    /// <summary>Awaits what the grain returned.</summary>
    public abstract ValueTask<object?> Complete(object? returned);

    public static ReturnShape? Of(Type type)
    {
        if (type == typeof(Task)) return new TaskShape();
        if (type == typeof(ValueTask)) return new ValueTaskShape();
        if (type == typeof(void)) return new VoidShape();
        if (!type.IsGenericType) return null;
        Type? shape = type.GetGenericTypeDefinition() switch
        {
            var t when t == typeof(Task<>) => typeof(TaskShape<>),
            var t when t == typeof(ValueTask<>) => typeof(ValueTaskShape<>),
            var t when t == typeof(IAsyncEnumerable<>) => typeof(StreamShape<>),
            _ => null,
        };
        return shape is null ? null : (ReturnShape)Activator.CreateInstance(shape.MakeGenericType(type.GetGenericArguments()))!;
    }
}

internal sealed class VoidShape : ReturnShape
{
    public override Type ResultType => typeof(object);

    public override PendingCall NewCall() => new PendingCall<object?>();

    public override object? Wrap(PendingCall call) => null;

    public override ValueTask<object?> Complete(object? returned) => default;
}

internal sealed class TaskShape : ReturnShape
{
    public override Type ResultType => typeof(object);

    public override PendingCall NewCall() => new PendingCall<object?>();

    public override object Wrap(PendingCall call) => ((PendingCall<object?>)call).Task;

    public override async ValueTask<object?> Complete(object? returned)
    {
        await ((Task?)returned ?? throw new InvalidOperationException("A grain method returned null instead of a task."));
        return null;
    }
}

internal sealed class ValueTaskShape : ReturnShape
{
    public override Type ResultType => typeof(object);

    public override PendingCall NewCall() => new PendingCall<object?>();

    public override object Wrap(PendingCall call) => new ValueTask(((PendingCall<object?>)call).Task);

    public override async ValueTask<object?> Complete(object? returned)
    {
        await (ValueTask)returned!;
        return null;
    }
}

internal sealed class TaskShape<T> : ReturnShape
{
    public override Type ResultType => typeof(T);

    public override PendingCall NewCall() => new PendingCall<T>();

    public override object Wrap(PendingCall call) => ((PendingCall<T>)call).Task;

    public override async ValueTask<object?> Complete(object? returned) =>
        await ((Task<T>?)returned ?? throw new InvalidOperationException("A grain method returned null instead of a task."));
}

internal sealed class ValueTaskShape<T> : ReturnShape
{
    public override Type ResultType => typeof(T);

    public override PendingCall NewCall() => new PendingCall<T>();

    public override object Wrap(PendingCall call) => new ValueTask<T>(((PendingCall<T>)call).Task);

    public override async ValueTask<object?> Complete(object? returned) => await (ValueTask<T>)returned!;
}
