using System.Runtime.CompilerServices;
using System.Threading.Channels;
using Conclave.Engine;

namespace Conclave.Gateway.Completions;

/// <summary>Something that happened to one of several choices.</summary>
/// <param name="Index">Which, from 0.</param>
/// <param name="Happened">What.</param>
public readonly record struct ChoiceEvent(int Index, CompletionEvent Happened);

/// <summary>
/// Several answers to one prompt. Choice <c>i</c> is what a request of its own with seed <c>seed + i</c> would have got. Where the prompt fills KV pages the other choices begin
/// when the first one has computed it, so that it is computed once.
/// </summary>
public static class Choices
{
    /// <summary>Most choices of one request.</summary>
    public const int Max = 16;

    /// <summary>Prompts shorter than this, in tokens, are not worth a wait: they hardly fill a page.</summary>
    private const int LeastSharedTokens = 128;

    /// <summary>The events of all <paramref name="count"/> choices, those of one in order. The first failure ends all; so does ending the enumeration early.</summary>
    /// <exception cref="Exception">Whatever <see cref="ErrorMap.Explain"/> knows to explain.</exception>
    public static async IAsyncEnumerable<ChoiceEvent> Run(
        CompletionRunner runner, CompletionRequest request, int count, [EnumeratorCancellation] CancellationToken cancellationToken)
    {
        if (count == 1)
        {
            await foreach (CompletionEvent happened in runner.Run(request, cancellationToken)) yield return new ChoiceEvent(0, happened);
            yield break;
        }

        using var stop = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        var events = Channel.CreateUnbounded<ChoiceEvent>(new UnboundedChannelOptions { SingleReader = true });
        var prompted = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        if (request.PromptIds.Length < LeastSharedTokens) prompted.SetResult();
        Task running = Finish(Enumerable.Range(0, count).Select(index => Drive(runner, request, index, prompted, events.Writer, stop)), events.Writer);
        try
        {
            await foreach (ChoiceEvent happened in events.Reader.ReadAllAsync(cancellationToken)) yield return happened;
        }
        finally
        {
            await stop.CancelAsync();
            await running;
        }
    }

    private static async Task Drive(
        CompletionRunner runner, CompletionRequest request, int index, TaskCompletionSource prompted, ChannelWriter<ChoiceEvent> events, CancellationTokenSource stop)
    {
        try
        {
            if (index > 0) await prompted.Task.WaitAsync(stop.Token);
            SamplingParameters sampling = request.Sampling;
            CompletionRequest own = request with { Sampling = sampling with { Seed = unchecked(sampling.Seed + (ulong)index) } };
            await foreach (CompletionEvent happened in runner.Run(own, stop.Token))
            {
                events.TryWrite(new ChoiceEvent(index, happened));
                if (happened is not CompletionEvent.Placed) prompted.TrySetResult();
            }
        }
        catch (Exception e)
        {
            // The first one is the reader's; what follows from it is not.
            events.TryComplete(e);
            await stop.CancelAsync();
        }
    }

    private static async Task Finish(IEnumerable<Task> choices, ChannelWriter<ChoiceEvent> events)
    {
        await Task.WhenAll(choices);
        events.TryComplete();
    }
}
