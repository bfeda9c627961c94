using System.Globalization;
using System.Text.Json;
using Conclave.Silo;
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

    private readonly RedisLink _redis;
    private readonly ILogger _logger;
    private readonly RedisKey _members;
    private readonly RedisKey _alive;

    public RedisMembershipTable(string connectionString, string serviceId, string clusterId, TimeProvider clock, ILogger logger)
    {
        (_redis, _logger) = (new RedisLink(connectionString, "conclave-members", clock), logger);
        _redis.Lost += LogLost;
        _redis.Restored += endpoint =>
        {
            LogRestored(endpoint);
            RaiseRestored();
        };
        _members = $"{serviceId}/members/{clusterId}";
        _alive = $"{serviceId}/members/{clusterId}/alive";
    }

    public override bool IsLease => true;

    public override async Task<MembershipData> ReadAsync(CancellationToken token)
    {
        (HashEntry[] members, HashEntry[] alive) = await _redis.AskAsync(
            async redis =>
            {
                Task<HashEntry[]> reading = redis.HashGetAllAsync(_members);
                HashEntry[] times = await redis.HashGetAllAsync(_alive);
                return (await reading, times);
            },
            token);
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
        RedisValue[] arguments = [Text(expectedVersion), Text(nextVersion), row.Silo.ToParsableString(), StoredRow.Format(row), Text(row.AliveAt.ToUnixTimeMilliseconds())];
        RedisResult written = await _redis.AskAsync(redis => redis.ScriptEvaluateAsync(WriteScript, [_members, _alive], arguments), token);
        return (int)written == 1;
    }

    public override Task NoteAliveAsync(SiloAddress silo, DateTimeOffset at, CancellationToken token) =>
        _redis.AskAsync(redis => redis.HashSetAsync(_alive, silo.ToParsableString(), Text(at.ToUnixTimeMilliseconds())), token);

    public override async Task PruneAsync(DateTimeOffset before, CancellationToken token)
    {
        MembershipData data = await ReadAsync(token);
        RedisValue[] gone = [.. data.Rows.Where(row => row.Status == SiloStatus.Dead && row.Since < before).Select(row => (RedisValue)row.Silo.ToParsableString())];
        if (gone.Length == 0) return;
        await _redis.AskAsync(redis => redis.HashDeleteAsync(_members, gone), token);
        await _redis.AskAsync(redis => redis.HashDeleteAsync(_alive, gone), token);
    }

    public override ValueTask DisposeAsync() => _redis.DisposeAsync();

    private static string Text(long value) => value.ToString(CultureInfo.InvariantCulture);

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
