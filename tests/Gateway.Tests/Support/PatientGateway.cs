using Conclave.Gateway.Ranks;
using Conclave.Tests.Support;
using Microsoft.AspNetCore.Server.Kestrel.Core;

namespace Conclave.Gateway.Tests.Support;

/// <summary>As <see cref="PatientSilo"/>, for gateways. A rank that is taken for dead costs no token, but prompts are computed again, and sequences counted twice for a while.</summary>
internal static class PatientGateway
{
    /// <summary>Of a gateway towards ranks.</summary>
    public static readonly FailoverOptions Failover = new()
    {
        SilenceMs = PatientSilo.LongMs,
        PatienceMs = PatientSilo.LongMs,
        ProbeTimeoutMs = PatientSilo.LongMs,
        ViewTimeoutMs = PatientSilo.LongMs,
    };

    /// <summary>Clients are not hung up on because they, on the same cores, send or read slowly.</summary>
    public static void Wait(KestrelServerOptions kestrel)
    {
        kestrel.Limits.MinRequestBodyDataRate = kestrel.Limits.MinResponseDataRate = null;
        kestrel.Limits.RequestHeadersTimeout = kestrel.Limits.KeepAliveTimeout = TimeSpan.FromMilliseconds(PatientSilo.LongMs);
    }
}
