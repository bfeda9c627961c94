using System.Buffers.Binary;
using System.Net;
using System.Net.Sockets;
using Conclave.Tests.Support;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Orleans;
using Orleans.Hosting;
using Orleans.Runtime;
using Orleans.Serialization;

namespace Conclave.Compat.Tests.Orleans;

/// <summary>Bytes from strangers and from broken peers: they are turned away, cost no memory and disturb nobody.</summary>
public sealed class StrangerTests
{
    [Fact]
    public async Task Random_bytes_are_turned_away()
    {
        await using TestCluster cluster = await TestCluster.StartAsync();
        var random = new Random(11);
        for (int i = 0; i < 60; i++)
        {
            byte[] bytes = new byte[random.Next(1, 3000)];
            random.NextBytes(bytes);
            // Half of them announce a plausible length, so that the content is looked at too.
            if (i % 2 == 0 && bytes.Length > 4) BinaryPrimitives.WriteInt32LittleEndian(bytes, Math.Min(bytes.Length - 4, 2000));
            using TcpClient stranger = await ConnectAsync(i % 3 == 0 ? cluster.Address(0).Endpoint.Port : cluster.GatewayPort(0));
            await TrySendAsync(stranger, bytes);
            if (bytes.Length > 2100) Assert.True(await IsClosedAsync(stranger));
        }
        await cluster.Client.GetGrain<IWorkGrain>("undisturbed").Nothing();
    }

    [Theory, InlineData(int.MaxValue), InlineData(-1), InlineData(2049)]
    public async Task A_first_frame_that_announces_too_much_is_turned_away(int size)
    {
        await using TestCluster cluster = await TestCluster.StartAsync();
        using TcpClient stranger = await ConnectAsync(cluster.GatewayPort(0));
        byte[] prefix = new byte[4];
        BinaryPrimitives.WriteInt32LittleEndian(prefix, size);
        await TrySendAsync(stranger, prefix);
        Assert.True(await IsClosedAsync(stranger));
    }

    [Fact]
    public async Task A_frame_that_announces_too_much_ends_the_connection()
    {
        await using TestCluster cluster = await TestCluster.StartAsync();
        var codecs = cluster.Silos[0].Services.GetRequiredService<SiloRuntime>().Codecs;
        using TcpClient announcing = await GreetAsync(cluster.GatewayPort(0), cluster.Address(0), codecs, announced: 90 * 1024 * 1024);
        using TcpClient tooLong = await GreetAsync(cluster.GatewayPort(0), cluster.Address(0), codecs, announced: 200 * 1024 * 1024);
        Assert.True(await IsClosedAsync(tooLong));
        await cluster.Client.GetGrain<IWorkGrain>("announced").Nothing();
    }

    [Fact]
    public async Task An_announced_length_takes_no_memory()
    {
        const int Announced = 90 * 1024 * 1024;
        using var listener = new TcpListener(IPAddress.Loopback, 0);
        listener.Start();
        using TcpClient stranger = await ConnectAsync(((IPEndPoint)listener.LocalEndpoint).Port);
        using Socket accepted = await listener.AcceptSocketAsync();
        var frames = new FrameReader(accepted, Announced);
        // One byte, and what announces the next frame: both come together, so the reader has seen the announcement when it asks for more.
        byte[] bytes = [1, 0, 0, 0, 7, .. BitConverter.GetBytes(Announced)];
        await stranger.GetStream().WriteAsync(bytes);
        Assert.Equal([7], (await frames.ReadAsync(CancellationToken.None))!);
        long before = GC.GetAllocatedBytesForCurrentThread();
        Task<byte[]?> next = frames.ReadAsync(CancellationToken.None).AsTask();
        Assert.InRange(GC.GetAllocatedBytesForCurrentThread() - before, 0, 1024 * 1024);
        stranger.Close();
        await Assert.ThrowsAsync<SerializerException>(() => next);
    }

