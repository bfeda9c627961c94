using Conclave.Grains.Transport;

namespace Conclave.Grains.Tests.Transport;

/// <summary>When suspicion is enough to declare a silo dead, and what silence is held against whom.</summary>
public sealed class VerdictTests
{
    // self, members, suspicions as reporter:suspect..., condemned
    [Theory]
    [InlineData("a", "ab", "", "")]
    [InlineData("a", "ab", "a:b", "b")]
    [InlineData("a", "abc", "a:c", "")]
    [InlineData("a", "abc", "a:c b:c", "c")]
    [InlineData("a", "abc", "b:c", "")]
    [InlineData("a", "abc", "b:c c:b", "")]
    [InlineData("a", "abc", "a:bc", "")]
    [InlineData("a", "abc", "a:bc b:c", "")]
    [InlineData("a", "abcd", "a:d b:d", "d")]
    [InlineData("a", "abcde", "a:e b:e", "")]
    [InlineData("a", "abcde", "a:e b:e d:e", "e")]
    [InlineData("a", "abcde", "b:e c:e d:e", "e")]
    [InlineData("a", "abcde", "a:de b:de c:de", "de")]
    [InlineData("a", "abcde", "a:cde b:cde", "")]
    [InlineData("c", "abcde", "c:ab d:ab e:ab", "ab")]
    [InlineData("a", "abcd", "a:cd b:cd", "cd")]
    [InlineData("c", "abcd", "c:ab d:ab", "")]
    [InlineData("a", "abc", "a:c c:b b:c", "c")]
    [InlineData("a", "abc", "x:c y:c", "")]
    public void Enough_peers_must_agree(string self, string members, string suspicions, string condemned)
    {
        var verdicts = new FailureVerdicts();
        foreach (string said in suspicions.Split(' ', StringSplitOptions.RemoveEmptyEntries)) verdicts.Report(said[..1], said[2..].Select(c => c.ToString()));
        Assert.Equal(condemned, string.Concat(verdicts.Condemned(self, [.. members.Select(c => c.ToString())])));
    }

    [Fact]
    public void The_last_word_counts_and_the_word_of_one_who_left_does_not()
    {
        var verdicts = new FailureVerdicts();
        verdicts.Report("a", ["c"]);
        verdicts.Report("b", ["c"]);
        Assert.Equal(["c"], verdicts.Condemned("a", ["a", "b", "c"]));
        verdicts.Report("b", []);
        Assert.Empty(verdicts.Condemned("a", ["a", "b", "c"]));
        verdicts.Report("b", ["c"]);
        verdicts.Forget("b");
        Assert.Empty(verdicts.Condemned("a", ["a", "c", "d"]));
        verdicts.Forget("c");
        Assert.Empty(verdicts.Condemned("a", ["a", "c"]));
    }

    [Fact]
    public void Time_in_which_we_stood_still_is_not_held_against_others()
    {
        var running = new RunningTime(25, 1000);
        Assert.Equal(25, running.Advance(1025, out long stalled));
        Assert.Equal(0, stalled);
        Assert.Equal(60, running.Advance(1085, out stalled));
        Assert.Equal(0, stalled);
        Assert.Equal(25, running.Advance(6085, out stalled));
        Assert.Equal(4975, stalled);
        Assert.Equal(26, running.Advance(6111, out _));
    }

    [Fact]
    public void Silence_grows_by_running_time_until_something_is_heard()
    {
        var silence = new Silence();
        Assert.Equal(0, silence.Observe(50, false, 25));
        Assert.Equal(25, silence.Observe(50, false, 25));
        Assert.Equal(50, silence.Observe(50, false, 25));
        Assert.Equal(0, silence.Observe(50, hasUnread: true, 25));
        Assert.Equal(25, silence.Observe(50, false, 25));
        Assert.Equal(0, silence.Observe(51, false, 25));
    }
}
