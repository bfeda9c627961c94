namespace Conclave.Cli.Tests;

public sealed class TextTableTests
{
    [Fact]
    public void Columns_are_as_wide_as_they_must_be_words_to_the_left_and_numbers_to_the_right()
    {
        var table = new TextTable(1, "work", "weights\nGB/s", "n");
        table.AddRow("prefill 512", "", "1");
        table.AddRow("decode 1", "16.04", "22");
        Assert.Equal(
            """
                         weights
            work            GB/s   n
            -----------  -------  --
            prefill 512            1
            decode 1       16.04  22

            """, table.ToString());
    }

    [Fact]
    public void Cells_that_are_missing_are_empty_and_too_many_are_refused()
    {
        var table = new TextTable(1, "a", "b");
        table.AddRow("x");
        Assert.Equal("a  b\n-  -\nx\n", table.ToString());
        Assert.Throws<ArgumentException>(() => table.AddRow("x", "y", "z"));
    }

    /// <summary>In a pipe, where no terminal tells how wide it is.</summary>
    [Theory]
    [InlineData("tokens/s", "bench", "model", "--prefill", "24", "--decode", "2", "--batch", "1,2", "--context", "8", "--threads", "1", "--runs", "1", "--profile")]
    [InlineData("attention", "bench", "context", "--lengths", "64,128", "--chunk", "16", "--decode", "1", "--threads", "1", "--runs", "1")]
    public async Task Tables_of_measurements_fit_eighty_columns_whole(string heading, params string[] command)
    {
        Outcome run = await Command.Run([.. command, "--model", Command.Golden("tiny-f32")]);
        Assert.True(run.Code == 0, run.Error);
        Assert.Contains(heading, run.Out, StringComparison.Ordinal);
        Assert.DoesNotContain("…", run.Out, StringComparison.Ordinal);
        int rules = 0;
        for (int i = 0; i < run.Lines.Length; i++)
        {
            if (!run.Lines[i].StartsWith("--", StringComparison.Ordinal)) continue;
            rules++;
            Assert.InRange(run.Lines[i].Length, 1, 80);
            Assert.All(run.Lines[i..Math.Min(run.Lines.Length, i + 3)], line => Assert.InRange(line.Length, 1, run.Lines[i].Length));
        }

        Assert.InRange(rules, 1, 2);
    }
}
