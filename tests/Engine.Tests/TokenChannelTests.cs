namespace Conclave.Engine.Tests;

public sealed class TokenChannelTests
{
    /// <summary>With pauses the reader waits for nearly every token, without it waits hardly ever.</summary>
    [Theory]
    [InlineData(0)]
    [InlineData(30)]
    [InlineData(300)]
    public async Task Tokens_arrive_in_order_under_contention(int pause)
    {
        int count = pause == 0 ? 200_000 : 50_000;
        var channel = new TokenChannel();
        channel.Reserve(count, 0);
        var producer = Task.Run(() =>
        {
            for (int i = 0; i < count; i++)
            {
                channel.Write(new GeneratedToken(i, i));
                Thread.SpinWait(pause);
            }

            channel.TryEnd(FinishReason.Length);
        });

        int expected = 0;
        while (await channel.WaitToReadAsync(CancellationToken.None))
        {
            while (channel.TryRead(out GeneratedToken token))
                Assert.Equal(expected++, token.Id);
        }

        await producer;
        Assert.Equal(count, expected);
        Assert.Equal(FinishReason.Length, channel.End);
        Assert.False(await channel.WaitToReadAsync(CancellationToken.None));
    }

    [Fact]
    public async Task An_error_comes_after_the_tokens_before_it()
    {
        var channel = new TokenChannel();
        channel.Reserve(2, 0);
        channel.Write(new GeneratedToken(1, 0));
        channel.TryEnd(FinishReason.Failed, new OperatingException(OperatingError.Internal, "broken"));
        Assert.True(await channel.WaitToReadAsync(CancellationToken.None));
        Assert.True(channel.TryRead(out _));
        var error = await Assert.ThrowsAsync<OperatingException>(async () => await channel.WaitToReadAsync(CancellationToken.None));
        Assert.Equal((OperatingError.Internal, "broken"), (error.Error, error.Message));
    }

    [Fact]
    public async Task An_error_wakes_who_waits()
    {
        var channel = new TokenChannel();
        ValueTask<bool> wait = channel.WaitToReadAsync(CancellationToken.None);
        Assert.False(wait.IsCompleted);
        channel.TryEnd(FinishReason.Failed, new OperatingException(OperatingError.Unavailable, "gone"));
        Assert.Equal("gone", (await Assert.ThrowsAsync<OperatingException>(async () => await wait)).Message);
    }

    [Fact]
    public async Task A_wait_can_be_cancelled_and_another_begun()
    {
        var channel = new TokenChannel();
        channel.Reserve(1, 0);
        using var cancellation = new CancellationTokenSource();
        ValueTask<bool> wait = channel.WaitToReadAsync(cancellation.Token);
        cancellation.Cancel();
        var cancelled = await Assert.ThrowsAnyAsync<OperationCanceledException>(async () => await wait);
        Assert.Equal(cancellation.Token, cancelled.CancellationToken);
        await Assert.ThrowsAnyAsync<OperationCanceledException>(async () => await channel.WaitToReadAsync(cancellation.Token));

        wait = channel.WaitToReadAsync(CancellationToken.None);
        channel.Write(new GeneratedToken(5, 0));
        Assert.True(await wait);
    }

    [Fact]
    public void A_second_wait_at_the_same_time_is_refused()
    {
        var channel = new TokenChannel();
        ValueTask<bool> first = channel.WaitToReadAsync(CancellationToken.None);
        Assert.Throws<InvalidOperationException>(() => { _ = channel.WaitToReadAsync(CancellationToken.None); });
        Assert.False(first.IsCompleted);
    }

    [Fact]
    public async Task Cancelling_waits_at_random_loses_no_token()
    {
        const int Count = 3_000;
        var channel = new TokenChannel();
        channel.Reserve(Count, 0);
        var producer = Task.Run(async () =>
        {
            for (int i = 0; i < Count; i++)
            {
                channel.Write(new GeneratedToken(i, 0));
                if (i % 7 == 0)
                    await Task.Yield();
            }

            channel.TryEnd(FinishReason.Length);
        });

        int read = 0;
        for (bool open = true; open;)
        {
            using var cancellation = new CancellationTokenSource();
            ValueTask<bool> wait = channel.WaitToReadAsync(cancellation.Token);
            var canceller = Task.Run(cancellation.Cancel);
            try
            {
                open = await wait;
            }
            catch (OperationCanceledException cancelled)
            {
                Assert.Equal(cancellation.Token, cancelled.CancellationToken);
            }

            await canceller;
            if (channel.TryRead(out GeneratedToken token))
                Assert.Equal(read++, token.Id);
        }

        await producer;
        Assert.Equal(Count, read);
    }

    [Fact]
    public void Only_the_first_end_counts()
    {
        var channel = new TokenChannel();
        Assert.True(channel.TryEnd(FinishReason.Cancelled));
        Assert.False(channel.TryEnd(FinishReason.Length));
        Assert.Equal(FinishReason.Cancelled, channel.End);
    }

    [Fact]
    public void Alternatives_belong_to_the_token_read_last()
    {
        var channel = new TokenChannel();
        channel.Reserve(2, 2);
        Assert.True(channel.Alternatives.IsEmpty);
        for (int i = 0; i < 2; i++)
        {
            channel.NextAlternatives[0] = new GeneratedToken(10 + i, -1);
            channel.NextAlternatives[1] = new GeneratedToken(20 + i, -2);
            channel.Write(new GeneratedToken(i, 0));
        }

        channel.TryRead(out _);
        Assert.Equal([new GeneratedToken(10, -1), new GeneratedToken(20, -2)], channel.Alternatives.ToArray());
        channel.TryRead(out _);
        Assert.Equal([new GeneratedToken(11, -1), new GeneratedToken(21, -2)], channel.Alternatives.ToArray());
    }
}
