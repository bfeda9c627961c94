using Orleans;

namespace Conclave.Compat.Tests.Orleans;

/// <summary>Silos come and go while grains are called from everywhere.</summary>
public sealed class ChurnTests
{
    private const int Keys = 60;

    [Fact]
    public async Task No_call_fails_and_no_grain_is_active_twice()
    {
        await using TestCluster cluster = await TestCluster.StartAsync(2);
        using var stop = new CancellationTokenSource();
        int calls = 0;
        Task CallAsync(int caller) => Task.Run(async () =>
        {
            var random = new Random(caller);
            while (!stop.IsCancellationRequested)
            {
                // Callers are the client and the silo that stays.
                IGrainFactory grains = caller % 2 == 0 ? cluster.Client : cluster.Inside(0);
                var grain = grains.GetGrain<IWorkGrain>($"churn-{random.Next(Keys)}");
                if (random.Next(20) == 0) await grain.End();
                else await grain.Nothing();
                Interlocked.Increment(ref calls);
            }
        });
        Task[] callers = [.. Enumerable.Range(0, 6).Select(CallAsync)];
        for (int round = 0; round < 6; round++)
        {
            int before = Volatile.Read(ref calls);
            if (round % 2 == 0) await cluster.AddSiloAsync();
            else await cluster.RemoveSiloAsync(1);
            await TestCluster.UntilAsync(() => Task.FromResult(Volatile.Read(ref calls) > before + 200), "calls go on");
        }
        await stop.CancelAsync();
        await Task.WhenAll(callers);
        for (int key = 0; key < Keys; key++)
        {
            string[] journal = Journal.Of($"churn-{key}");
            for (int i = 0; i < journal.Length; i++) Assert.True(journal[i] == "activate" == (i % 2 == 0), $"churn-{key}: {string.Join(", ", journal)}");
        }
    }
}
