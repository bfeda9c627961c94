using System.CommandLine;
using System.Net;
using Conclave.Grains.Transport;
using Conclave.Silo;

namespace Conclave.Cli;

/// <summary>The options of a silo.</summary>
internal sealed class SiloCommandOptions
{
    private const string SecretVariable = "CONCLAVE_SECRET";

    private readonly ModelOptions _model = new();
    private readonly ClusterOptions _cluster = new(ClusterOptions.Side.Silo);
    private readonly Option<string> _name = new("--name") { Description = "The silo's name for people (default: host and silo port)", DefaultValueFactory = _ => "", HelpName = "NAME" };
    private readonly Option<string> _role = new("--role") { Description = "What it does: attention (serves sequences), expert (holds experts) or both", DefaultValueFactory = _ => "both", HelpName = "ROLE" };
    private readonly Option<int> _slots = new("--slots") { Description = "Slots of expert memory", DefaultValueFactory = _ => 1, HelpName = "N" };
    private readonly Option<string?> _expertMemory = new("--expert-memory") { Description = "Most memory for expert weights over all slots, such as 40G (default: no limit)", HelpName = "SIZE" };
    private readonly Option<int> _expertThreads = new("--expert-threads") { Description = "Threads that compute for other silos (default: as many as --threads)", HelpName = "N" };
    private readonly Option<string> _labels = new("--labels") { Description = "Labels such as gpu=a100,zone=east; replicas go to different zones and hosts (host= is the machine's name unless given)", DefaultValueFactory = _ => "", HelpName = "NAME=VALUE,..." };
    private readonly Option<int> _replicas = new("--replicas") { Description = "Replicas of every expert, on different silos", DefaultValueFactory = _ => 1, HelpName = "N" };
    private readonly Option<int> _redundant = new("--redundant-experts") { Description = "Further replicas for the busiest experts of each layer", HelpName = "N" };
    private readonly Option<string> _advertise = new("--advertise") { Description = "Address of this machine where other silos and clients reach it; it listens there", DefaultValueFactory = _ => "127.0.0.1", HelpName = "ADDRESS" };
    private readonly Option<bool> _listenAll = new("--listen-all") { Description = "Listen on all addresses of the machine, not on --advertise alone" };
    private readonly Option<int> _siloPort = new("--silo-port") { Description = "Port for other silos (0: a free one)", HelpName = "PORT" };
    private readonly Option<int> _gatewayPort = new("--gateway-port") { Description = "Port for gateways and other clients (0: a free one)", HelpName = "PORT" };
    private readonly Option<int> _transportPort = new("--transport-port") { Description = "Port for activations from other silos (0: a free one)", HelpName = "PORT" };
    private readonly Option<string?> _secret = new("--secret-file") { Description = $"File with the secret that all silos of the cluster know (or the environment variable {SecretVariable}); may be left out on the loopback address only", HelpName = "FILE" };
    private readonly Option<string?> _tlsCertificate = new("--transport-tls-cert") { Description = "Certificate chain; activations then travel with TLS between hosts", HelpName = "PEM" };
    private readonly Option<string?> _tlsKey = new("--transport-tls-key") { Description = "Private key of --transport-tls-cert", HelpName = "PEM" };
    private readonly Option<string?> _tlsAuthority = new("--transport-tls-ca") { Description = "Authorities of the other silos' certificates (default: the system's)", HelpName = "PEM" };
    private readonly Option<bool> _tcpOnly = new("--no-unix-socket") { Description = "Use TCP between silos of one machine too" };
    private readonly Option<int> _drainGrace = new("--drain-grace") { Description = "Seconds that a silo that is to end waits for its sequences and experts to move", DefaultValueFactory = _ => 30, HelpName = "S" };

    private readonly Option<double> _missingTimeout = new("--missing-timeout") { Description = "Seconds that a step waits for an expert that no silo holds, before its sequences are given back to the gateway", DefaultValueFactory = _ => 30, HelpName = "S" };
    private readonly Option<double?> _suspectTimeout = SuspectTimeout.Option("another silo", defaultSeconds: 0.4);

    public void AddTo(Command command)
    {
        _model.AddTo(command);
        _cluster.AddTo(command);
        Option[] options =
        [
            _name, _role, _slots, _expertMemory, _expertThreads, _labels, _replicas, _redundant, _advertise, _listenAll, _siloPort, _gatewayPort, _transportPort, _secret, _tlsCertificate,
            _tlsKey, _tlsAuthority, _tcpOnly, _drainGrace, _missingTimeout, _suspectTimeout,
        ];
        foreach (Option option in options) command.Add(option);
    }

