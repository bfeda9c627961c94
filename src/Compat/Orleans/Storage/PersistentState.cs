using Orleans.Runtime;

namespace Orleans.Storage;

/// <summary>Names of memory storages.</summary>
internal static class MemoryStorageNames
{
    public const string Default = "Default";
}

/// <summary>Stores states as bytes in grains of the cluster.</summary>
internal sealed class MemoryGrainStorage(SiloRuntime silo, string name)
{
    private const int Shares = 10;

    public async Task<(T? State, string? Etag)> ReadAsync<T>(string stateName, GrainId grainId)
    {
        string key = Key(stateName, grainId);
        StoredRecord? record = await Share(key).Read(key);
        return record is null ? default : (silo.Codecs.Deserialize<T>(record.Data), record.Etag);
    }

    public Task<string> WriteAsync<T>(string stateName, GrainId grainId, T state, string? etag)
    {
        string key = Key(stateName, grainId);
        return Share(key).Write(key, silo.Codecs.Serialize(state), etag);
    }

    public Task ClearAsync(string stateName, GrainId grainId, string? etag)
    {
        string key = Key(stateName, grainId);
        return Share(key).Clear(key, etag);
    }

    private string Key(string stateName, GrainId grainId) => $"{name}/{stateName}/{grainId}";

    private IMemoryStorageGrain Share(string key)
    {
        uint hash = 2166136261;
        foreach (char c in key) hash = (hash ^ c) * 16777619;
        return silo.Factory.GetGrain<IMemoryStorageGrain>(hash % Shares);
    }
}

/// <inheritdoc cref="IPersistentState{TState}"/>
internal sealed class PersistentState<TState>(MemoryGrainStorage storage, string stateName, Activation activation) : IPersistentState<TState>, IActivationState
{
    private readonly string _migrationKey = $"state.{stateName}";
    private bool _loaded;

    public TState State { get; set; } = Initial();

    public string? Etag { get; private set; }

    public bool RecordExists => Etag is not null;

    public async Task ReadStateAsync()
    {
        (TState? state, string? etag) = await storage.ReadAsync<TState>(stateName, activation.GrainId);
        (State, Etag) = (etag is null ? Initial() : state!, etag);
    }

    public async Task WriteStateAsync() => Etag = await storage.WriteAsync(stateName, activation.GrainId, State, Etag);

    public async Task ClearStateAsync()
    {
        await storage.ClearAsync(stateName, activation.GrainId, Etag);
        (State, Etag) = (Initial(), null);
    }

    public Task LoadAsync() => _loaded ? Task.CompletedTask : ReadStateAsync();

    public void OnDehydrate(IDehydrationContext context) => context.TryAddValue(_migrationKey, (Etag, State));

    public void OnRehydrate(IRehydrationContext context)
    {
        _loaded = context.TryGetValue(_migrationKey, out (string? Etag, TState State) value);
        if (_loaded) (Etag, State) = value;
    }

    private static TState Initial() => typeof(TState).IsValueType || typeof(TState) == typeof(string) || typeof(TState).IsArray ? default! : Activator.CreateInstance<TState>();
}
