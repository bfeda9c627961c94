using Orleans.Runtime;

namespace Orleans.Storage;

/// <inheritdoc cref="IPersistentState{TState}"/>
internal sealed class PersistentState<TState>(IGrainStorage storage, string stateName, Activation activation) : IPersistentState<TState>, IActivationState
{
    private readonly string _migrationKey = $"state.{stateName}";
    private readonly GrainState<TState> _stored = new(Initial());
    private bool _loaded;

    public TState State { get => _stored.State; set => _stored.State = value; }

    public string? Etag => _stored.ETag;

    public bool RecordExists => _stored.RecordExists;

    public async Task ReadStateAsync()
    {
        await storage.ReadStateAsync(stateName, activation.GrainId, _stored);
        ReplaceMissing();
    }

    public Task WriteStateAsync() => storage.WriteStateAsync(stateName, activation.GrainId, _stored);

    public async Task ClearStateAsync()
    {
        await storage.ClearStateAsync(stateName, activation.GrainId, _stored);
        ReplaceMissing();
    }

    public Task LoadAsync() => _loaded ? Task.CompletedTask : ReadStateAsync();

    public void OnDehydrate(IDehydrationContext context) => context.TryAddValue(_migrationKey, (Etag, RecordExists, State));

    public void OnRehydrate(IRehydrationContext context)
    {
        _loaded = context.TryGetValue(_migrationKey, out (string? Etag, bool RecordExists, TState State) value);
        if (_loaded) (_stored.ETag, _stored.RecordExists, _stored.State) = value;
    }

    /// <summary>Grains never see null where their state can be made, whatever a storage left behind.</summary>
    private void ReplaceMissing()
    {
        if (_stored.State is null) _stored.State = Initial();
    }

    private static TState Initial() => typeof(TState).IsValueType || typeof(TState) == typeof(string) || typeof(TState).IsArray ? default! : Activator.CreateInstance<TState>();
}
