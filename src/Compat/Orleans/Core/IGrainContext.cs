using System.Buffers;

namespace Orleans.Runtime;

/// <summary>An activation, as grains and their parts see it.</summary>
public interface IGrainContext : IEquatable<IGrainContext>
{
    /// <summary>The grain's identity.</summary>
    GrainId GrainId { get; }

    /// <summary>The grain object; null until it is created.</summary>
    object? GrainInstance { get; }

    /// <summary>The activation's identity.</summary>
    ActivationId ActivationId { get; }

    /// <summary>Where the activation lives.</summary>
    GrainAddress Address { get; }

    /// <summary>Services of this activation.</summary>
    IServiceProvider ActivationServices { get; }

    /// <summary>Completes when the activation has ended.</summary>
    Task Deactivated { get; }

    /// <summary>Ends the activation once the calls under way are done.</summary>
    void Deactivate(DeactivationReason deactivationReason, CancellationToken cancellationToken = default);

    /// <summary>Moves the activation to the silo that placement picks for this request context.</summary>
    void Migrate(Dictionary<string, object>? requestContext, CancellationToken cancellationToken = default);
}

/// <summary>The activation whose turn runs.</summary>
public interface IGrainContextAccessor
{
    /// <summary>The activation whose turn runs; null outside of grains.</summary>
    IGrainContext? GrainContext { get; }
}

/// <summary>A grain or a part of it that takes state along when the grain moves to another silo.</summary>
public interface IGrainMigrationParticipant
{
    /// <summary>Packs state, after OnDeactivateAsync on the old silo.</summary>
    void OnDehydrate(IDehydrationContext dehydrationContext);

    /// <summary>Unpacks state, before OnActivateAsync on the new silo.</summary>
    void OnRehydrate(IRehydrationContext rehydrationContext);
}

/// <summary>Takes the state of a grain that moves.</summary>
public interface IDehydrationContext
{
    /// <summary>Names of the values so far.</summary>
    IEnumerable<string> Keys { get; }

    /// <summary>Adds bytes.</summary>
    void AddBytes(string key, ReadOnlySpan<byte> value);

    /// <summary>Adds bytes that a function writes.</summary>
    void AddBytes<T>(string key, Action<T, IBufferWriter<byte>> valueWriter, T value);

    /// <summary>Adds a serializable value; false if its type is not serializable.</summary>
    bool TryAddValue<T>(string key, T? value);
}

/// <summary>Gives the state of a grain that moved.</summary>
public interface IRehydrationContext
{
    /// <summary>Names of the values.</summary>
    IEnumerable<string> Keys { get; }

    /// <summary>The bytes of a value.</summary>
    bool TryGetBytes(string key, out ReadOnlySequence<byte> value);

    /// <summary>A value.</summary>
    bool TryGetValue<T>(string key, out T? value);
}
