using Grpc.Core;

namespace Conclave.Compat.Tests.Grpc;

/// <summary>What the service under test does; a test sets what it needs.</summary>
public sealed class ProbeBehavior
{
    public Func<Ask, ServerCallContext, Task<Answer>> Unary { get; set; } = (ask, _) => Task.FromResult(new Answer { Text = ask.Text });

    public Func<IAsyncStreamReader<Ask>, ServerCallContext, Task<Answer>> Collect { get; set; } = async (asks, context) =>
    {
        var texts = new List<string>();
        await foreach (Ask ask in asks.ReadAllAsync(context.CancellationToken))
            texts.Add(ask.Text);
        return new Answer { Text = string.Join('|', texts) };
    };

    public Func<Ask, IServerStreamWriter<Answer>, ServerCallContext, Task> Stream { get; set; } = (ask, answers, _) => answers.WriteAsync(new Answer { Text = ask.Text });

    public Func<IAsyncStreamReader<Ask>, IServerStreamWriter<Answer>, ServerCallContext, Task> Talk { get; set; } = async (asks, answers, context) =>
    {
        await foreach (Ask ask in asks.ReadAllAsync(context.CancellationToken))
            await answers.WriteAsync(new Answer { Text = ask.Text }, context.CancellationToken);
    };
}

public sealed class ProbeService(ProbeBehavior behavior) : Probe.ProbeBase
{
    public override Task<Answer> Unary(Ask request, ServerCallContext context) => behavior.Unary(request, context);

    public override Task<Answer> Collect(IAsyncStreamReader<Ask> requestStream, ServerCallContext context) => behavior.Collect(requestStream, context);

    public override Task Stream(Ask request, IServerStreamWriter<Answer> responseStream, ServerCallContext context)
        => behavior.Stream(request, responseStream, context);

    public override Task Talk(IAsyncStreamReader<Ask> requestStream, IServerStreamWriter<Answer> responseStream, ServerCallContext context)
        => behavior.Talk(requestStream, responseStream, context);
}
