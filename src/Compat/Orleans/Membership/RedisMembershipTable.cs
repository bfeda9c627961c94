using System.Globalization;
using System.Text.Json;
using Microsoft.Extensions.Logging;
using StackExchange.Redis;

namespace Orleans.Runtime;

/// <summary>
/// The table in Redis: a hash "service/members/cluster" with the version and a JSON record a silo, and a hash beside it with the times at
/// which silos noted that they live. Scripts make each write one step.
/// </summary>
internal sealed partial class RedisMembershipTable : MembershipTable
{
    private const string VersionField = "Version";

    private const string WriteScript = """
        if (redis.call('HGET', KEYS[1], 'Version') or '0') ~= ARGV[1] then return 0 end
        redis.call('HSET', KEYS[1], 'Version', ARGV[2], ARGV[3], ARGV[4])
        redis.call('HSET', KEYS[2], ARGV[3], ARGV[5])
        return 1
        """;

    private static readonly TimeSpan AnswerLimit = TimeSpan.FromSeconds(5);

    private readonly string _connectionString;
    private readonly ILogger _logger;
    private readonly RedisKey _members;
    private readonly RedisKey _alive;
    private readonly SemaphoreSlim _connecting = new(1);
    private ConnectionMultiplexer? _connection;

    public RedisMembershipTable(string connectionString, string serviceId, string clusterId, ILogger logger)
    {
        (_connectionString, _logger) = (connectionString, logger);
        _members = $"{serviceId}/members/{clusterId}";
        _alive = $"{serviceId}/members/{clusterId}/alive";
    }

    public override bool IsLease => true;

    public override async Task<MembershipData> ReadAsync(CancellationToken token)
    {
        IDatabase database = await ConnectAsync(token);
        Task<HashEntry[]> reading = database.HashGetAllAsync(_members);
        HashEntry[] alive = await database.HashGetAllAsync(_alive).WaitAsync(AnswerLimit, token);
        HashEntry[] members = await reading.WaitAsync(AnswerLimit, token);
        Dictionary<string, DateTimeOffset> times = alive.ToDictionary(entry => (string)entry.Name!, entry => DateTimeOffset.FromUnixTimeMilliseconds((long)entry.Value));
        long version = 0;
        var rows = new List<MembershipRow>();
        foreach (HashEntry entry in members)
        {
            string name = entry.Name!;
            if (name == VersionField) version = (long)entry.Value;
            else rows.Add(StoredRow.Parse(name, entry.Value!, times.GetValueOrDefault(name)));
        }
        return new MembershipData(version, [.. rows]);
    }

    public override async Task<bool> TryWriteAsync(long expectedVersion, long nextVersion, MembershipRow row, CancellationToken token)
    {
        IDatabase database = await ConnectAsync(token);
        RedisResult written = await database.ScriptEvaluateAsync(
            WriteScript, [_members, _alive],
            [Text(expectedVersion), Text(nextVersion), row.Silo.ToParsableString(), StoredRow.Format(row), Text(row.AliveAt.ToUnixTimeMilliseconds())]).WaitAsync(AnswerLimit, token);
        return (int)written == 1;
    }

    public override async Task NoteAliveAsync(SiloAddress silo, DateTimeOffset at, CancellationToken token)
    {
        IDatabase database = await ConnectAsync(token);
        await database.HashSetAsync(_alive, silo.ToParsableString(), Text(at.ToUnixTimeMilliseconds())).WaitAsync(AnswerLimit, token);
    }

    public override async Task PruneAsync(DateTimeOffset before, CancellationToken token)
    {
        MembershipData data = await ReadAsync(token);
        RedisValue[] gone = [.. data.Rows.Where(row => row.Status == SiloStatus.Dead && row.Since < before).Select(row => (RedisValue)row.Silo.ToParsableString())];
        if (gone.Length == 0) return;
        IDatabase database = await ConnectAsync(token);
        await database.HashDeleteAsync(_members, gone).WaitAsync(AnswerLimit, token);
        await database.HashDeleteAsync(_alive, gone).WaitAsync(AnswerLimit, token);
    }

    public override async ValueTask DisposeAsync()
    {
        if (_connection is not null) await _connection.CloseAsync(allowCommandsToComplete: false);
        _connection?.Dispose();
        _connecting.Dispose();
    }

    private static string Text(long value) => value.ToString(CultureInfo.InvariantCulture);

    private async Task<IDatabase> ConnectAsync(CancellationToken token)
    {
        if (_connection is { } open) return open.GetDatabase();
        await _connecting.WaitAsync(token);
        try
        {
            if (_connection is null)
            {
                ConfigurationOptions options = ConfigurationOptions.Parse(_connectionString);
                // From here on the connection heals by itself; only the first attempt may fail.
                options.AbortOnConnectFail = true;
                ConnectionMultiplexer connection = await ConnectionMultiplexer.ConnectAsync(options).WaitAsync(AnswerLimit, token);
                connection.ConnectionFailed += (_, failure) => LogLost(failure.EndPoint, failure.Exception?.Message ?? failure.FailureType.ToString());
                connection.ConnectionRestored += (_, restored) =>
                {
                    if (restored.ConnectionType != ConnectionType.Interactive) return;
                    LogRestored(restored.EndPoint);
                    RaiseRestored();
                };
                _connection = connection;
            }
            return _connection.GetDatabase();
        }
        finally
        {
            _connecting.Release();
        }
    }

    [LoggerMessage(LogLevel.Warning, "The connection to Redis at {Endpoint} is lost: {Reason}. Serving goes on; silos that join or leave wait for it")]
    private partial void LogLost(System.Net.EndPoint? endpoint, string reason);

    [LoggerMessage(LogLevel.Information, "The connection to Redis at {Endpoint} is back")]
    private partial void LogRestored(System.Net.EndPoint? endpoint);

    /// <summary>A row as JSON.</summary>
    private sealed record StoredRow(string Status, string SiloName, int ProxyPort, DateTimeOffset Since, string[] SuspectingSilos, DateTimeOffset[] SuspectingTimes)
    {
        public static string Format(MembershipRow row) => JsonSerializer.Serialize(new StoredRow(
            row.Status.ToString(), row.Name, row.GatewayPort, row.Since,
            [.. row.Suspicions.Select(suspicion => suspicion.By.ToParsableString())], [.. row.Suspicions.Select(suspicion => suspicion.At)]));

        public static MembershipRow Parse(string silo, string json, DateTimeOffset aliveAt)
        {
            StoredRow row = JsonSerializer.Deserialize<StoredRow>(json) ?? throw new OrleansException($"The membership record of silo {silo} in Redis is empty.");
            return new MembershipRow
            {
                Silo = SiloAddress.FromParsableString(silo),
                Status = Enum.Parse<SiloStatus>(row.Status),
                Name = row.SiloName,
                GatewayPort = row.ProxyPort,
                Since = row.Since,
                Suspicions = [.. row.SuspectingSilos.Zip(row.SuspectingTimes, (by, at) => new Suspicion(SiloAddress.FromParsableString(by), at))],
                AliveAt = aliveAt,
            };
        }
    }
}
