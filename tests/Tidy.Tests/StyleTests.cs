using Microsoft.CodeAnalysis;
using Microsoft.CodeAnalysis.CSharp;
using Microsoft.CodeAnalysis.CSharp.Syntax;

namespace Conclave.Tidy.Tests;

/// <summary>The rules of STYLE.md that a machine can check.</summary>
public sealed class StyleTests
{
    private const int MaxFileLines = 400, MaxFunctionLines = 70;

    // Samples are other projects' files, kept as they are.
    private static bool IsOurs(string path) => !path.StartsWith("tests/samples/", StringComparison.Ordinal);

    [Fact]
    public void Files_are_short() => Sources.AssertNone(
        from file in Sources.Files(["src", "tests", "tools", "bench"], ".cs", ".py", ".mjs", ".js", ".sh", ".proto")
        where IsOurs(Sources.Relative(file))
        let lines = File.ReadLines(file).Count()
        where lines > MaxFileLines
        select $"{Sources.Relative(file)}: {lines} lines, at most {MaxFileLines}");

    [Fact]
    public void Functions_are_short() => Sources.AssertNone(
        from source in Sources.Parsed
        where IsOurs(source.Path)
        from node in source.Tree.DescendantNodes()
        where node is BaseMethodDeclarationSyntax or LocalFunctionStatementSyntax or AccessorDeclarationSyntax
        let lines = Lines(node)
        where lines > MaxFunctionLines
        select $"{Sources.At(node)}: a function of {lines} lines, at most {MaxFunctionLines}");

    [Fact]
    public void Nothing_blocks_a_thread_or_reads_a_hidden_clock() => Sources.AssertNone(
        from source in Sources.Parsed
        where IsOurs(source.Path)
        from node in source.Tree.DescendantNodes().OfType<MemberAccessExpressionSyntax>()
        let why = Banned(node)
        where why is not null
        select $"{Sources.At(node)}: {node} ({why})");

    [Fact]
    public void No_catch_is_empty() => Sources.AssertNone(
        from source in Sources.Parsed
        where IsOurs(source.Path)
        from node in source.Tree.DescendantNodes().OfType<CatchClauseSyntax>()
        where node.Block.Statements.Count == 0 && !node.Block.DescendantTrivia().Any(t => t.IsKind(SyntaxKind.SingleLineCommentTrivia))
        select $"{Sources.At(node)}: an empty catch; handle the fault, or say in a comment why it is none");

    [Fact]
    public void Nothing_is_left_for_later()
    {
        // Built from halves so that this file does not match itself.
        string[] words = ["TO" + "DO", "FIX" + "ME", "HA" + "CK", "X" + "XX", "NotImplemented" + "Exception"];
        Sources.AssertNone(
            from file in Sources.Files(["src", "tests", "tools", "bench"], ".cs", ".py", ".mjs", ".sh", ".proto")
            where IsOurs(Sources.Relative(file))
            from line in File.ReadLines(file).Select((text, index) => (Text: text, Number: index + 1))
            from word in words
            where line.Text.Contains(word, StringComparison.Ordinal)
            select $"{Sources.Relative(file)}:{line.Number}: {word}");
    }

    [Fact]
    public void Public_types_are_documented() => Sources.AssertNone(
        from source in Sources.Parsed
        where source.Path.StartsWith("src/", StringComparison.Ordinal) && !source.Path.StartsWith("src/Compat/", StringComparison.Ordinal)
        from node in source.Tree.DescendantNodes()
        where node is BaseTypeDeclarationSyntax or DelegateDeclarationSyntax
        let member = (MemberDeclarationSyntax)node
        where member.Modifiers.Any(SyntaxKind.PublicKeyword) && !HasDocComment(member)
        select $"{Sources.At(node)}: a public type without a doc comment");

    private static string? Banned(MemberAccessExpressionSyntax node)
    {
        string name = node.Name.Identifier.Text, owner = node.Expression.ToString();
        bool called = node.Parent is InvocationExpressionSyntax;
        return (name, owner) switch
        {
            ("Result", _) when !called && !(node.Parent is AssignmentExpressionSyntax assignment && assignment.Left == node) => "await instead",
            ("Wait", _) when called && ((InvocationExpressionSyntax)node.Parent!).ArgumentList.Arguments.Count == 0 => "await instead",
            ("GetResult", _) when owner.EndsWith("GetAwaiter()", StringComparison.Ordinal) => "await instead",
            ("Sleep", "Thread") => "wait for an event, or Task.Delay with a TimeProvider",
            ("Now" or "UtcNow", "DateTime" or "DateTimeOffset") => "take a TimeProvider",
            _ => null,
        };
    }

    private static int Lines(SyntaxNode node)
    {
        FileLinePositionSpan span = node.GetLocation().GetLineSpan();
        return span.EndLinePosition.Line - span.StartLinePosition.Line + 1;
    }

    private static bool HasDocComment(SyntaxNode node) =>
        node.GetLeadingTrivia().Any(t => t.IsKind(SyntaxKind.SingleLineDocumentationCommentTrivia) || t.IsKind(SyntaxKind.MultiLineDocumentationCommentTrivia));
}
