using Grpc.Core;

namespace Conclave.Compat.Tests.Grpc;

public sealed class StreamTests
{
    private static readonly TimeSpan Patience = TimeSpan.FromMinutes(2);

    [Fact]
    public async Task Each_message_goes_out_at_once()
    {
        await using ProbeHost host = await ProbeHost.StartAsync();
        var next = new SemaphoreSlim(0);
        host.Behavior.Stream = async (_, answers, context) =>
        {
            for (int i = 0; i < 3; i++)
            {
                await answers.WriteAsync(new Answer { Text = $"{i}" });
                await next.WaitAsync(context.CancellationToken);
            }
        };
        using HttpResponseMessage response = await host.SendAsync("/probe.v1.Probe/Stream", new ByteArrayContent(ProbeHost.Frame(new Ask())));
        await using Stream body = await response.Content.ReadAsStreamAsync();
        byte[] expected = ProbeHost.Frame(new Answer { Text = "0" });
        for (int i = 0; i < 3; i++)
        {
            byte[] frame = new byte[expected.Length];
            await body.ReadExactlyAsync(frame).AsTask().WaitAsync(Patience);
            Assert.Equal((byte)('0' + i), frame[^1]);
            next.Release();
        }
        Assert.Equal(0, await body.ReadAsync(new byte[1]));
    }

    [Fact]
    public async Task A_duplex_call_answers_while_it_is_asked()
    {
        await using ProbeHost host = await ProbeHost.StartAsync();
        var content = new PushContent();
        Task<HttpResponseMessage> sending = host.SendAsync("/probe.v1.Probe/Talk", content);
        await content.WriteAsync(ProbeHost.Frame(new Ask { Text = "a" }));
        using HttpResponseMessage response = await sending.WaitAsync(Patience);
        await using Stream body = await response.Content.ReadAsStreamAsync();
        byte[] frame = new byte[ProbeHost.Frame(new Answer { Text = "a" }).Length];
        foreach (string text in (string[])["a", "b", "c"])
        {
            if (text != "a")
                await content.WriteAsync(ProbeHost.Frame(new Ask { Text = text }));
            await body.ReadExactlyAsync(frame).AsTask().WaitAsync(Patience);
            Assert.Equal(ProbeHost.Frame(new Answer { Text = text }), frame);
        }
        content.Complete();
        Assert.Equal(0, await body.ReadAsync(new byte[1]).AsTask().WaitAsync(Patience));
        Assert.Equal("0", response.TrailingHeaders.GetValues("grpc-status").Single());
    }

    [Fact]
    public async Task Overlapping_reads_and_writes_are_refused()
    {
        await using ProbeHost host = await ProbeHost.StartAsync();
        var results = new TaskCompletionSource<(Exception? Read, bool SomeWriteRefused)>();
        host.Behavior.Talk = async (asks, answers, context) =>
        {
            Task<bool> first = asks.MoveNext(context.CancellationToken);
            Exception? read = await Record.ExceptionAsync(() => asks.MoveNext(context.CancellationToken));
            // A large message fills the window of a client that does not read, so that its write stays under way.
            Task large = answers.WriteAsync(new Answer { Text = new string('x', 64 << 20) }, context.CancellationToken);
            Exception? write = await Record.ExceptionAsync(() => answers.WriteAsync(new Answer()));
            results.SetResult((read, write is InvalidOperationException { Message: "Can't write the message because the previous write is in progress." }));
            await Record.ExceptionAsync(() => Task.WhenAll(large, first));
        };
        HttpResponseMessage response = await host.SendAsync("/probe.v1.Probe/Talk", new PushContent());
        (Exception? readError, bool refused) = await results.Task.WaitAsync(Patience);
        response.Dispose();
        Assert.Equal("Can't read the next message because the previous read is still in progress.", Assert.IsType<InvalidOperationException>(readError).Message);
        Assert.True(refused);
    }

    [Fact]
    public async Task A_client_that_goes_away_cancels_the_call()
    {
        await using ProbeHost host = await ProbeHost.StartAsync();
        var ended = new TaskCompletionSource<Exception?>();
        host.Behavior.Stream = async (_, answers, context) =>
        {
            ended.SetResult(await Record.ExceptionAsync(async () =>
            {
                while (true)
                    await answers.WriteAsync(new Answer { Text = "more" }, context.CancellationToken);
            }));
            Assert.True(context.CancellationToken.IsCancellationRequested);
        };
        HttpResponseMessage response = await host.SendAsync("/probe.v1.Probe/Stream", new ByteArrayContent(ProbeHost.Frame(new Ask())));
        await using (Stream body = await response.Content.ReadAsStreamAsync())
            await body.ReadExactlyAsync(new byte[100]);
        response.Dispose();

        // Cancelled as a rule; a write that looked at its token just before the reset finds the request complete, as with the real package.
        Exception? end = await ended.Task.WaitAsync(Patience);
        Assert.True(end is OperationCanceledException || (end is InvalidOperationException && end.Message.Contains("complete", StringComparison.Ordinal)), $"{end}");
    }

    [Fact]
    public async Task Writes_after_the_end_are_refused()
    {
        await using ProbeHost host = await ProbeHost.StartAsync();
        IServerStreamWriter<Answer>? kept = null;
        host.Behavior.Stream = (_, answers, _) =>
        {
            kept = answers;
            return Task.CompletedTask;
        };
        (await host.CallAsync("Stream", new Ask())).AssertOk();
        await Assert.ThrowsAsync<InvalidOperationException>(() => kept!.WriteAsync(new Answer()));
    }

    [Fact]
    public async Task Buffered_messages_arrive_too()
    {
        await using ProbeHost host = await ProbeHost.StartAsync();
        host.Behavior.Stream = async (_, answers, _) =>
        {
            answers.WriteOptions = new WriteOptions(WriteFlags.BufferHint);
            for (int i = 0; i < 100; i++)
                await answers.WriteAsync(new Answer { Text = $"{i}" });
        };
        RawResponse response = await host.CallAsync("Stream", new Ask());
        response.AssertOk();
        Assert.Equal(Enumerable.Range(0, 100).Select(i => $"{i}"), response.Messages(Answer.Parser).Select(answer => answer.Text));
    }

    [Fact]
    public async Task Many_calls_share_a_connection()
    {
        await using ProbeHost host = await ProbeHost.StartAsync();
        host.Behavior.Stream = async (ask, answers, _) =>
        {
            for (int i = 0; i < 20; i++)
                await answers.WriteAsync(new Answer { Text = $"{ask.Text}.{i}" });
        };
        await Parallel.ForAsync(0, 100, async (call, _) =>
        {
            RawResponse response = await host.CallAsync("Stream", new Ask { Text = $"{call}" });
            response.AssertOk();
            Assert.Equal(Enumerable.Range(0, 20).Select(i => $"{call}.{i}"), response.Messages(Answer.Parser).Select(answer => answer.Text));
        });
    }
}
