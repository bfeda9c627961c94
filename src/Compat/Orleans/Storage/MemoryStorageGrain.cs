using Orleans.Concurrency;
using Orleans.Runtime;

namespace Orleans.Storage;

/// <summary>A stored record and its version.</summary>
[GenerateSerializer, Immutable]
internal sealed record StoredRecord([property: Id(0)] byte[] Data, [property: Id(1)] string Etag);

/// <summary>Holds a share of the records of the memory storages of a cluster; they live as long as the silo that it is on.</summary>
internal interface IMemoryStorageGrain : IGrainWithIntegerKey
{
    Task<StoredRecord?> Read(string key);

    /// <summary>Stores a record if the version is still the one that was read; null means no record.</summary>
    /// <returns>The new version.</returns>
    Task<string> Write(string key, byte[] data, string? etag);

    Task Clear(string key, string? etag);
}

/// <inheritdoc cref="IMemoryStorageGrain"/>
[CollectionAgeLimit(AlwaysActive = true), GrainType("sys.memorystorage"), Reentrant]
internal sealed class MemoryStorageGrain : Grain, IMemoryStorageGrain
{
    private readonly Dictionary<string, StoredRecord> _records = [];
    private long _lastVersion;

    public Task<StoredRecord?> Read(string key) => Task.FromResult(_records.GetValueOrDefault(key));

    public Task<string> Write(string key, byte[] data, string? etag)
    {
        Check(key, etag);
        string version = $"{ServiceVersion}{++_lastVersion}";
        _records[key] = new StoredRecord(data, version);
        return Task.FromResult(version);
    }

    public Task Clear(string key, string? etag)
    {
        Check(key, etag);
        _records.Remove(key);
        return Task.CompletedTask;
    }

    /// <summary>Tells the versions of this activation from those of an earlier one whose records are lost.</summary>
    private string ServiceVersion => GrainContext.ActivationId.ToString()[..8] + ".";

    private void Check(string key, string? etag)
    {
        string? stored = _records.GetValueOrDefault(key)?.Etag;
        if (stored != etag) throw new InconsistentStateException($"The stored record \"{key}\" is not the one that was read.", stored, etag);
    }
}
