using System.Net;
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
public sealed partial class RedisGrainStorage : IGrainStorage, IAsyncDisposable
{
    private const string VersionField = "version", DataField = "data", FormatField = "format", Format = "1";
    private static readonly JsonSerializerOptions Json = new() { RespectRequiredConstructorParameters = true };

    private readonly string _keyPrefix;
    private readonly ILogger<RedisGrainStorage> _logger;
    private readonly RedisLink _redis;

    /// <summary>Connects to nothing yet.</summary>
    /// <param name="connection">Redis as its clients take it.</param>
    /// <param name="keyPrefix">First part of every key.</param>
    /// <param name="clock">Tells the time.</param>
    /// <param name="logger">Where lost connections are noted.</param>
    public RedisGrainStorage(string connection, string keyPrefix, TimeProvider clock, ILogger<RedisGrainStorage> logger)
    {
        (_keyPrefix, _logger, _redis) = (keyPrefix, logger, new RedisLink(connection, "conclave-maps", clock));
        _redis.Lost += LogLost;
        _redis.Restored += LogRestored;
    }

    /// <inheritdoc/>
    /// <exception cref="InvalidDataException">The record is damaged, or a newer version has written it; the message names the key.</exception>
    public async Task ReadStateAsync<T>(string stateName, GrainId grainId, IGrainState<T> grainState)
    {
        RedisKey key = Key(stateName, grainId);
        RedisValue[] fields = await _redis.AskAsync(redis => redis.HashGetAsync(key, [VersionField, FormatField, DataField]), default);
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
    public ValueTask DisposeAsync() => _redis.DisposeAsync();

    private string Key(string stateName, GrainId grainId) => $"{_keyPrefix}/state/{stateName}/{grainId}";

    private async Task ChangeAsync(RedisKey key, string? etag, Func<ITransaction, Task> change)
    {
        bool isChanged = await _redis.AskAsync(
            async redis =>
            {
                ITransaction transaction = redis.CreateTransaction();
                transaction.AddCondition(etag is null ? Condition.KeyNotExists(key) : Condition.HashEqual(key, VersionField, etag));
                Task done = change(transaction);
                if (!await transaction.ExecuteAsync()) return false;
                await done;
                return true;
            },
            default);
        if (isChanged) return;
        string? stored = await _redis.AskAsync(redis => redis.HashGetAsync(key, VersionField), default);
        throw new InconsistentStateException($"the record '{key}' in Redis is not the one that was read last", stored ?? "none", etag ?? "none");
    }

    private static InvalidDataException Unreadable(RedisKey key, string reason, Exception? inner) =>
        new($"the record '{key}' in Redis cannot be read: {reason}. Delete it (redis-cli DEL) to start from nothing: the map is planned anew.", inner);

    [LoggerMessage(Level = LogLevel.Warning, Message = "the connection to Redis at {EndPoint} is lost ({Failure}); maps are stored when it is back")]
    private partial void LogLost(EndPoint? endPoint, string failure);

    [LoggerMessage(Level = LogLevel.Information, Message = "the connection to Redis at {EndPoint} is back")]
    private partial void LogRestored(EndPoint? endPoint);
}
