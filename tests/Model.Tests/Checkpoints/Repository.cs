using System.Runtime.CompilerServices;

namespace Conclave.Model.Tests.Checkpoints;

/// <summary>Paths of files in the source tree.</summary>
internal static class Repository
{
    public static string PathTo(params string[] parts) => Path.Combine([Root(), .. parts]);

    private static string Root([CallerFilePath] string here = "")
    {
        var directory = Path.GetDirectoryName(here)!;
        while (!File.Exists(Path.Combine(directory, "Cluster.sln")))
            directory = Path.GetDirectoryName(directory)!;
        return directory;
    }
}
