namespace Conclave.Model.Tests.Numerics;

public sealed class StepBatchTests
{
    [Fact]
    public void What_does_not_fit_is_refused_by_name()
    {
        using var golden = new GoldenCase("tiny-f32");
        using var model = new TestModel(golden.Directory, maxRows: 40);
        var pages = model.NewSequence(64);
        Assert.Contains("Token 400", Refused(pages, [3, 400], LogitRows.Last), StringComparison.Ordinal);
        Assert.Contains("Token -7", Refused(pages, [-7], LogitRows.Last), StringComparison.Ordinal);
        Assert.Contains("holds 40 rows", Refused(pages, new int[41], LogitRows.None), StringComparison.Ordinal);
        Assert.Contains("at least one token", Refused(pages, [], LogitRows.None), StringComparison.Ordinal);
        pages.Length = 60;
        Assert.Contains("room for 64 tokens, 65 are needed", Refused(pages, new int[5], LogitRows.None), StringComparison.Ordinal);
        var huge = model.NewSequence(4200);
        huge.Length = 4090;
        Assert.Contains("outside the model's 4096", Refused(huge, new int[7], LogitRows.None), StringComparison.Ordinal);
        Assert.Equal(0, model.Batch.RowCount);
        model.Batch.Add(pages, [1], LogitRows.None);
        Assert.Contains("once", Refused(pages, [1], LogitRows.None), StringComparison.Ordinal);

        string Refused(KvPageTable table, int[] tokens, LogitRows logits) =>
            Assert.ThrowsAny<ArgumentException>(() => model.Batch.Add(table, tokens, logits)).Message;
    }

    [Fact]
    public void Only_asked_rows_get_logits()
    {
        using var golden = new GoldenCase("tiny-f32");
        using var model = new TestModel(golden.Directory);
        var expected = model.Run(model.NewSequence(64), golden.InputIds.AsSpan(0, 12)).Logits;
        model.Batch.Clear();
        var silent = model.NewSequence(64);
        model.Batch.Add(silent, golden.InputIds.AsSpan(0, 9), LogitRows.None);
        var row = model.Batch.Add(model.NewSequence(64), golden.InputIds.AsSpan(0, 12), LogitRows.Last);
        model.Transformer.Forward(model.Batch);
        Assert.Equal(1, model.Batch.LogitRowCount);
        Assert.Equal(9, silent.Length);
        Assert.Equal(expected.AsSpan()[^model.Config.VocabularySize..].ToArray(), model.Batch.Logits(row).ToArray());
        Assert.Throws<ArgumentOutOfRangeException>(() => model.Batch.Logits(1).Length);
    }
}
