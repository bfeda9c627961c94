using System.Net;
using StackExchange.Redis;

namespace Conclave.Silo;

/// <summary>
/// A connection to Redis that comes back whatever happens. The client reconnects by itself in the background, but old versions of it (1.2 is one) now and then remain without a connection for ever after
/// Redis was gone. So when nothing has been answered for a while and another connection can be made, that one takes the place of the first. Thread-safe.
/// </summary>
/// <param name="connection">Redis as its clients take it.</param>
/// <param name="clientName">What Redis calls this client.</param>
/// <param name="clock">Tells the time.</param>
internal sealed class RedisLink(string connection, string clientName, TimeProvider clock) : IAsyncDisposable
{
    private static readonly TimeSpan ConnectLimit = TimeSpan.FromSeconds(10);
    private static readonly TimeSpan AnswerLimit = TimeSpan.FromSeconds(5);

    private readonly SemaphoreSlim _connecting = new(1);
    private ConnectionMultiplexer? _redis;
    private long _answered;
    private bool _isDisposed;

    /// <summary>For how long nothing must have been answered before another connection is tried.</summary>
    public TimeSpan RenewAfter { get; init; } = TimeSpan.FromSeconds(15);

    /// <summary>The connection is lost: to which server, and why.</summary>
    public event Action<EndPoint?, string>? Lost;

    /// <summary>The connection is there again.</summary>
    public event Action<EndPoint?>? Restored;

    /// <summary>Has <paramref name="action"/> ask Redis; what it answers.</summary>
    /// <exception cref="RedisException">There is no connection, or Redis refuses.</exception>
    /// <exception cref="TimeoutException">Redis does not answer.</exception>
    public async Task<T> AskAsync<T>(Func<IDatabase, Task<T>> action, CancellationToken token)
    {
        ConnectionMultiplexer redis = await ConnectAsync(token);
        try
        {
            T answer = await action(redis.GetDatabase()).WaitAsync(AnswerLimit, clock, token);
            Volatile.Write(ref _answered, clock.GetTimestamp());
            return answer;
        }
        catch (ObjectDisposedException e) when (!_isDisposed)
        {
            throw new TimeoutException("the connection to Redis was made anew meanwhile", e);
        }
        catch (Exception e) when (e is RedisConnectionException or TimeoutException)
        {
            if (clock.GetElapsedTime(Volatile.Read(ref _answered)) >= RenewAfter) await RenewAsync(redis, token);
            throw;
        }
    }

    /// <summary>Closes the connection.</summary>
    public async ValueTask DisposeAsync()
    {
        _isDisposed = true;
        if (Interlocked.Exchange(ref _redis, null) is { } redis) await CloseAsync(redis);
    }

    private async Task<ConnectionMultiplexer> ConnectAsync(CancellationToken token)
    {
        if (Volatile.Read(ref _redis) is { } open) return open;
        await _connecting.WaitAsync(token);
        try
        {
            if (_redis is { } made) return made;
            return Use(await OpenAsync(token));
        }
        finally
        {
            _connecting.Release();
        }
    }

    /// <summary>Puts another connection in the place of <paramref name="silent"/>, if one can be made.</summary>
    private async Task RenewAsync(ConnectionMultiplexer silent, CancellationToken token)
    {
        // One at a time is enough: the others fail as they would without.
        if (!await _connecting.WaitAsync(TimeSpan.Zero, token)) return;
        try
        {
            if (_redis != silent) return;
            Use(await OpenAsync(token));
        }
        catch (Exception e) when (e is RedisConnectionException or TimeoutException)
        {
            // Redis is not there, as the caller is told in any case; the next to ask in vain tries again.
            Volatile.Write(ref _answered, clock.GetTimestamp());
            return;
        }
        finally
        {
            _connecting.Release();
        }

        Restored?.Invoke(silent.GetEndPoints().FirstOrDefault());
        // It may hang as it did before.
        _ = CloseAsync(silent);
    }

    private ConnectionMultiplexer Use(ConnectionMultiplexer redis)
    {
        redis.ConnectionFailed += (_, failure) =>
        {
            if (failure.ConnectionType == ConnectionType.Interactive && redis == _redis) Lost?.Invoke(failure.EndPoint, failure.Exception?.Message ?? failure.FailureType.ToString());
        };
        redis.ConnectionRestored += (_, restored) =>
        {
            if (restored.ConnectionType == ConnectionType.Interactive && redis == _redis) Restored?.Invoke(restored.EndPoint);
        };
        Volatile.Write(ref _answered, clock.GetTimestamp());
        return _redis = redis;
    }

    private async Task<ConnectionMultiplexer> OpenAsync(CancellationToken token)
    {
        ObjectDisposedException.ThrowIf(_isDisposed, this);
        ConfigurationOptions options = ConfigurationOptions.Parse(connection);
        // Without an answer there is nothing to put in use.
        options.AbortOnConnectFail = true;
        options.ClientName = clientName;
        // Old clients resolve names and connect before they return, and callers may be in a grain's turn.
        Task<ConnectionMultiplexer> opening = Task.Run(() => ConnectionMultiplexer.ConnectAsync(options), CancellationToken.None);
        try
        {
            return await opening.WaitAsync(ConnectLimit, clock, token);
        }
        catch
        {
            _ = DropAsync(opening);
            throw;
        }
    }

    /// <summary>Closes what comes too late.</summary>
    private static async Task DropAsync(Task<ConnectionMultiplexer> opening)
    {
        await ((Task)opening).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        if (opening.IsCompletedSuccessfully) await CloseAsync(await opening);
    }

    private static async Task CloseAsync(ConnectionMultiplexer redis)
    {
        await redis.CloseAsync(allowCommandsToComplete: false);
        redis.Dispose();
    }
}
