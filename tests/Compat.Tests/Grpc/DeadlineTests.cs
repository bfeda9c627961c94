using Conclave.Tests.Support;
using Grpc.Core;
using Microsoft.Extensions.DependencyInjection;

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
        var clock = new HandClock();
        await using ProbeHost host = await StartAsync(clock);
        var written = new TaskCompletionSource();
        var release = new TaskCompletionSource();
        var late = new TaskCompletionSource<Exception?>();
        host.Behavior.Stream = async (_, answers, _) =>
        {
            await answers.WriteAsync(new Answer { Text = "in time" });
            written.SetResult();
            await release.Task;
            late.SetResult(await Record.ExceptionAsync(() => answers.WriteAsync(new Answer { Text = "too late" })));
        };
        Task<RawResponse> calling = host.CallAsync("Stream", new Ask(), ("grpc-timeout", "200m"));
        await written.Task.WaitAsync(TimeSpan.FromMinutes(2));
        clock.Advance(TimeSpan.FromMilliseconds(200));
        RawResponse response = await calling;
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
        // A deadline that lies ahead does not come, however long the call takes: this clock stands still.
        await using ProbeHost host = await StartAsync(expected == StatusCode.OK ? new HandClock() : TimeProvider.System);
        host.Behavior.Unary = async (_, context) =>
        {
            if (expected != StatusCode.OK) await Task.Delay(Timeout.Infinite, context.CancellationToken);
            return new Answer();
        };
        Assert.Equal(expected, (await host.CallAsync("Unary", new Ask(), ("grpc-timeout", timeout))).Status);
    }

    [Fact]
    public async Task The_handler_sees_the_deadline()
    {
        var clock = new HandClock();
        await using ProbeHost host = await StartAsync(clock);
        DateTime deadline = default;
        host.Behavior.Unary = (_, context) =>
        {
            deadline = context.Deadline;
            return Task.FromResult(new Answer());
        };
        await host.CallAsync("Unary", new Ask());
        Assert.Equal(DateTime.MaxValue, deadline);
        await host.CallAsync("Unary", new Ask(), ("grpc-timeout", "30S"));
        Assert.Equal(DateTimeKind.Utc, deadline.Kind);
        Assert.Equal(clock.GetUtcNow().UtcDateTime + TimeSpan.FromSeconds(30), deadline);
    }

    [Fact]
    public async Task Many_calls_race_with_their_deadlines_and_all_end()
    {
        await using ProbeHost host = await ProbeHost.StartAsync();
        host.Behavior.Stream = async (ask, answers, context) =>
        {
            for (int i = 0; i < 3; i++)
            {
                await answers.WriteAsync(new Answer { Text = "tick" });
                await Task.Delay(3, context.CancellationToken);
            }
            if (ask.Text == "no end") await Task.Delay(Timeout.Infinite, context.CancellationToken);
        };
        RawResponse[] responses = await Task.WhenAll(Enumerable.Range(1, 200).Select(i => host.CallAsync("Stream", new Ask { Text = i % 5 == 0 ? "no end" : "" }, ("grpc-timeout", $"{i % 30}m"))));
        Assert.All(responses, response => Assert.Contains(response.Status, (StatusCode[])[StatusCode.OK, StatusCode.DeadlineExceeded]));
        Assert.All(Enumerable.Range(1, 200).Where(i => i % 5 == 0), i => Assert.Equal(StatusCode.DeadlineExceeded, responses[i - 1].Status));
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
            // As much as a client takes in that time; a deadline that comes late must not fill its memory.
            for (int i = 0; i < (32 << 20) / messageLength; i++) await answers.WriteAsync(answer, context.CancellationToken);
            await Task.Delay(Timeout.Infinite, context.CancellationToken);
        };
        // One call breaks in a hundred if a write that is cancelled takes the stream with it.
        for (int round = 0; round < 15; round++)
        {
            RawResponse[] responses = await Task.WhenAll(Enumerable.Range(0, 10).Select(i => host.CallAsync("Stream", new Ask(), ("grpc-timeout", $"{20 + (i * 7)}m"))));
            Assert.All(responses, response => Assert.Equal(StatusCode.DeadlineExceeded, response.Status));
            Assert.All(responses.SelectMany(response => response.Messages(Answer.Parser)), message => Assert.Equal(messageLength, message.Text.Length));
        }
    }

    private static Task<ProbeHost> StartAsync(TimeProvider clock) => ProbeHost.StartAsync(services: services => services.AddSingleton(clock));
}
