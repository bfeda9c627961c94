using System.Runtime.InteropServices;
using System.Security.Cryptography;
using System.Text;

namespace Conclave.Engine.Pages;

/// <summary>
/// Names the content of a KV page for ever: SHA-256 of everything that its latents depend on, chained page by page from the model's identity and the cache scope. A hash that nobody
/// can find two inputs for, as clients choose the tokens: a page served to the wrong prompt would be a wrong answer.
/// </summary>
internal readonly record struct PageKey(ulong First, ulong Second, ulong Third, ulong Fourth)
{
    /// <summary>Bytes of a key.</summary>
    public const int SizeBytes = 32;

    /// <summary>The key that the first pages of <paramref name="scope"/> follow.</summary>
    /// <param name="identity">Everything apart from tokens that latents depend on.</param>
    /// <param name="scope">The cache scope.</param>
    public static PageKey Root(string identity, string scope) => Hash(Encoding.UTF8.GetBytes($"{identity.Length} {identity} {scope}"));

    /// <summary>The key of the page that holds <paramref name="tokens"/> behind the page of this key.</summary>
    public PageKey Next(ReadOnlySpan<int> tokens)
    {
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        hash.AppendData(MemoryMarshal.AsBytes(new ReadOnlySpan<PageKey>(in this)));
        hash.AppendData(MemoryMarshal.AsBytes(tokens));
        Span<byte> bytes = stackalloc byte[SizeBytes];
        hash.GetHashAndReset(bytes);
        return MemoryMarshal.Read<PageKey>(bytes);
    }

    /// <summary>Lower-case hexadecimal.</summary>
    public override string ToString() => Convert.ToHexStringLower(MemoryMarshal.AsBytes(new ReadOnlySpan<PageKey>(in this)));

    private static PageKey Hash(ReadOnlySpan<byte> bytes)
    {
        Span<byte> hash = stackalloc byte[SizeBytes];
        SHA256.HashData(bytes, hash);
        return MemoryMarshal.Read<PageKey>(hash);
    }
}
