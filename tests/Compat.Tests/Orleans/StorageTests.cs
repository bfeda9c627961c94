using Microsoft.Extensions.DependencyInjection;
using Orleans;
using Orleans.Hosting;
using Orleans.Runtime;
using Orleans.Storage;

namespace Conclave.Compat.Tests.Orleans;

/// <summary>Storages of applications: registered by name, handed the state with its etag.</summary>
public sealed class StorageTests
{
    [Fact]
    public async Task A_storage_is_found_by_its_name_and_sees_etags()
    {
        var storage = new ListStorage();
        await using TestCluster cluster = await TestCluster.StartAsync(1, silo =>
        {
            silo.AddPlacementDirector<HintedPlacement, HintedDirector>();
            silo.Services.AddKeyedSingleton<IGrainStorage>("store", storage);
        });
        var grain = cluster.Client.GetGrain<IKeeperGrain>("own-storage");
        Assert.Equal(-1, await grain.Saved());
        await grain.Add(3);
        await grain.Save();
        await grain.Save();
        await grain.End();
        Assert.Equal(3, await grain.Saved());
        await grain.Forget();
        Assert.Equal(-1, await grain.Saved());
        Assert.Equal(["read ", "write ", "write 1", "read ", "clear 2"], storage.Calls);
    }

    private sealed class ListStorage : IGrainStorage
    {
        private object? _state;
        private int _version;

        public List<string> Calls { get; } = [];

        public Task ReadStateAsync<T>(string stateName, GrainId grainId, IGrainState<T> grainState)
        {
            Calls.Add($"read {grainState.ETag}");
            if (_state is T state) (grainState.State, grainState.ETag, grainState.RecordExists) = (state, $"{_version}", true);
            return Task.CompletedTask;
        }

        public Task WriteStateAsync<T>(string stateName, GrainId grainId, IGrainState<T> grainState)
        {
            Calls.Add($"write {grainState.ETag}");
            (_state, grainState.ETag, grainState.RecordExists) = (grainState.State, $"{++_version}", true);
            return Task.CompletedTask;
        }

        public Task ClearStateAsync<T>(string stateName, GrainId grainId, IGrainState<T> grainState)
        {
            Calls.Add($"clear {grainState.ETag}");
            (_state, grainState.ETag, grainState.RecordExists) = (null, null, false);
            return Task.CompletedTask;
        }
    }
}
