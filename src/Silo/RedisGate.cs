using System.Net;
using System.Net.Sockets;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using StackExchange.Redis;

namespace Conclave.Silo;

/// <summary>
/// Holds up a silo's start until Redis answers: Orleans gives a silo up whose membership table cannot be reached at that moment, though all it takes is
/// to wait. Once started, a silo needs Redis no more than now and then.
/// </summary>
internal sealed partial class RedisGate(string connection, TimeProvider clock, ILogger<RedisGate> logger) : IHostedService
{
    private static readonly TimeSpan Limit = TimeSpan.FromSeconds(10);
    private static readonly TimeSpan RetryPause = TimeSpan.FromMilliseconds(500);

    /// <summary>How often it says that it still waits.</summary>
    private static readonly TimeSpan ReminderPeriod = TimeSpan.FromSeconds(10);

    /// <summary>Returns when Redis has answered; says at once, and again from time to time, what it waits for.</summary>
    /// <exception cref="RedisConnectionException">Redis refuses the password.</exception>
    public async Task StartAsync(CancellationToken cancellationToken)
    {
        long started = clock.GetTimestamp(), told = started;
        for (string? last = null; await TryAsync(cancellationToken) is { } reason; last = reason)
        {
            if (last != reason || clock.GetElapsedTime(told) >= ReminderPeriod)
            {
                told = clock.GetTimestamp();
                LogWaiting(clock.GetElapsedTime(started).TotalSeconds, reason);
            }

            await Task.Delay(RetryPause, clock, cancellationToken);
        }
    }

    /// <inheritdoc/>
    public Task StopAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    /// <summary>Why Redis does not answer; null if it does.</summary>
    private async Task<string?> TryAsync(CancellationToken cancellationToken)
    {
        foreach (EndPoint endPoint in ConfigurationOptions.Parse(connection).EndPoints)
            if (await FindObstacleAsync(endPoint, cancellationToken) is { } obstacle) return obstacle;
        try
        {
            // Old clients resolve names and connect before they return.
            await Task.Run(PingAsync, CancellationToken.None).WaitAsync(Limit, clock, cancellationToken);
            return null;
        }
        catch (RedisConnectionException e) when (e.FailureType != ConnectionFailureType.AuthenticationFailure)
        {
            return $"it accepts connections, but does not answer ({e.FailureType})";
        }
        catch (TimeoutException)
        {
            return $"it accepts connections, but has not answered for {Limit.TotalSeconds:F0} s";
        }
    }

    /// <summary>Why there is no way to <paramref name="endPoint"/>: Redis's own clients tell no more than that there is none.</summary>
    private async Task<string?> FindObstacleAsync(EndPoint endPoint, CancellationToken cancellationToken)
    {
        using var socket = new Socket(SocketType.Stream, ProtocolType.Tcp);
        using var limit = new CancellationTokenSource(Limit, clock);
        using var either = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken, limit.Token);
        string name = endPoint is DnsEndPoint dns ? $"{dns.Host}:{dns.Port}" : $"{endPoint}";
        try
        {
            await socket.ConnectAsync(endPoint, either.Token);
            return null;
        }
        catch (SocketException e) when (e.SocketErrorCode is SocketError.HostNotFound or SocketError.NoData or SocketError.TryAgain)
        {
            return $"the host name of {name} cannot be resolved ({e.Message}); see --redis";
        }
        catch (SocketException e)
        {
            return $"{name} cannot be connected to ({e.Message}); see --redis";
        }
        catch (OperationCanceledException) when (!cancellationToken.IsCancellationRequested)
        {
            return $"{name} does not take a connection within {Limit.TotalSeconds:F0} s; see --redis";
        }
    }

    private async Task PingAsync()
    {
        using ConnectionMultiplexer redis = await ConnectionMultiplexer.ConnectAsync(connection);
        await redis.GetDatabase().PingAsync();
    }

    [LoggerMessage(Level = LogLevel.Warning, Message = "waiting for Redis, which keeps the membership, for {Seconds:F0} s: {Reason}")]
    private partial void LogWaiting(double seconds, string reason);
}
