using System.Net.Security;
using System.Security.Cryptography.X509Certificates;

namespace Conclave.Grains.Transport;

/// <summary>This silo's certificate and whom it trusts, read once.</summary>
internal sealed class TransportCertificates : IDisposable
{
    private readonly X509Certificate2 _certificate;
    private readonly X509Certificate2Collection _authorities = [];
    private readonly TransportTlsOptions _options;

    /// <exception cref="TransportException">A file holds no certificate or key.</exception>
    public TransportCertificates(TransportTlsOptions options)
    {
        _options = options;
        try
        {
            _certificate = X509Certificate2.CreateFromPemFile(options.CertificatePath, options.KeyPath);
            if (options.AuthorityPath is not null) _authorities.ImportFromPemFile(options.AuthorityPath);
        }
        catch (Exception e) when (e is System.Security.Cryptography.CryptographicException or IOException or UnauthorizedAccessException)
        {
            throw new TransportException($"the transport's certificate cannot be read from '{options.CertificatePath}', '{options.KeyPath}' and '{options.AuthorityPath}': {e.Message}", e);
        }

        ServerOptions = new SslServerAuthenticationOptions { ServerCertificateContext = SslStreamCertificateContext.Create(_certificate, _authorities, offline: true) };
    }

    public SslServerAuthenticationOptions ServerOptions { get; }

    public SslClientAuthenticationOptions ClientOptions(string host)
    {
        var options = new SslClientAuthenticationOptions { TargetHost = _options.ServerName ?? host };
        if (_authorities.Count > 0)
        {
            options.CertificateChainPolicy = new X509ChainPolicy { TrustMode = X509ChainTrustMode.CustomRootTrust, RevocationMode = X509RevocationMode.NoCheck };
            options.CertificateChainPolicy.CustomTrustStore.AddRange(_authorities);
        }

        return options;
    }

    public void Dispose()
    {
        _certificate.Dispose();
        foreach (X509Certificate2 authority in _authorities) authority.Dispose();
    }
}