    public SiloOptions Silo(ParseResult parsed)
    {
        Membership membership = _cluster.Membership(parsed);
        IPAddress address = IPAddress.TryParse(parsed.GetValue(_advertise), out IPAddress? parsedAddress)
            ? parsedAddress
            : throw new ArgumentException($"--advertise: '{parsed.GetValue(_advertise)}' is not an IP address of this machine, such as 10.0.0.1");
        int siloPort = Port("--silo-port", parsed.GetValue(_siloPort));
        string name = parsed.GetValue(_name)!;
        double missingTimeout = parsed.GetValue(_missingTimeout);
        if (!(missingTimeout is >= 0 and <= 86_400)) throw new ArgumentException(FormattableString.Invariant($"--missing-timeout: {missingTimeout} is out of range; it must be 0 to 86400 seconds"));
        SiloOptions alone = _model.Silo(parsed);
        return alone with
        {
            Dispatch = alone.Dispatch with { MissingTimeoutMs = (int)(missingTimeout * 1000) },
            Name = name.Length > 0 ? name : $"{Environment.MachineName}-{siloPort}",
            Roles = ModelOptions.Choose("--role", parsed.GetValue(_role)!, ("both", SiloRoles.Both), ("attention", SiloRoles.Attention), ("expert", SiloRoles.Expert)),
            Slots = parsed.GetValue(_slots),
            ExpertMemorySizeBytes = parsed.GetValue(_expertMemory) is { } size ? ModelOptions.SizeBytes("--expert-memory", size) : 0,
            ExpertThreads = parsed.GetValue(_expertThreads),
            Labels = SiloOptions.ParseLabels(parsed.GetValue(_labels)!),
            Replicas = parsed.GetValue(_replicas),
            RedundantExperts = parsed.GetValue(_redundant),
            AdvertisedAddress = address,
            ListenOnAllAddresses = parsed.GetValue(_listenAll),
            SiloPort = siloPort,
            GatewayPort = Port("--gateway-port", parsed.GetValue(_gatewayPort)),
            ClusterId = membership.ClusterId,
            ServiceId = membership.ServiceId,
            RedisConnection = membership.RedisConnection,
            // The first silo may be named by its own address.
            Primary = membership.Primary is { } primary && primary.Port != siloPort ? primary : null,
            Transport = Transport(parsed, address),
            DrainGraceSeconds = parsed.GetValue(_drainGrace),
            StartsInBackground = true,
        };
    }

    private TransportOptions Transport(ParseResult parsed, IPAddress address)
    {
        string? certificate = parsed.GetValue(_tlsCertificate), key = parsed.GetValue(_tlsKey);
        if (certificate is null != key is null) throw new ArgumentException("--transport-tls-cert and --transport-tls-key belong together (PEM files)");
        string secret = Secret(parsed);
        if (secret.Length == 0 && !IPAddress.IsLoopback(address))
            throw new ArgumentException($"--secret-file: a silo that others can reach needs the cluster's secret (or {SecretVariable}), such as 'openssl rand -hex 32' gives");
        var defaults = new TransportOptions();
        int suspectMs = SuspectTimeout.Ms(parsed, _suspectTimeout) ?? defaults.SuspectMs;
        return new TransportOptions
        {
            SuspectMs = suspectMs,
            // Where silence is forgiven for longer, so is a slow greeting.
            ConnectTimeoutMs = Math.Max(defaults.ConnectTimeoutMs, suspectMs),
            HandshakeTimeoutMs = Math.Max(defaults.HandshakeTimeoutMs, suspectMs),
            ListenHost = parsed.GetValue(_listenAll) ? "*" : address.ToString(),
            AdvertisedHost = address.ToString(),
            Port = parsed.GetValue(_transportPort) is >= 0 and <= IPEndPoint.MaxPort and var port ? port : throw new ArgumentException($"--transport-port: {parsed.GetValue(_transportPort)} is out of range; it must be 0 to 65535"),
            UseUnixSocket = !parsed.GetValue(_tcpOnly),
            ClusterSecret = secret,
            Tls = certificate is null ? null : new TransportTlsOptions { CertificatePath = certificate, KeyPath = key!, AuthorityPath = parsed.GetValue(_tlsAuthority) },
        };
    }

    private string Secret(ParseResult parsed)
    {
        if (parsed.GetValue(_secret) is not { } path) return Environment.GetEnvironmentVariable(SecretVariable) ?? "";
        try
        {
            return File.ReadAllText(path).Trim() is { Length: > 0 } secret ? secret : throw new ArgumentException($"--secret-file: {path} is empty");
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new ArgumentException($"--secret-file: {e.Message}", e);
        }
    }

    private static int Port(string option, int port) => port switch
    {
        0 => ServeHost.FreePort(),
        > 0 and <= IPEndPoint.MaxPort => port,
        _ => throw new ArgumentException($"{option}: {port} is out of range; it must be 0 to 65535"),
    };
}
