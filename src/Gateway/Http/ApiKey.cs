using System.Security.Cryptography;
using System.Text;
using Microsoft.AspNetCore.Http;

namespace Conclave.Gateway.Http;

/// <summary>The API key of a request, as far as it tells requests apart.</summary>
internal static class ApiKey
{
    private const string Bearer = "Bearer ";

    /// <summary>A digest that stands for the key, so that the key itself goes no further; null if the request has none.</summary>
    public static string? DigestOf(HttpRequest request) => DigestOf(request.Headers.Authorization, request.Headers["x-api-key"]);

    /// <summary>The same from the values of the headers <c>authorization</c> and <c>x-api-key</c>.</summary>
    public static string? DigestOf(string? authorization, string? apiKey)
    {
        string? key = authorization?.StartsWith(Bearer, StringComparison.OrdinalIgnoreCase) == true ? authorization[Bearer.Length..].Trim() : apiKey;
        return string.IsNullOrEmpty(key) ? null : $"key-{Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(key)).AsSpan(0, 16))}";
    }
}
