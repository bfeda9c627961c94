using System.Text.Json;
using Microsoft.Extensions.Logging;
using Orleans;
using Orleans.Runtime;
using Orleans.Storage;
using StackExchange.Redis;

namespace Conclave.Silo;

/// <summary>
/// Keeps grain states in Redis: one hash a state with its version and the state as JSON. A write succeeds only if the record is still the one that was
/// read. The connection is made with the first use and made again in the background whenever it is lost.
/// </summary>
/// <param name="connection">Redis as its clients take it.</param>
/// <param name="keyPrefix">First part of every key.</param>
/// <param name="logger">Where lost connections are noted.</param>
public sealed partial class RedisGrainStorage(string connection, string keyPrefix, ILogger<RedisGrainStorage> logger) : IGrainStorage, IAsyncDisposable
{
    private const string VersionField = "version", DataField = "data", FormatField = "format", Format = "1";
    private static readonly JsonSerializerOptions Json = new() { RespectRequiredConstructorParameters = true };

    private readonly SemaphoreSlim _connecting = new(1);
    private ConnectionMultiplexer? _redis;

    /// <inheritdoc/>
    /// <exception cref="InvalidDataException">The record is damaged, or a newer version has written it; the message names the key.</exception>
    public async Task ReadStateAsync<T>(string stateName, GrainId grainId, IGrainState<T> grainState)
    {
        RedisKey key = Key(stateName, grainId);
        IDatabase database = await DatabaseAsync();
        RedisValue[] fields = await database.HashGetAsync(key, [VersionField, FormatField, DataField]);
        if (!fields[0].HasValue)
        {
            (grainState.ETag, grainState.RecordExists) = (null, false);
            return;
        }

        if (fields[1] != Format) throw Unreadable(key, $"its format is '{fields[1]}', this program reads '{Format}'", null);
        try
        {
            grainState.State = JsonSerializer.Deserialize<T>(((string?)fields[2])!, Json) ?? throw new JsonException("it is null");
        }
        catch (JsonException e)
        {
            throw Unreadable(key, e.Message, e);
        }

        (grainState.ETag, grainState.RecordExists) = (fields[0].ToString(), true);
    }

    /// <inheritdoc/>
    public async Task WriteStateAsync<T>(string stateName, GrainId grainId, IGrainState<T> grainState)
    {
        RedisKey key = Key(stateName, grainId);
        string version = Guid.NewGuid().ToString("N");
        string data = JsonSerializer.Serialize(grainState.State, Json);
        await ChangeAsync(key, grainState.ETag, transaction =>
            transaction.HashSetAsync(key, [new HashEntry(VersionField, version), new HashEntry(FormatField, Format), new HashEntry(DataField, data)]));
        (grainState.ETag, grainState.RecordExists) = (version, true);
    }

    /// <inheritdoc/>
    public async Task ClearStateAsync<T>(string stateName, GrainId grainId, IGrainState<T> grainState)
    {
        RedisKey key = Key(stateName, grainId);
        await ChangeAsync(key, grainState.ETag, transaction => transaction.KeyDeleteAsync(key));
        (grainState.ETag, grainState.RecordExists) = (null, false);
    }

    /// <summary>Closes the connection.</summary>
    public async ValueTask DisposeAsync()
    {
        if (_redis is { } redis) await redis.CloseAsync(allowCommandsToComplete: false);
        _connecting.Dispose();
    }

    private string Key(string stateName, GrainId grainId) => $"{keyPrefix}/state/{stateName}/{grainId}";

    private async Task ChangeAsync(RedisKey key, string? etag, Func<ITransaction, Task> change)
    {
        IDatabase database = await DatabaseAsync();
        ITransaction transaction = database.CreateTransaction();
        transaction.AddCondition(etag is null ? Condition.KeyNotExists(key) : Condition.HashEqual(key, VersionField, etag));
        Task done = change(transaction);
        if (await transaction.ExecuteAsync())
        {
            await done;
            return;
        }

        string? stored = await database.HashGetAsync(key, VersionField);
        throw new InconsistentStateException($"the record '{key}' in Redis is not the one that was read last", stored ?? "none", etag ?? "none");
    }

    private async Task<IDatabase> DatabaseAsync()
    {
        if (_redis is { } ready) return ready.GetDatabase();
        await _connecting.WaitAsync();
        try
        {
            if (_redis is null)
            {
                ConfigurationOptions options = ConfigurationOptions.Parse(connection);
                options.AbortOnConnectFail = false;
                options.ClientName = "conclave-maps";
                // Old clients resolve names and connect before they return, and this is a grain's turn.
                ConnectionMultiplexer redis = await Task.Run(() => ConnectionMultiplexer.ConnectAsync(options));
                redis.ConnectionFailed += (_, failure) => LogLost(failure.EndPoint?.ToString() ?? "", failure.FailureType.ToString());
                redis.ConnectionRestored += (_, failure) => LogRestored(failure.EndPoint?.ToString() ?? "");
                _redis = redis;
            }

            return _redis.GetDatabase();
        }
        finally
        {
            _connecting.Release();
        }
    }

    private static InvalidDataException Unreadable(RedisKey key, string reason, Exception? inner) =>
        new($"the record '{key}' in Redis cannot be read: {reason}. Delete it (redis-cli DEL) to start from nothing: the map is planned anew.", inner);

    [LoggerMessage(Level = LogLevel.Warning, Message = "the connection to Redis at {EndPoint} is lost ({Failure}); maps are stored when it is back")]
    private partial void LogLost(string endPoint, string failure);

    [LoggerMessage(Level = LogLevel.Information, Message = "the connection to Redis at {EndPoint} is back")]
    private partial void LogRestored(string endPoint);
}
