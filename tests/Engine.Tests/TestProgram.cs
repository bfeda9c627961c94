using Conclave.Engine.Tests.Pages;

namespace Conclave.Engine.Tests;

/// <summary>What the assembly does when a test starts it as a process, to kill it.</summary>
internal static class TestProgram
{
    public const string WritePages = "write-pages";

    public static int Main(string[] args)
    {
        if (args is not [WritePages, var directory])
            return 2;
        KvDiskTests.WritePages(directory);
        return 0;
    }
}
