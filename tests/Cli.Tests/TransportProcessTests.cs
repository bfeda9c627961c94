using System.Collections.Concurrent;
using System.Diagnostics;
using System.Runtime.InteropServices;
using System.Text.Json;
using Conclave.Grains.Transport;

namespace Conclave.Cli.Tests;

/// <summary>The tensor transport between processes: its measurement, and peers that are killed or stopped.</summary>
public sealed partial class TransportProcessTests
{
    private const int Stop = 19, Continue = 18;

    private static readonly TimeSpan Limit = TimeSpan.FromMinutes(2);

    [Fact]
    public async Task Bench_transport_measures_every_size_over_both_wires()
    {
        Outcome run = await Command.Run(["bench", "transport", "--seconds", "1", "--json"]);
        Assert.True(run.Code == 0, run.Error);
        using JsonDocument figures = JsonDocument.Parse(run.Out);
        Assert.Equal(20, figures.RootElement.GetArrayLength());
        foreach (JsonElement figure in figures.RootElement.EnumerateArray())
        {
            Assert.InRange(figure.GetProperty("p50Us").GetDouble(), 0.1, 10_000_000);
            Assert.InRange(figure.GetProperty("p99Us").GetDouble(), figure.GetProperty("p50Us").GetDouble(), double.MaxValue);
            Assert.InRange(figure.GetProperty("floorP50Us").GetDouble(), 0.1, 10_000_000);
        }
    }

    [Fact]
    public async Task A_measuring_time_that_is_none_is_bad_usage()
    {
        Outcome run = await Command.Run(["bench", "transport", "--seconds", "0"]);
        Assert.Equal(2, run.Code);
        Assert.Contains("--seconds", run.Error, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task A_killed_process_is_suspected_without_waiting_for_silence(bool unix)
    {
        using var answering = new AnsweringProcess();
        using TensorTransport transport = Open(unix, suspectMs: 30_000);
        var suspected = new ConcurrentQueue<string>();
        transport.PeerSuspected += suspected.Enqueue;
        TransportPeer peer = transport.Connect(await answering.Address());
        Assert.True(peer.WaitAlive(Limit));
        Assert.Equal(unix, peer.UsesUnixSocket);
        answering.Kill();
        Assert.True(SpinWait.SpinUntil(() => suspected.Contains(peer.Address), Limit));
        using TensorCall call = peer.Rent(1);
        call.Send(Limit);
        Assert.Equal(CallStatus.PeerFailed, call.WaitForReply());
    }

    [Fact]
    public async Task A_stopped_process_is_suspected_by_its_silence_and_trusted_again_when_it_goes_on()
    {
        using var answering = new AnsweringProcess();
        using TensorTransport transport = Open(isUnix: true, suspectMs: 1000);
        TransportPeer peer = transport.Connect(await answering.Address());
        Assert.True(peer.WaitAlive(Limit));
        answering.Signal(Stop);
        Assert.True(SpinWait.SpinUntil(() => answering.IsStopped, Limit));
        using TensorCall call = peer.Rent(1);
        call.Kind = 1;
        call.Send(Limit);
        Assert.Equal(CallStatus.PeerFailed, call.WaitForReply());
        Assert.True(SpinWait.SpinUntil(() => peer.State == PeerState.Suspect, Limit));
        answering.Signal(Continue);
        // It may be suspected once more where it has to wait for a processor for a second.
        Assert.True(SpinWait.SpinUntil(() => peer.WaitAlive(Limit) && ReplyBytes(peer, 5) == 5, Limit));
    }

    /// <summary>Length of the reply to a request of <paramref name="bytes"/>; -1 if none came.</summary>
    private static int ReplyBytes(TransportPeer peer, int bytes)
    {
        using TensorCall call = peer.Rent(bytes);
        call.Kind = 1;
        call.Send(Limit);
        return call.WaitForReply() == CallStatus.Ok ? call.Reply.Length : -1;
    }

    private static TensorTransport Open(bool isUnix, int suspectMs)
    {
        var transport = new TensorTransport(new TransportOptions { UseUnixSocket = isUnix, SuspectMs = suspectMs });
        transport.Start();
        return transport;
    }

    [LibraryImport("libc")]
    private static partial int kill(int process, int signal);

    /// <summary>The second process of the measurement.</summary>
    private sealed class AnsweringProcess : IDisposable
    {
        private readonly Process _process = Process.Start(
            new ProcessStartInfo("dotnet", [Path.Combine(AppContext.BaseDirectory, "conclave.dll"), "bench", "transport", "--answer"]) { RedirectStandardInput = true, RedirectStandardOutput = true })!;

        public async Task<string> Address()
        {
            await _process.StandardOutput.ReadLineAsync();
            return (await _process.StandardOutput.ReadLineAsync())!;
        }

        public void Kill() => _process.Kill();

        public void Signal(int signal) => Assert.Equal(0, kill(_process.Id, signal));

        /// <summary>A signal may arrive a moment after it was sent.</summary>
        public bool IsStopped => File.ReadAllText($"/proc/{_process.Id}/stat").Contains(") T ", StringComparison.Ordinal);

        public void Dispose()
        {
            _process.Kill();
            _process.Dispose();
        }
    }
}
