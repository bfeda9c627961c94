namespace Conclave.Model.Tests.Checkpoints;

/// <summary>An empty directory, removed with all it holds on disposal.</summary>
internal sealed class TemporaryDirectory : IDisposable
{
    public string Root { get; } = Directory.CreateTempSubdirectory("conclave-test-").FullName;

    public string PathTo(string name) => Path.Combine(Root, name);

    /// <summary>Copies every file of <paramref name="source"/> whose name is in <paramref name="names"/>.</summary>
    public TemporaryDirectory With(string source, params string[] names)
    {
        foreach (var name in names)
            File.Copy(Path.Combine(source, name), PathTo(name));
        return this;
    }

    public void Dispose() => Directory.Delete(Root, recursive: true);
}
