using System.Net;

namespace Orleans.Configuration;

/// <summary>Identity of the cluster.</summary>
public class ClusterOptions
{
    /// <summary>Silos and clients with the same id form a cluster.</summary>
    public string ClusterId { get; set; } = "default";

    /// <summary>Names the service whose state outlives clusters.</summary>
    public string ServiceId { get; set; } = "default";
}

/// <summary>How silos watch each other.</summary>
public class ClusterMembershipOptions
{
    /// <summary>How long a probe of another silo may take.</summary>
    public TimeSpan ProbeTimeout { get; set; } = TimeSpan.FromSeconds(5);

    /// <summary>Missed probes that make a silo suspect.</summary>
    public int NumMissedProbesLimit { get; set; } = 3;

    /// <summary>Silos that each silo probes.</summary>
    public int NumProbedSilos { get; set; } = 10;

    /// <summary>Suspicions that make a silo dead.</summary>
    public int NumVotesForDeathDeclaration { get; set; } = 2;

    /// <summary>How long a suspicion counts.</summary>
    public TimeSpan DeathVoteExpirationTimeout { get; set; } = TimeSpan.FromSeconds(120);

    /// <summary>How often the membership is read again, should word of a change be lost.</summary>
    public TimeSpan TableRefreshTimeout { get; set; } = TimeSpan.FromSeconds(60);

    /// <summary>How often a silo notes in the table that it lives.</summary>
    public TimeSpan IAmAliveTablePublishTimeout { get; set; } = TimeSpan.FromSeconds(30);

    /// <summary>Notes that a silo may miss before it no longer counts when votes do.</summary>
    public int NumMissedTableIAmAliveLimit { get; set; } = 3;

    /// <summary>How long the record of a dead silo is kept.</summary>
    public TimeSpan DefunctSiloExpiration { get; set; } = TimeSpan.FromDays(7);

    /// <summary>How long a silo tries to join.</summary>
    public TimeSpan MaxJoinAttemptTime { get; set; } = TimeSpan.FromMinutes(5);
}

/// <summary>How calls travel.</summary>
public abstract class MessagingOptions
{
    /// <summary>How long a caller waits for a response.</summary>
    public TimeSpan ResponseTimeout { get; set; } = TimeSpan.FromSeconds(30);

    /// <summary>Largest body of a message in bytes.</summary>
    public int MaxMessageBodySize { get; set; } = 100 * 1024 * 1024;

    /// <summary>Whether a call that timed out cancels the callee's token.</summary>
    public bool CancelRequestOnTimeout { get; set; } = true;

    /// <summary>Whether a cancelled call ends only when the callee says so.</summary>
    public bool WaitForCancellationAcknowledgement { get; set; }
}

/// <summary>How calls of clients travel.</summary>
public class ClientMessagingOptions : MessagingOptions;

/// <summary>How calls of silos travel.</summary>
public class SiloMessagingOptions : MessagingOptions
{
    /// <summary>How often a request may be passed on to the silo that really holds the grain.</summary>
    public int MaxForwardCount { get; set; } = 2;
}

/// <summary>How connections between silos and clients are made.</summary>
public class ConnectionOptions
{
    /// <summary>How long opening a connection may take, and each end's introduction on it.</summary>
    public TimeSpan OpenConnectionTimeout { get; set; } = TimeSpan.FromSeconds(5);
}

/// <summary>Where a silo listens.</summary>
public class EndpointOptions
{
    /// <summary>Default port between silos.</summary>
    public const int DEFAULT_SILO_PORT = 11111;

    /// <summary>Default port for clients.</summary>
    public const int DEFAULT_GATEWAY_PORT = 30000;

    /// <summary>Port between silos.</summary>
    public int SiloPort { get; set; } = DEFAULT_SILO_PORT;

    /// <summary>Port for clients; 0 takes none.</summary>
    public int GatewayPort { get; set; } = DEFAULT_GATEWAY_PORT;

    /// <summary>The address that others use.</summary>
    public IPAddress AdvertisedIPAddress { get; set; } = IPAddress.Loopback;

    /// <summary>Where to listen for silos, if not at the advertised address.</summary>
    public IPEndPoint? SiloListeningEndpoint { get; set; }

    /// <summary>Where to listen for clients, if not at the advertised address.</summary>
    public IPEndPoint? GatewayListeningEndpoint { get; set; }
}

/// <summary>The silo's own settings.</summary>
public class SiloOptions
{
    /// <summary>The silo's name; made up if empty.</summary>
    public string? SiloName { get; set; }
}

/// <summary>Where a client finds silos.</summary>
public class GatewayOptions
{
    /// <summary>How often the client looks for gateways.</summary>
    public TimeSpan GatewayListRefreshPeriod { get; set; } = TimeSpan.FromMinutes(1);
}

/// <summary>When idle activations end.</summary>
public class GrainCollectionOptions
{
    /// <summary>How long an activation stays without calls.</summary>
    public TimeSpan CollectionAge { get; set; } = TimeSpan.FromMinutes(15);

    /// <summary>How often idle activations are looked for.</summary>
    public TimeSpan CollectionQuantum { get; set; } = TimeSpan.FromMinutes(1);

    /// <summary>Ages by full name of the grain class.</summary>
    public Dictionary<string, TimeSpan> ClassSpecificCollectionAge { get; set; } = [];

    /// <summary>How long OnActivateAsync may take before its token is cancelled.</summary>
    public TimeSpan ActivationTimeout { get; set; } = TimeSpan.FromSeconds(30);

    /// <summary>How long OnDeactivateAsync may take before its token is cancelled.</summary>
    public TimeSpan DeactivationTimeout { get; set; } = TimeSpan.FromSeconds(30);
}

/// <summary>Settings of memory storages.</summary>
public class MemoryGrainStorageOptions;
