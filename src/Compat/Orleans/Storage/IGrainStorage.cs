using Orleans.Runtime;

namespace Orleans
{
    /// <summary>The state of a grain on its way to and from a storage.</summary>
    public interface IGrainState<T>
    {
        /// <summary>The state itself.</summary>
        T State { get; set; }

        /// <summary>Version of the stored record; null if there is none.</summary>
        string? ETag { get; set; }

        /// <summary>Whether a record is stored.</summary>
        bool RecordExists { get; set; }
    }

    /// <inheritdoc/>
    public sealed class GrainState<T> : IGrainState<T>
    {
        /// <summary>No state yet.</summary>
        public GrainState() => State = default!;

        /// <summary>A state that is not stored yet.</summary>
        public GrainState(T state) => State = state;

        /// <summary>A state as it was read.</summary>
        public GrainState(T state, string? eTag) => (State, ETag) = (state, eTag);

        /// <inheritdoc/>
        public T State { get; set; }

        /// <inheritdoc/>
        public string? ETag { get; set; }

        /// <inheritdoc/>
        public bool RecordExists { get; set; }
    }
}

namespace Orleans.Storage
{
    /// <summary>
    /// Keeps the states of grains. Register an implementation as a keyed singleton under the name that <see cref="PersistentStateAttribute"/> gives.
    /// Each method updates the etag and <see cref="IGrainState{T}.RecordExists"/> of the state that it is handed.
    /// </summary>
    public interface IGrainStorage
    {
        /// <summary>Reads a state; one that is not stored is left without etag.</summary>
        Task ReadStateAsync<T>(string stateName, GrainId grainId, IGrainState<T> grainState);

        /// <summary>Stores a state if the record is still the one that the state's etag names.</summary>
        /// <exception cref="InconsistentStateException">Another one wrote it meanwhile.</exception>
        Task WriteStateAsync<T>(string stateName, GrainId grainId, IGrainState<T> grainState);

        /// <summary>Deletes a record if it is still the one that the state's etag names.</summary>
        /// <exception cref="InconsistentStateException">Another one wrote it meanwhile.</exception>
        Task ClearStateAsync<T>(string stateName, GrainId grainId, IGrainState<T> grainState);
    }
}
