using System.Security.Cryptography;
using Microsoft.Win32.SafeHandles;

namespace Conclave.Silo;

/// <summary>Tells models apart that have the same name: all silos of a cluster must serve the same one, or tokens would depend on which of them computes.</summary>
internal static class ModelFingerprint
{
    private const int SamplesPerFile = 32;
    private const int SampleSizeBytes = 4096;

    /// <summary>A hash of the configuration and of the names and sizes of the weight files; reading all weights would take too long for large models.</summary>
    public static string Of(string modelDirectory)
    {
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        hash.AppendData(File.ReadAllBytes(Path.Combine(modelDirectory, "config.json")));
        foreach (FileInfo file in new DirectoryInfo(modelDirectory).GetFiles("*.safetensors").OrderBy(file => file.Name, StringComparer.Ordinal))
            hash.AppendData(System.Text.Encoding.UTF8.GetBytes($"{file.Name} {new FileInfo(file.ResolveLinkTarget(returnFinalTarget: true)?.FullName ?? file.FullName).Length}\n"));
        return $"model {Convert.ToHexStringLower(hash.GetHashAndReset().AsSpan(0, 6))}";
    }

    /// <summary>
    /// A hash that also tells two trainings of one model apart: ages of the weight files, and samples from all over each. What outlives the process (KV pages on disk) must not outlive its weights.
    /// </summary>
    public static string OfWeights(string modelDirectory)
    {
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        hash.AppendData(File.ReadAllBytes(Path.Combine(modelDirectory, "config.json")));
        var sample = new byte[SampleSizeBytes];
        foreach (FileInfo file in new DirectoryInfo(modelDirectory).GetFiles("*.safetensors").OrderBy(file => file.Name, StringComparer.Ordinal))
        {
            using SafeFileHandle handle = File.OpenHandle(file.FullName);
            long sizeBytes = RandomAccess.GetLength(handle);
            hash.AppendData(System.Text.Encoding.UTF8.GetBytes($"{file.Name} {sizeBytes} {File.GetLastWriteTimeUtc(handle).Ticks}\n"));
            for (int i = 0; i < SamplesPerFile; i++)
                hash.AppendData(sample.AsSpan(0, RandomAccess.Read(handle, sample, sizeBytes / SamplesPerFile * i)));
        }

        return Convert.ToHexStringLower(hash.GetHashAndReset());
    }
}