    [Fact]
    public async Task Wrong_bytes_after_the_greeting_are_ignored()
    {
        await using TestCluster cluster = await TestCluster.StartAsync();
        var codecs = cluster.Silos[0].Services.GetRequiredService<SiloRuntime>().Codecs;
        var random = new Random(12);
        using TcpClient client = await GreetAsync(cluster.GatewayPort(0), cluster.Address(0), codecs, announced: 0);
        for (int i = 0; i < 500; i++)
        {
            byte[] frame = new byte[4 + random.Next(1, 200)];
            random.NextBytes(frame);
            BinaryPrimitives.WriteInt32LittleEndian(frame, frame.Length - 4);
            frame[4] = (byte)random.Next(0, 8);
            await client.GetStream().WriteAsync(frame);
        }
        await cluster.Client.GetGrain<IWorkGrain>("undisturbed").Nothing();
    }

    [Fact]
    public async Task A_client_of_another_cluster_is_told_so()
    {
        await using TestCluster cluster = await TestCluster.StartAsync();
        var builder = Host.CreateApplicationBuilder();
        builder.UseOrleansClient(client => client.BePatient().UseLocalhostClustering(cluster.GatewayPort(0), "dev", "another"));
        using IHost host = builder.Build();
        var refusal = await Assert.ThrowsAsync<SiloUnavailableException>(() => host.StartAsync());
        Assert.Contains("of cluster \"dev\", not of \"another\"", refusal.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_client_may_wait_for_the_first_silo()
    {
        int port = FreePorts.Next();
        int gateway = FreePorts.Next();
        int attempts = 0;
        var builder = Host.CreateApplicationBuilder();
        builder.UseOrleansClient(client =>
        {
            client.BePatient().UseLocalhostClustering(gateway);
            client.UseConnectionRetryFilter(async (_, token) =>
            {
                attempts++;
                await Task.Delay(20, token);
                return true;
            });
        });
        using IHost client = builder.Build();
        Task starting = client.StartAsync();
        await TestCluster.UntilAsync(() => Task.FromResult(attempts > 1), "the client tries again");
        var silo = Host.CreateApplicationBuilder();
        silo.BePatient().UseOrleans(builder => builder.BePatient().UseLocalhostClustering(port, gateway));
        using IHost host = silo.Build();
        await host.StartAsync();
        await starting.WaitAsync(TimeSpan.FromMinutes(2));
        await client.Services.GetRequiredService<IClusterClient>().GetGrain<IWorkGrain>("waited").Nothing();
        await client.StopAsync();
        await host.StopAsync();
    }

    private static async Task<TcpClient> ConnectAsync(int port)
    {
        var client = new TcpClient();
        await client.ConnectAsync(IPAddress.Loopback, port);
        return client;
    }

    /// <summary>A client that introduces itself properly and then announces a frame.</summary>
    private static async Task<TcpClient> GreetAsync(int port, SiloAddress silo, CodecProvider codecs, int announced)
    {
        TcpClient client = await ConnectAsync(port);
        var hello = new Hello("dev", SiloAddress.New(IPAddress.Loopback, 0, -7), silo);
        Answer answer = await Handshake.CallAsync(client.Client, hello, codecs, CancellationToken.None);
        Assert.Equal(Admission.Welcome, answer.Admission);
        byte[] prefix = new byte[4];
        BinaryPrimitives.WriteInt32LittleEndian(prefix, announced);
        if (announced > 0) await client.GetStream().WriteAsync(prefix);
        return client;
    }

    private static async Task TrySendAsync(TcpClient client, byte[] bytes)
    {
        try
        {
            await client.GetStream().WriteAsync(bytes);
        }
        catch (IOException e)
        {
            Assert.IsType<SocketException>(e.InnerException);
        }
    }

    /// <summary>Reads until the other end hangs up.</summary>
    private static async Task<bool> IsClosedAsync(TcpClient client)
    {
        try
        {
            byte[] buffer = new byte[4096];
            while (await client.GetStream().ReadAsync(buffer).AsTask().WaitAsync(TimeSpan.FromMinutes(2)) > 0) continue;
            return true;
        }
        catch (IOException)
        {
            return true;
        }
    }
}
