namespace Conclave.Engine.Pages;

/// <summary>Where evicted prefix pages are kept.</summary>
public sealed record KvDiskOptions
{
    /// <summary>A directory of this engine alone; made if it is missing.</summary>
    public required string Directory { get; init; }

    /// <summary>Most bytes of page files; the oldest are deleted for new ones.</summary>
    public required long SizeBytes { get; init; }

    /// <summary>
    /// Everything apart from layout and tokens that latents depend on: the weights, and how they are computed with. Pages of another identity are never served, they are deleted. Set by
    /// who knows the model, not by the operator.
    /// </summary>
    public string Identity { get; init; } = "";

    /// <summary>Makes the directory if it is missing, and checks that it can be written.</summary>
    /// <exception cref="ArgumentException">It cannot be used; the message names option and remedy.</exception>
    public void Validate()
    {
        if (SizeBytes < 1)
            throw new ArgumentException($"--kv-disk-size: {SizeBytes} is out of range; it must be more than 0");
        if (string.IsNullOrWhiteSpace(Directory))
            throw new ArgumentException("--kv-disk: it is empty; name a directory that this process can write and that no other one uses");
        try
        {
            System.IO.Directory.CreateDirectory(Directory);
            string probe = Path.Combine(Directory, $"probe-{Guid.NewGuid():N}.tmp");
            File.WriteAllBytes(probe, [0]);
            File.Delete(probe);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw Unusable(e);
        }
    }

    internal ArgumentException Unusable(Exception inner) => new(
        $"--kv-disk: {Path.GetFullPath(Directory)} cannot be used: {inner.Message.TrimEnd('.')}; name a directory that this process can write and that no other one uses", inner);
}
