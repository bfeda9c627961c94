using System.Text.RegularExpressions;
using System.Xml.Linq;

namespace Conclave.Tidy.Tests;

/// <summary>The documents tell the truth about the tree, and projects depend downwards only.</summary>
public sealed partial class LayoutTests
{
    // Cli > Silo, Gateway > Grains > Engine > Model: a project may reference lower ranks only. The stand-ins know nobody.
    private static readonly Dictionary<string, int> Ranks = new()
    {
        ["Cli"] = 5,
        ["Silo"] = 4,
        ["Gateway"] = 4,
        ["Grains"] = 3,
        ["Engine"] = 2,
        ["Model"] = 1,
    };

    [Fact]
    public void Project_references_point_downwards() => Sources.AssertNone(
        from file in Sources.Files(["src"], ".csproj")
        let name = Path.GetFileNameWithoutExtension(file)
        from reference in XDocument.Load(file).Descendants("ProjectReference").Select(r => (string)r.Attribute("Include")!)
        let target = Path.GetFileNameWithoutExtension(reference)
        where !Ranks.TryGetValue(name, out int rank) || !Ranks.TryGetValue(target, out int below) || below >= rank
        select $"{name} references {target}");

    [Fact]
    public void Only_the_stack_switch_knows_the_stand_ins() => Sources.AssertNone(
        from file in Sources.Files(["src", "tests", "tools", "bench"], ".csproj")
        where !Sources.Relative(file).StartsWith("tests/Compat.Tests/", StringComparison.Ordinal)
        where File.ReadAllText(file).Contains("Compat/", StringComparison.Ordinal)
        select $"{Sources.Relative(file)}: say UsesOrleans or UsesGrpc instead");

    [Fact]
    public void The_model_knows_no_socket_and_no_web() => Sources.AssertNone(
        from source in Sources.Parsed
        where source.Path.StartsWith("src/Model/", StringComparison.Ordinal) || source.Path.StartsWith("src/Engine/", StringComparison.Ordinal)
        from line in source.Tree.ToFullString().Split('\n')
        where line.Contains("System.Net", StringComparison.Ordinal) || line.Contains("AspNetCore", StringComparison.Ordinal) || line.Contains("using Orleans", StringComparison.Ordinal)
        select $"{source.Path}: {line.Trim()}");

    [Theory]
    [InlineData("ARCHITECTURE.md", 150)]
    [InlineData("STYLE.md", 60)]
    public void Documents_are_short(string name, int maxLines)
    {
        int lines = File.ReadLines(Path.Combine(Sources.Root, name)).Count();
        Assert.InRange(lines, 1, maxLines);
    }

    [Theory]
    [InlineData("ARCHITECTURE.md")]
    [InlineData("STYLE.md")]
    [InlineData("README.md")]
    public void Paths_named_in_documents_exist(string name) => Sources.AssertNone(
        from Match match in NamedPath().Matches(File.ReadAllText(Path.Combine(Sources.Root, name)))
        let path = match.Groups[1].Value
        where !Path.Exists(Path.Combine(Sources.Root, path))
        select $"{name}: `{path}` does not exist");

    [Fact]
    public void Package_versions_live_in_one_file() => Sources.AssertNone(
        from file in Sources.Files(["src", "tests", "tools", "bench"], ".csproj")
        where XDocument.Load(file).Descendants("PackageReference").Any(r => r.Attribute("Version") is not null)
        select $"{Sources.Relative(file)}: the version belongs in Directory.Packages.props");

    /// <summary>A path in backticks that begins with one of the root's folders.</summary>
    [GeneratedRegex(@"`((?:src|tests|tools|bench|models|docs|\.ci)/[\w./-]*)`")]
    private static partial Regex NamedPath();
}
