namespace Conclave.Grains.Tests.Experts;

/// <summary>Auto mode follows measured times, by size of step, and notices when they change.</summary>
public sealed class MicroBatchChooserTests
{
    [Fact]
    public void The_faster_mode_wins_for_each_size_of_step()
    {
        var chooser = new MicroBatchChooser();
        int twoOfLarge = 0, twoOfSmall = 0;
        for (int i = 0; i < 1000; i++)
        {
            twoOfLarge += Step(chooser, 32, one: 20, two: 15) - 1;
            twoOfSmall += Step(chooser, 4, one: 10, two: 13) - 1;
        }

        Assert.InRange(twoOfLarge, 950, 999);
        Assert.InRange(twoOfSmall, 1, 50);
        Assert.Equal((2, 1), (chooser.Preferred(32, 8), chooser.Preferred(4, 8)));
        Assert.Equal(2, chooser.Preferred(40, 8));
    }

    [Fact]
    public void A_change_is_noticed_and_one_outlier_is_not()
    {
        var chooser = new MicroBatchChooser();
        for (int i = 0; i < 100; i++) Step(chooser, 32, one: 20, two: 15);
        chooser.Record(32, 8, 2, TimeSpan.FromSeconds(5));
        Assert.Equal(2, chooser.Preferred(32, 8));
        for (int i = 0; i < 2000; i++) Step(chooser, 32, one: 10, two: 15);
        Assert.Equal(1, chooser.Preferred(32, 8));
    }

    [Fact]
    public void Passes_of_one_layer_are_judged_by_themselves_and_single_rows_are_never_cut()
    {
        var chooser = new MicroBatchChooser();
        for (int i = 0; i < 100; i++)
        {
            Step(chooser, 32, one: 20, two: 15);
            Assert.InRange(chooser.Choose(32, 1), 1, 2);
            chooser.Record(32, 1, 1, TimeSpan.FromMilliseconds(1));
            chooser.Record(32, 1, 2, TimeSpan.FromMilliseconds(2));
            Assert.Equal(1, chooser.Choose(1, 8));
        }

        Assert.Equal((2, 1), (chooser.Preferred(32, 8), chooser.Preferred(32, 1)));
    }

    private static int Step(MicroBatchChooser chooser, int rows, double one, double two)
    {
        int mode = chooser.Choose(rows, 8);
        chooser.Record(rows, 8, mode, TimeSpan.FromMilliseconds(mode == 1 ? one : two));
        return mode;
    }
}
