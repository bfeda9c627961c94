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

    /// <summary>Returns when Redis has answered.</summary>
    /// <exception cref="RedisConnectionException">Redis refuses the password.</exception>
    public async Task StartAsync(CancellationToken cancellationToken)
    {
        for (string? failure = null; await TryAsync(cancellationToken) is { } reason; failure = reason)
        {
            if (failure != reason) LogWaiting(reason);
            await Task.Delay(RetryPause, clock, cancellationToken);
        }
    }

    /// <inheritdoc/>
    public Task StopAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    /// <summary>Why Redis does not answer; null if it does.</summary>
    private async Task<string?> TryAsync(CancellationToken cancellationToken)
    {
        try
        {
            // Old clients resolve names and connect before they return.
            await Task.Run(PingAsync, CancellationToken.None).WaitAsync(Limit, clock, cancellationToken);
            return null;
        }
        catch (RedisConnectionException e) when (e.FailureType != ConnectionFailureType.AuthenticationFailure)
        {
            return e.Message;
        }
        catch (TimeoutException e)
        {
            return e.Message;
        }
    }

    private async Task PingAsync()
    {
        using ConnectionMultiplexer redis = await ConnectionMultiplexer.ConnectAsync(connection);
        await redis.GetDatabase().PingAsync();
    }

    [LoggerMessage(Level = LogLevel.Warning, Message = "waiting for Redis, which keeps the membership: {Reason}")]
    private partial void LogWaiting(string reason);
}
