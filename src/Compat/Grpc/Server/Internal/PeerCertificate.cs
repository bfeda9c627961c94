using System.Security.Cryptography.X509Certificates;
using System.Text;
using Grpc.Core;

namespace Grpc.AspNetCore.Server.Internal;

/// <summary>Turns a client certificate into what a call knows of its client. The property names are those of other gRPC servers.</summary>
internal static class PeerCertificate
{
    private const string AlternativeName = "x509_subject_alternative_name";
    private const string CommonName = "x509_common_name";

    private static readonly AuthContext Unauthenticated = new(null, []);

    public static AuthContext Read(X509Certificate2? certificate)
    {
        if (certificate is null)
            return Unauthenticated;
        var properties = new Dictionary<string, List<AuthProperty>>(StringComparer.Ordinal);
        Add(AlternativeName, certificate.Extensions.OfType<X509SubjectAlternativeNameExtension>().SelectMany(extension => extension.EnumerateDnsNames()));
        string name = certificate.GetNameInfo(X509NameType.SimpleName, forIssuer: false);
        Add(CommonName, name.Length == 0 ? [] : [name]);
        return new AuthContext(properties.Keys.FirstOrDefault(), properties);

        void Add(string property, IEnumerable<string> values)
        {
            List<AuthProperty> list = [.. values.Select(value => AuthProperty.Create(property, Encoding.UTF8.GetBytes(value)))];
            if (list.Count > 0)
                properties[property] = list;
        }
    }
}
