using Orleans;

namespace Conclave.Grains;

/// <summary>
/// One sequence: owns its KV pages, from the reservation until it ends or is closed. Its key is <see cref="SiloKey"/> of the rank's silo with
/// the sequence id, so that it lives beside the engine that holds the pages.
/// </summary>
[Alias("conclave.IAttentionGrain")]
public interface IAttentionGrain : IGrainWithStringKey
{
    /// <summary>Reserves pages and queues the sequence with the rank's engine. Opening it twice is an error.</summary>
    /// <exception cref="ClusterException">Refused; the message is fit for the client.</exception>
    [Alias("Open")]
    Task Open(GenerateCommand command);

    /// <summary>Frees the pages, whether the sequence ended or not. Closing twice is harmless.</summary>
    [Alias("Close")]
    Task Close();
}
