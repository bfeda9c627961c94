using Conclave.Grains;
using Conclave.Grains.Transport;
using Conclave.Model;
using Conclave.Model.Checkpoints;

namespace Conclave.Cli.Commands.Bench;

/// <summary>The part of a silo that computes experts, without grains: silo i of n holds the experts whose number is i modulo n.</summary>
internal sealed class BenchSilo : IDisposable
{
    private const long MapVersion = 1;
    private readonly int _index;

    /// <param name="checkpoint">The model.</param>
    /// <param name="index">Which silo.</param>
    /// <param name="threads">Threads that answer others.</param>
    /// <param name="options">Of the transport.</param>
    public BenchSilo(Checkpoint checkpoint, int index, int threads, TransportOptions options)
    {
        _index = index;
        Experts = new SiloExperts(checkpoint, TimeProvider.System);
        Service = new ExpertService(checkpoint.Config, Experts, threads);
        Transport = new TensorTransport(options);
        Transport.Handle(ExpertService.RequestKind, Service);
        Transport.Start();
    }

    public SiloExperts Experts { get; }

    public ExpertService Service { get; }

    public TensorTransport Transport { get; }

    /// <summary>A silo's name in views.</summary>
    public static string Name(int index) => $"127.0.0.1:{index + 1}@1";

    /// <summary>The view of silos that are reached at <paramref name="addresses"/>.</summary>
    public static ClusterView View(ModelConfig config, string[] addresses) => new()
    {
        Map = new ExpertMap
        {
            Version = MapVersion,
            SlotKeys = [.. addresses.Select((_, silo) => SiloKey.Slot(0, Name(silo)))],
            ExpertCount = config.RoutedExpertCount,
            Replicas =
            [
                .. Enumerable.Range(0, (config.LayerCount + config.NextTokenPredictLayers) * config.RoutedExpertCount)
                    .Select(pair => config.IsMoeLayer(pair / config.RoutedExpertCount) ? new[] { pair % config.RoutedExpertCount % addresses.Length } : []),
            ],
        },
        Ranks = [],
        Silos = [.. addresses.Select((address, silo) => new SiloOffer { Silo = Name(silo), Slots = 1, TransportAddress = address })],
        Epoch = 1,
    };

    /// <summary>Reads the weights of its part of <paramref name="view"/> and connects to the other silos.</summary>
    public async Task Use(ClusterView view, CancellationToken cancellationToken)
    {
        string slot = SiloKey.Slot(0, Name(_index));
        Experts.Hold(slot, ExpertPlanner.Loads(view.Map)[_index]);
        while (Experts.Status(slot) is { } status && status.MapVersion != MapVersion)
        {
            if (status.Fault is { } fault) throw new InvalidDataException(fault);
            await Task.Delay(5, cancellationToken);
        }

        foreach (SiloOffer other in view.Silos.Where(offer => offer.Silo != Name(_index)))
        {
            if (!Transport.Connect(other.TransportAddress).WaitAlive(TimeSpan.FromSeconds(10))) throw new IOException($"cannot reach the other silo at {other.TransportAddress}");
        }
    }

    public void Dispose()
    {
        Transport.Dispose();
        Service.Dispose();
        Experts.Dispose();
    }
}
