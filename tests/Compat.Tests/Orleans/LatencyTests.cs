using System.Diagnostics;
using Conclave.Tests.Support;
using Orleans;
using OrleansSample;
using Xunit.Abstractions;

namespace Conclave.Compat.Tests.Orleans;

/// <summary>How long a call takes from one process to another and back.</summary>
[Collection(ProcessTestGroup.Name)]
public sealed class LatencyTests(ITestOutputHelper output)
{
    [Fact]
    public async Task An_empty_call_comes_back_quickly()
    {
        int port = FreePorts.Next();
        string[] cluster = ["--cluster", "latency", "--primary", $"{port}"];
        await using SiloProcess first = await SiloProcess.StartAsync(cluster, port);
        await using SiloProcess second = await SiloProcess.StartAsync(cluster);
        await using var client = await ProcessClient.ConnectAsync("latency", [first.Gateway]);
        var grains = new[] { client.Grains.GetGrain<ISequenceGrain>("ping@0"), client.Grains.GetGrain<ISequenceGrain>("ping@1") };
        double quick = double.MaxValue;
        foreach (ISequenceGrain grain in grains)
        {
            var times = new double[4000];
            for (int i = 0; i < times.Length; i++)
            {
                long start = Stopwatch.GetTimestamp();
                await grain.Peek();
                times[i] = Stopwatch.GetElapsedTime(start).TotalMicroseconds;
            }
            double[] warm = [.. times[2000..].Order()];
            quick = Math.Min(quick, warm[warm.Length / 100]);
            output.WriteLine($"{grain.GetPrimaryKeyString()}: p50 {warm[warm.Length / 2]:F0} us, p99 {warm[warm.Length * 99 / 100]:F0} us");
        }
        // Of the quickest ones, and far more than those take on an idle machine: this one may be busy.
        Assert.True(quick < 2000, $"One round trip in a hundred is quicker than {quick:F0} us, no more.");
    }
}
