using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Orleans.Configuration;
using Orleans.Hosting;

namespace Conclave.Compat.Tests.Orleans;

/// <summary>Limits of time that a busy machine keeps: only what never comes is a failure.</summary>
internal static class Patient
{
    public static readonly TimeSpan Limit = TimeSpan.FromMinutes(2);

    public static IHostApplicationBuilder BePatient(this IHostApplicationBuilder builder)
    {
        builder.Services.Configure<HostOptions>(host => host.ShutdownTimeout = Limit);
        return builder;
    }

    public static ISiloBuilder BePatient(this ISiloBuilder silo)
    {
        silo.Configure<SiloMessagingOptions>(messaging => messaging.ResponseTimeout = Limit);
        silo.Configure<ConnectionOptions>(connections => connections.OpenConnectionTimeout = Limit);
        // Silos of one process that stands still would take its silence for that of the others.
        return silo.Configure<ClusterMembershipOptions>(membership => membership.ProbeTimeout = TimeSpan.FromHours(1));
    }

    public static IClientBuilder BePatient(this IClientBuilder client)
    {
        client.Configure<ClientMessagingOptions>(messaging => messaging.ResponseTimeout = Limit);
        return client.Configure<ConnectionOptions>(connections => connections.OpenConnectionTimeout = Limit);
    }
}
