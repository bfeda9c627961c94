using System.Runtime.CompilerServices;

namespace Conclave.Gateway.Tests.Support;

/// <summary>Paths of files in the source tree.</summary>
internal static class Repository
{
    public static string PathTo(params string[] parts) => Path.Combine([Root(), .. parts]);

    private static string Root([CallerFilePath] string here = "")
    {
        string directory = Path.GetDirectoryName(here)!;
        while (!File.Exists(Path.Combine(directory, "Cluster.sln"))) directory = Path.GetDirectoryName(directory)!;
        return directory;
    }
}
