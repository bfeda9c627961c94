using Microsoft.Extensions.Logging;
using Orleans;
using Orleans.Storage;

namespace Conclave.Grains;

/// <content>
/// Storing the view. Memory is ahead of the storage for a moment, or for as long as the storage is gone: nothing waits for it but the release of old
/// weights (see docs/decisions/013-the-map-outlives-its-silo.md).
/// </content>
public sealed partial class ExpertMapGrain
{
    private long _storedEpoch;
    private long _storedLoadedAs;
    private string? _storageFault;
    private Task _storing = Task.CompletedTask;

    private void StoreIfChanged()
    {
        if (_storedEpoch == _view.Epoch || !_storing.IsCompleted) return;
        _storing = StoreAsync(_view);
    }

    private async Task StoreAsync(ClusterView view)
    {
        try
        {
            _state.State.Set(view);
            await _state.WriteStateAsync();
            if (_storageFault is not null) LogStoredAgain(view.Epoch);
            (_storedEpoch, _storedLoadedAs, _storageFault) = (view.Epoch, view.Map.LoadedAs, null);
        }
        catch (InconsistentStateException e)
        {
            await YieldOrOverwriteAsync(view, e);
        }
        catch (Exception e)
        {
            // Whatever a storage throws: the grain lives on from memory and tries again.
            LogNotStored(view.Epoch, e.Message);
            _storageFault = e.Message;
            await Task.Delay(RetryPause, _clock);
        }
    }

    /// <summary>
    /// Another record is stored than was written last from here: either a write arrived whose answer did not, or another activation of this grain lives. The
    /// higher epoch wins.
    /// </summary>
    private async Task YieldOrOverwriteAsync(ClusterView view, InconsistentStateException conflict)
    {
        _storageFault = conflict.Message;
        try
        {
            await _state.ReadStateAsync();
        }
        catch (Exception e)
        {
            LogNotStored(view.Epoch, e.Message);
            await Task.Delay(RetryPause, _clock);
            return;
        }

        if (_state.State.Epoch <= view.Epoch) return;
        LogYielded(_state.State.Epoch, view.Epoch);
        DeactivateOnIdle();
    }

    [LoggerMessage(Level = LogLevel.Warning, Message = "the view of epoch {Epoch} is not stored yet, serving goes on: {Fault}")]
    private partial void LogNotStored(long epoch, string fault);

    [LoggerMessage(Level = LogLevel.Information, Message = "the view of epoch {Epoch} is stored again")]
    private partial void LogStoredAgain(long epoch);

    [LoggerMessage(Level = LogLevel.Warning, Message = "another activation of the map has stored epoch {StoredEpoch}, beyond {Epoch} here: this one gives way")]
    private partial void LogYielded(long storedEpoch, long epoch);
}
