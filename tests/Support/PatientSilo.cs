using Conclave.Grains;
using Microsoft.Extensions.DependencyInjection;
using Orleans.Configuration;

namespace Conclave.Tests.Support;

/// <summary>
/// Times that a machine under any load keeps: nobody is taken for dead who is only slow. Where silos of one process wait for each other on starved cores, any shorter ones measure the machine.
/// </summary>
internal static class PatientSilo
{
    /// <summary>Longer than any thread is kept waiting, in ms.</summary>
    public const int LongMs = 300_000;

    /// <summary>Of a rank towards its readers and other ranks.</summary>
    public static readonly RankOptions Ranks = new() { LeaseMs = LongMs, StallMs = LongMs, StepDeadlineMs = LongMs, ParkMs = LongMs };

    /// <summary>To be added before the silo or the gateway: the rank's times, unless others are given, and Orleans' own.</summary>
    public static IServiceCollection AddPatience(this IServiceCollection services, RankOptions? ranks = null) => services
        .AddSingleton(ranks ?? Ranks)
        .Configure<SiloMessagingOptions>(messaging => messaging.ResponseTimeout = TimeSpan.FromMilliseconds(LongMs))
        .Configure<ClientMessagingOptions>(messaging => messaging.ResponseTimeout = TimeSpan.FromMilliseconds(LongMs))
        .Configure<ClusterMembershipOptions>(membership => membership.ProbeTimeout = TimeSpan.FromMinutes(1));
}
