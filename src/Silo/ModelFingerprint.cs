using System.Security.Cryptography;

namespace Conclave.Silo;

/// <summary>Tells models apart that have the same name: all silos of a cluster must serve the same one, or tokens would depend on which of them computes.</summary>
internal static class ModelFingerprint
{
    /// <summary>A hash of the configuration and of the names and sizes of the weight files; reading all weights would take too long for large models.</summary>
    public static string Of(string modelDirectory)
    {
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        hash.AppendData(File.ReadAllBytes(Path.Combine(modelDirectory, "config.json")));
        foreach (FileInfo file in new DirectoryInfo(modelDirectory).GetFiles("*.safetensors").OrderBy(file => file.Name, StringComparer.Ordinal))
            hash.AppendData(System.Text.Encoding.UTF8.GetBytes($"{file.Name} {new FileInfo(file.ResolveLinkTarget(returnFinalTarget: true)?.FullName ?? file.FullName).Length}\n"));
        return $"model {Convert.ToHexStringLower(hash.GetHashAndReset().AsSpan(0, 6))}";
    }
}
