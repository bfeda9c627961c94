using Microsoft.CodeAnalysis;
using Microsoft.CodeAnalysis.CSharp;

namespace Conclave.Tidy.Tests;

/// <summary>The repository's files, as the tidy rules see them.</summary>
internal static class Sources
{
    private static readonly string[] SkippedFolders = ["bin", "obj", "node_modules", ".git", "goldens", "TestResults"];

    /// <summary>Folder that holds Cluster.sln.</summary>
    public static string Root { get; } = FindRoot();

    /// <summary>Every file below <paramref name="folders"/> that ends in one of <paramref name="extensions"/>, without build output.</summary>
    public static IEnumerable<string> Files(string[] folders, params string[] extensions) =>
        folders.Select(folder => Path.Combine(Root, folder)).Where(Directory.Exists)
            .SelectMany(Walk)
            .Where(file => extensions.Contains(Path.GetExtension(file)));

    /// <summary>Parsed C# files of src, tests, tools and bench with their path relative to the root.</summary>
    public static IReadOnlyList<(string Path, SyntaxNode Tree)> Parsed { get; } =
        [.. Files(["src", "tests", "tools", "bench"], ".cs").Select(file => (Relative(file), CSharpSyntaxTree.ParseText(File.ReadAllText(file), path: file).GetRoot()))];

    public static string Relative(string file) => Path.GetRelativePath(Root, file).Replace('\\', '/');

    /// <summary>Fails with one line per violation, so that all can be mended in one go.</summary>
    public static void AssertNone(IEnumerable<string> violations)
    {
        string[] found = [.. violations];
        Assert.True(found.Length == 0, $"{found.Length} violations:\n{string.Join('\n', found)}");
    }

    /// <summary>"path:line" of a node.</summary>
    public static string At(SyntaxNode node) =>
        $"{Relative(node.SyntaxTree.FilePath)}:{node.GetLocation().GetLineSpan().StartLinePosition.Line + 1}";

    private static IEnumerable<string> Walk(string folder) =>
        Directory.EnumerateFiles(folder).Concat(Directory.EnumerateDirectories(folder)
            .Where(child => !SkippedFolders.Contains(Path.GetFileName(child))).SelectMany(Walk));

    private static string FindRoot()
    {
        string? folder = AppContext.BaseDirectory;
        while (folder is not null && !File.Exists(Path.Combine(folder, "Cluster.sln"))) folder = Path.GetDirectoryName(folder);
        return folder ?? throw new InvalidOperationException($"no Cluster.sln above {AppContext.BaseDirectory}");
    }
}
