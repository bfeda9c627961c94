using System.Net;
using System.Net.Sockets;
using Conclave.Silo;
using Conclave.Tests.Support;
using StackExchange.Redis;

namespace Conclave.Compat.Tests.Orleans;

/// <summary>A connection to Redis comes back after whatever happened to it.</summary>
public sealed class RedisLinkTests
{
    [Fact]
    public async Task A_connection_that_hangs_is_replaced()
    {
        await using RedisServer redis = await RedisServer.StartAsync();
        using var way = new Detour(redis.Port);
        await using var link = new RedisLink($"127.0.0.1:{way.Port}", "test", TimeProvider.System) { RenewAfter = TimeSpan.FromMilliseconds(100) };
        int restored = 0;
        link.Restored += _ => Interlocked.Increment(ref restored);
        await TestCluster.UntilAsync(async () => !await FailsAsync(link), "asking succeeds");
        Assert.Equal(0, restored);
        // What was connected stays so, and is never answered again: the client itself would wait for ever.
        way.ForgetAll();
        await Assert.ThrowsAnyAsync<TimeoutException>(() => AskAsync(link));
        await TestCluster.UntilAsync(async () => !await FailsAsync(link), "asking succeeds again");
        Assert.True(Volatile.Read(ref restored) > 0);
    }

    [Fact]
    public async Task Errors_tell_of_Redis_that_is_gone_and_end_when_it_is_back()
    {
        await using RedisServer redis = await RedisServer.StartAsync(password: "open-sesame");
        await using var link = new RedisLink(redis.ConnectionString, "test", TimeProvider.System) { RenewAfter = TimeSpan.FromMilliseconds(100) };
        for (int round = 0; round < 3; round++)
        {
            await TestCluster.UntilAsync(async () => !await FailsAsync(link), "asking succeeds");
            await redis.StopAsync();
            await TestCluster.UntilAsync(() => FailsAsync(link), "asking fails");
            await redis.RestartAsync();
            await TestCluster.UntilAsync(async () => !await FailsAsync(link), "asking succeeds");
        }
    }

    private static async Task AskAsync(RedisLink link) => Assert.True(await link.AskAsync(redis => redis.StringSetAsync("key", "value"), default));

    private static async Task<bool> FailsAsync(RedisLink link)
    {
        try
        {
            await AskAsync(link);
            return false;
        }
        catch (Exception e) when (e is RedisConnectionException or TimeoutException)
        {
            return true;
        }
    }

    /// <summary>A port that leads to another one.</summary>
    private sealed class Detour : IDisposable
    {
        private readonly TcpListener _listener = new(IPAddress.Loopback, 0);
        private readonly List<(Socket From, Socket To)> _pairs = [];
        private int _forgotten;

        public Detour(int target)
        {
            _listener.Start();
            _ = AcceptAsync(target);
        }

        public int Port => ((IPEndPoint)_listener.LocalEndpoint).Port;

        /// <summary>From now on nothing crosses the connections that there are; new ones work.</summary>
        public void ForgetAll()
        {
            lock (_pairs) _forgotten = _pairs.Count;
        }

        public void Dispose()
        {
            _listener.Stop();
            lock (_pairs)
            {
                foreach ((Socket from, Socket to) in _pairs)
                {
                    from.Dispose();
                    to.Dispose();
                }
            }
        }

        private async Task AcceptAsync(int target)
        {
            while (true)
            {
                Socket from = await _listener.AcceptSocketAsync();
                var to = new Socket(SocketType.Stream, ProtocolType.Tcp);
                await to.ConnectAsync(IPAddress.Loopback, target);
                int index;
                lock (_pairs)
                {
                    index = _pairs.Count;
                    _pairs.Add((from, to));
                }

                _ = CopyAsync(from, to, index);
                _ = CopyAsync(to, from, index);
            }
        }

        private async Task CopyAsync(Socket from, Socket to, int index)
        {
            byte[] buffer = new byte[4096];
            while (await from.ReceiveAsync(buffer) is > 0 and int size)
            {
                bool isForgotten;
                lock (_pairs) isForgotten = index < _forgotten;
                if (!isForgotten) await to.SendAsync(buffer.AsMemory(0, size));
            }
        }
    }
}
