using System.Diagnostics;
using Grpc.Core;

namespace Conclave.Compat.Tests.Grpc;

public sealed class DeadlineTests
{
    [Fact]
    public async Task A_deadline_ends_a_call_that_waits_on_its_token()
    {
        await using ProbeHost host = await ProbeHost.StartAsync();
        host.Behavior.Unary = async (_, context) =>
        {
            await Task.Delay(Timeout.Infinite, context.CancellationToken);
            return new Answer();
        };
        RawResponse response = await host.CallAsync("Unary", new Ask(), ("grpc-timeout", "100m"));
        Assert.Equal(StatusCode.DeadlineExceeded, response.Status);
    }

    [Fact]
    public async Task A_deadline_ends_a_call_whose_handler_does_not_listen()
    {
        await using ProbeHost host = await ProbeHost.StartAsync();
        var release = new TaskCompletionSource();
        var late = new TaskCompletionSource<Exception?>();
        host.Behavior.Stream = async (_, answers, _) =>
        {
            await answers.WriteAsync(new Answer { Text = "in time" });
            await release.Task;
            late.SetResult(await Record.ExceptionAsync(() => answers.WriteAsync(new Answer { Text = "too late" })));
        };
        RawResponse response = await host.CallAsync("Stream", new Ask(), ("grpc-timeout", "200m"));
        Assert.Equal(StatusCode.DeadlineExceeded, response.Status);
        Assert.Equal("in time", response.Messages(Answer.Parser).Single().Text);
        release.SetResult();
        Assert.IsType<InvalidOperationException>(await late.Task.WaitAsync(TimeSpan.FromMinutes(2)));
    }

    [Fact]
    public async Task A_deadline_ends_a_call_that_waits_for_its_client()
    {
        await using ProbeHost host = await ProbeHost.StartAsync();
        var content = new PushContent();
        using HttpResponseMessage response = await host.SendAsync("/probe.v1.Probe/Collect", content, ("grpc-timeout", "100m"));
        Assert.Equal("4", response.Headers.GetValues("grpc-status").Single());
        content.Complete();
    }

    [Theory]
    [InlineData("1n", StatusCode.DeadlineExceeded)]
    [InlineData("0S", StatusCode.DeadlineExceeded)]
    [InlineData("99999999H", StatusCode.OK)]
    [InlineData("20S", StatusCode.OK)]
    [InlineData("123456789S", StatusCode.OK)]
    [InlineData("-1S", StatusCode.OK)]
    [InlineData("soon", StatusCode.OK)]
    public async Task Timeouts_are_read_as_the_protocol_says(string timeout, StatusCode expected)
    {
        await using ProbeHost host = await ProbeHost.StartAsync();
        host.Behavior.Unary = async (_, context) =>
        {
            await Task.Delay(expected == StatusCode.OK ? 1 : 5000, context.CancellationToken);
            return new Answer();
        };
        Assert.Equal(expected, (await host.CallAsync("Unary", new Ask(), ("grpc-timeout", timeout))).Status);
    }

    [Fact]
    public async Task The_handler_sees_the_deadline()
    {
        await using ProbeHost host = await ProbeHost.StartAsync();
        DateTime deadline = default;
        host.Behavior.Unary = (_, context) =>
        {
            deadline = context.Deadline;
            return Task.FromResult(new Answer());
        };
        await host.CallAsync("Unary", new Ask());
        Assert.Equal(DateTime.MaxValue, deadline);
        DateTime before = TimeProvider.System.GetUtcNow().UtcDateTime;
        await host.CallAsync("Unary", new Ask(), ("grpc-timeout", "30S"));
        Assert.Equal(DateTimeKind.Utc, deadline.Kind);
        Assert.InRange(deadline - before, TimeSpan.FromSeconds(29), TimeSpan.FromSeconds(60));
    }

    [Fact]
    public async Task Many_calls_race_with_their_deadlines_and_all_end()
    {
        await using ProbeHost host = await ProbeHost.StartAsync();
        host.Behavior.Stream = async (_, answers, context) =>
        {
            for (int i = 0; i < 3; i++)
            {
                await answers.WriteAsync(new Answer { Text = "tick" });
                await Task.Delay(3, context.CancellationToken);
            }
        };
        var watch = Stopwatch.StartNew();
        RawResponse[] responses = await Task.WhenAll(Enumerable.Range(1, 200).Select(i => host.CallAsync("Stream", new Ask(), ("grpc-timeout", $"{i % 30}m"))));
        Assert.All(responses, response => Assert.Contains(response.Status, (StatusCode[])[StatusCode.OK, StatusCode.DeadlineExceeded]));
        Assert.Contains(responses, response => response.Status == StatusCode.DeadlineExceeded);
        Assert.InRange(watch.Elapsed, TimeSpan.Zero, TimeSpan.FromMinutes(2));
    }

    [Theory]
    [InlineData(16)]
    [InlineData(60_000)]
    public async Task A_deadline_in_the_midst_of_writes_ends_them_with_trailers(int messageLength)
    {
        await using ProbeHost host = await ProbeHost.StartAsync();
        var answer = new Answer { Text = new string('a', messageLength) };
        host.Behavior.Stream = async (_, answers, context) =>
        {
            while (true) await answers.WriteAsync(answer, context.CancellationToken);
        };
        // One call breaks in a hundred if a write that is cancelled takes the stream with it.
        for (int round = 0; round < 15; round++)
        {
            RawResponse[] responses = await Task.WhenAll(Enumerable.Range(0, 10).Select(i => host.CallAsync("Stream", new Ask(), ("grpc-timeout", $"{20 + (i * 7)}m"))));
            Assert.All(responses, response => Assert.Equal(StatusCode.DeadlineExceeded, response.Status));
            Assert.All(responses.SelectMany(response => response.Messages(Answer.Parser)), message => Assert.Equal(messageLength, message.Text.Length));
        }
    }
}
