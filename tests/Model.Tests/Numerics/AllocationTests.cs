namespace Conclave.Model.Tests.Numerics;

/// <summary>A pass allocates nothing on the managed heap once warm.</summary>
public sealed class AllocationTests
{
    [Theory]
    [InlineData("tiny-f32")]
    [InlineData("fp8-aligned")]
    [InlineData("dsa")]
    [InlineData("mtp")]
    public void Prefill_and_decoding_allocate_nothing(string name)
    {
        using var golden = new GoldenCase(name);
        using var model = new TestModel(golden.Directory, threads: 2);
        var module = model.Config.NextTokenPredictLayers > 0 ? new MtpModule(model.Transformer) : null;
        var hidden = new float[model.Config.HiddenSize];
        var pages = model.NewSequence(256);
        var other = model.NewSequence(256);
        Step(40);
        for (var i = 0; i < 20; i++)
            Step(1);

        var before = GC.GetAllocatedBytesForCurrentThread();
        for (var i = 0; i < 20; i++)
            Step(1);
        Step(33);
        Assert.Equal(0, GC.GetAllocatedBytesForCurrentThread() - before);
        module?.Dispose();

        void Step(int rows)
        {
            model.Batch.Clear();
            model.Batch.Add(pages, golden.InputIds.AsSpan(0, rows), LogitRows.Last);
            model.Batch.Add(other, golden.InputIds.AsSpan(0, 1), LogitRows.All);
            model.Transformer.Forward(model.Batch);
            if (module is null)
                return;
            model.Batch.Hidden(0).CopyTo(hidden);
            model.Batch.Clear();
            model.Batch.Add(pages, pages.Length - 1, golden.InputIds.AsSpan(3, 1), LogitRows.Last);
            module.Forward(model.Batch, hidden);
        }
    }

    [Fact]
    public void Worker_threads_allocate_nothing()
    {
        using var workers = new WorkerPool(3);
        long[] allocated = new long[3], before = new long[3];
        Loop(100);
        allocated.CopyTo(before, 0);
        Loop(2000);
        for (var i = 0; i < allocated.Length; i++)
            Assert.True(before[i] == 0 || allocated[i] == before[i], $"thread {i}: {before[i]} then {allocated[i]}");

        void Loop(int rounds)
        {
            var loop = new RecordLoop { Allocated = allocated };
            for (var i = 0; i < rounds; i++)
                workers.Run(ref loop, 64, 1);
        }
    }

    private struct RecordLoop : IParallelLoop
    {
        public long[] Allocated;

        public readonly void Run(int start, int end, int worker) => Allocated[worker] = GC.GetAllocatedBytesForCurrentThread();
    }
}
