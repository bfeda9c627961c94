using System.Net;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using Conclave.Grains.Transport;

namespace Conclave.Grains.Tests.Transport;

/// <summary>Encrypted connections.</summary>
public sealed class TlsTests : IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("conclave-tls-").FullName;

    [Fact]
    public void Calls_go_over_tls_where_the_certificate_is_trusted()
    {
        TransportTlsOptions tls = Certificate("one", "127.0.0.1");
        using var pair = new Pair(unix: false, options => options.Tls = tls);
        foreach (int size in new[] { 0, 100, 70_000, 3 << 20 })
        {
            using TensorCall call = pair.Peer.Rent(size);
            new Random(size).NextBytes(call.Request);
            call.Kind = Pair.Echo;
            call.Send(Pair.Long);
            Assert.Equal(CallStatus.Ok, call.WaitForReply());
            Assert.True(call.Reply.SequenceEqual(call.Request));
        }
    }

    [Theory]
    [InlineData("127.0.0.1", true)]
    [InlineData("127.0.0.2", false)]
    public void Other_authorities_and_other_names_are_not_trusted(string name, bool otherAuthority)
    {
        TransportTlsOptions tls = Certificate("one", name);
        var log = new ListLogger();
        using TensorTransport called = Pair.Make(unix: false, options => options.Tls = tls);
        using var caller = new TensorTransport(
            new TransportOptions { ClusterSecret = "open sesame", UseUnixSocket = false, Tls = otherAuthority ? Certificate("two", name) : tls }, logger: log);
        caller.Start();
        TransportPeer peer = caller.Connect(called.Address);
        Assert.True(SpinWait.SpinUntil(() => log.Has("TLS with"), Pair.Long));
        Assert.False(peer.IsAlive);
    }

    [Fact]
    public void Who_speaks_no_tls_does_not_get_in()
    {
        TransportTlsOptions tls = Certificate("one", "127.0.0.1");
        var log = new ListLogger();
        using TensorTransport called = Pair.Make(unix: false, options => options.Tls = tls);
        using var caller = new TensorTransport(new TransportOptions { ClusterSecret = "open sesame", UseUnixSocket = false }, logger: log);
        caller.Start();
        TransportPeer peer = caller.Connect(called.Address);
        Assert.True(SpinWait.SpinUntil(() => log.Has("cannot connect to"), Pair.Long));
        Assert.False(peer.WaitAlive(TimeSpan.FromMilliseconds(50)));
    }

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    /// <summary>A self-signed certificate that is its own authority.</summary>
    private TransportTlsOptions Certificate(string file, string address)
    {
        using var key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        var request = new CertificateRequest("CN=silo", key, HashAlgorithmName.SHA256);
        var names = new SubjectAlternativeNameBuilder();
        names.AddIpAddress(IPAddress.Parse(address));
        request.CertificateExtensions.Add(names.Build());
        request.CertificateExtensions.Add(new X509BasicConstraintsExtension(certificateAuthority: true, false, 0, true));
        DateTimeOffset now = TimeProvider.System.GetUtcNow();
        using X509Certificate2 certificate = request.CreateSelfSigned(now.AddDays(-1), now.AddDays(1));
        string path = Path.Combine(_folder, file);
        File.WriteAllText(path + ".crt", certificate.ExportCertificatePem());
        File.WriteAllText(path + ".key", key.ExportPkcs8PrivateKeyPem());
        return new TransportTlsOptions { CertificatePath = path + ".crt", KeyPath = path + ".key", AuthorityPath = path + ".crt" };
    }
}
