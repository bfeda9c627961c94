using Orleans.Runtime;

namespace Orleans.Storage;

/// <summary>Stores states as bytes in grains of the cluster.</summary>
internal sealed class MemoryGrainStorage(SiloRuntime silo, string name) : IGrainStorage
{
    private const int Shares = 10;

    public async Task ReadStateAsync<T>(string stateName, GrainId grainId, IGrainState<T> grainState)
    {
        string key = Key(stateName, grainId);
        StoredRecord? record = await Share(key).Read(key);
        (grainState.ETag, grainState.RecordExists) = (record?.Etag, record is not null);
        grainState.State = record is null ? default! : silo.Codecs.Deserialize<T>(record.Data);
    }

    public async Task WriteStateAsync<T>(string stateName, GrainId grainId, IGrainState<T> grainState)
    {
        string key = Key(stateName, grainId);
        grainState.ETag = await Share(key).Write(key, silo.Codecs.Serialize(grainState.State), grainState.ETag);
        grainState.RecordExists = true;
    }

    public async Task ClearStateAsync<T>(string stateName, GrainId grainId, IGrainState<T> grainState)
    {
        string key = Key(stateName, grainId);
        await Share(key).Clear(key, grainState.ETag);
        (grainState.ETag, grainState.RecordExists, grainState.State) = (null, false, default!);
    }

    private string Key(string stateName, GrainId grainId) => $"{name}/{stateName}/{grainId}";

    private IMemoryStorageGrain Share(string key) => silo.Factory.GetGrain<IMemoryStorageGrain>(StableHash.Of(key) % Shares);
}
