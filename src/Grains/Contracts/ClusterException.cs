using Conclave.Engine;
using Orleans;

namespace Conclave.Grains;

/// <summary>An <see cref="OperatingException"/> on its way between silos and gateways.</summary>
[GenerateSerializer, Alias("conclave.ClusterException")]
public sealed class ClusterException : Exception
{
    /// <summary>Wraps an error with a message fit for the client.</summary>
    public ClusterException(OperatingError error, string message) : base(message) => Code = (int)error;

    /// <summary><see cref="OperatingError"/> as a number, so that the engine need not know Orleans.</summary>
    [Id(0)] public int Code { get; set; }

    /// <summary>When to try again, where that is known; else 0.</summary>
    [Id(1)] public int RetryAfterSeconds { get; set; }

    /// <summary>What kind.</summary>
    public OperatingError Error => (OperatingError)Code;

    /// <summary><paramref name="error"/> as it travels.</summary>
    public static ClusterException From(OperatingException error)
    {
        ArgumentNullException.ThrowIfNull(error);
        return new ClusterException(error.Error, error.Message) { RetryAfterSeconds = error.RetryAfterSeconds ?? 0 };
    }
}
