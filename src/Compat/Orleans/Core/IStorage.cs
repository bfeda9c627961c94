namespace Orleans.Core
{
    /// <summary>The stored state of a grain.</summary>
    public interface IStorage
    {
        /// <summary>Version of the stored record; null if there is none.</summary>
        string? Etag { get; }

        /// <summary>Whether a record is stored.</summary>
        bool RecordExists { get; }

        /// <summary>Deletes the record and resets the state.</summary>
        Task ClearStateAsync();

        /// <summary>Stores the state.</summary>
        Task WriteStateAsync();

        /// <summary>Reads the state again.</summary>
        Task ReadStateAsync();
    }

    /// <summary>The stored state of a grain.</summary>
    public interface IStorage<TState> : IStorage
    {
        /// <summary>The state in memory.</summary>
        TState State { get; set; }
    }
}

namespace Orleans
{
    /// <summary>Marks constructor parameters that the runtime makes.</summary>
    public interface IFacetMetadata;
}

namespace Orleans.Runtime
{
    /// <summary>State of a grain that survives its activations.</summary>
    public interface IPersistentState<TState> : Core.IStorage<TState>;

    /// <summary>Names of a persistent state.</summary>
    public interface IPersistentStateConfiguration
    {
        /// <summary>The name of the state within the grain.</summary>
        string StateName { get; }

        /// <summary>The name of the storage provider.</summary>
        string? StorageName { get; }
    }

    /// <summary>Asks for persistent state in a constructor parameter of type <see cref="IPersistentState{TState}"/>.</summary>
    [AttributeUsage(AttributeTargets.Parameter)]
    public class PersistentStateAttribute(string stateName, string? storageName = null) : Attribute, IFacetMetadata, IPersistentStateConfiguration
    {
        /// <inheritdoc/>
        public string StateName { get; } = stateName;

        /// <inheritdoc/>
        public string? StorageName { get; } = storageName;
    }
}
