using System.Text.Json;
using System.Text.RegularExpressions;
using Conclave.Engine.Grammars;

namespace Conclave.Engine.Tests.Grammars;

/// <summary>Regular expressions, rules, and JSON of any shape.</summary>
public sealed class TextGrammarTests
{
    [Theory]
    [InlineData("a")]
    [InlineData("(foo|ba[rz])+")]
    [InlineData(@"\d{3}-\d{2,4}")]
    [InlineData(@"[^\d\s]{1,5}")]
    [InlineData(@"\w+@\w+\.(com|org)")]
    [InlineData(@"^(?:[A-Z][a-z]{2}\s)?[-+]?\d+(?:\.\d*)?$")]
    [InlineData(@"日本|é*\u00e9|\x41\W\S\D")]
    [InlineData(@"(a*)*b??c{0}d{2,}?")]
    [InlineData(@".{3}")]
    [InlineData(@"[\]\-^a-]+|[\w.-]{2}")]
    [InlineData(@"(?<year>[12]\d{3})/(0[1-9]|1[0-2])")]
    [InlineData(@"\p{Lu}\p{Ll}*\P{L}")]
    [InlineData("|x|")]
    public void Whatever_the_masks_allow_matches_the_expression(string pattern)
    {
        CompiledGrammar grammar = GrammarWalk.Compile(GrammarKind.Regex, pattern);
        for (int seed = 0; seed < 15; seed++)
        {
            string text = new GrammarWalk(grammar, Vocabularies.OddEnd, seed).Run(seed * 3);
            Assert.True(Regex.IsMatch(Narrowed(text), $@"\A(?:{pattern.TrimStart('^').TrimEnd('$')})\z"), $"'{text}' does not match {pattern}");
        }
    }

    /// <summary>A character is a scalar value, one beyond U+FFFF too: emoji are what models write.</summary>
    [Theory]
    [InlineData("^.$", "🙂", true)]
    [InlineData("^.$", "é", true)]
    [InlineData("^..$", "🙂", false)]
    [InlineData("[^a]{2}", "🙂b", true)]
    [InlineData(@"\W\D\S", "🙂🙂🙂", true)]
    [InlineData(@"\p{So}+", "🙂🚀", true)]
    [InlineData(@"\P{Lu}", "🙂", true)]
    [InlineData(@"\p{Lu}", "𐐀", true)]
    [InlineData("[🙂-🚀]", "🚀", true)]
    [InlineData(@"\ud83d\ude42|\u{1F680}", "🙂", true)]
    [InlineData("a.b", "a\nb", false)]
    [InlineData("(?s)a.b", "a\nb", true)]
    [InlineData("(?i)straße [a-c]+ [^x]", "STRAßE aBC y", true)]
    [InlineData("(?i)[^k]", "K", false)]
    [InlineData("(?i)É", "é", true)]
    public void A_character_is_a_whole_scalar_value(string pattern, string text, bool isMatch)
    {
        var matcher = new GrammarMatcher(GrammarWalk.Compile(GrammarKind.Regex, pattern), []);
        Assert.Equal(isMatch, System.Text.Encoding.UTF8.GetBytes(text).All(value => matcher.Accept(1 + value)) && matcher.IsComplete);
    }

    /// <summary>The text with characters beyond U+FFFF, which .NET counts as two, replaced by ones of like category that it counts as one.</summary>
    internal static string Narrowed(string text) => string.Concat(text.EnumerateRunes().Select(rune => rune.IsBmp ? rune.ToString() : System.Text.Rune.GetUnicodeCategory(rune) switch
    {
        System.Globalization.UnicodeCategory.UppercaseLetter => "Å",
        System.Globalization.UnicodeCategory.LowercaseLetter => "å",
        _ when System.Text.Rune.IsLetter(rune) => "日",
        _ => "\uE000",
    }));

    [Theory]
    [InlineData("a(?=b)", "position 3: look-behind")]
    [InlineData(@"(a)\1", "back references are not supported")]
    [InlineData(@"a\b", "word boundaries are not supported")]
    [InlineData("*a", "'*' has nothing to repeat")]
    [InlineData("a)", "')' without '('")]
    [InlineData("[a", "'[' is never closed")]
    [InlineData("a{3,2}", "bounds in the wrong order")]
    [InlineData("a^b", "'^' is supported only at the beginning")]
    [InlineData("(?m)a", "flags other than '(?i)' and '(?s)'")]
    [InlineData("a(?i)b", "flags other than '(?i)' and '(?s)'")]
    [InlineData("a{100001}", "the repetition count 100001 is too large; at most 100000")]
    [InlineData("a{99999999999}", "the repetition count 99999999999 is too large")]
    [InlineData(@"[\ud83d]", "an unpaired surrogate is no character")]
    [InlineData("[^\\s\\S]", "No text fits")]
    [InlineData("(?:(?:.{1000}){1000}x|y{90000}){3}z{100000}w{90000}", "too large")]
    public void An_expression_that_cannot_be_used_is_refused_by_position(string pattern, string problem) => AssertRefused(GrammarKind.Regex, pattern, problem);

    [Fact]
    public void Rules_may_be_recursive_and_stand_in_any_order()
    {
        const string Rules = """
            # sums and products
            root ::= expr "=" [0-9]+ "\n"
            expr ::= term ([-+*/] term)*
            term ::= "(" expr ")" | number{1,1}
            number ::= [1-9] [0-9]{0,3}
              | "0" # nothing else begins with it
            """;
        CompiledGrammar grammar = GrammarWalk.Compile(GrammarKind.Ebnf, Rules);
        for (int seed = 0; seed < 15; seed++)
        {
            string text = new GrammarWalk(grammar, Vocabularies.OddEnd, seed).Run(seed * 5);
            Assert.Matches(@"\A[-+*/()0-9]+=[0-9]+\n\z", text);
            Assert.Equal(text.Count(c => c == '('), text.Count(c => c == ')'));
        }
    }

    [Fact]
    public void Right_recursion_has_no_limit_and_nesting_has_one()
    {
        GrammarMatcher list = Matcher("""root ::= "a" | "a," root""");
        for (int i = 0; i < 1000; i++)
            Assert.True(Accepts(list, "a,"));
        Assert.True(Accepts(list, "a") && list.IsComplete);

        GrammarMatcher nested = Matcher("""root ::= "x" | "(" root ")" """);
        int depth = 0;
        while (Accepts(nested, "("))
            depth++;
        Assert.InRange(depth, 250, 260);
        Assert.True(Accepts(nested, "x" + new string(')', depth)) && nested.IsFinished);
    }

    [Theory]
    [InlineData("root ::= a", "line 1, column 10: rule 'a' is used and never defined")]
    [InlineData("other ::= \"a\"", "no rule is named 'root'")]
    [InlineData("root ::= root \"a\" | \"b\"", "rule 'root': is left-recursive")]
    [InlineData("root ::= x\nx ::= y? root\ny ::= \"y\"", "is left-recursive")]
    [InlineData("root ::= \"a", "'\"' was expected")]
    [InlineData("root ::= (\"a\"", "')' was expected")]
    [InlineData("root ::= \"a\" \"b\" ]", "']' was not expected")]
    [InlineData("root ::= \"(\" root \")\"", "No text fits the grammar")]
    public void Rules_that_cannot_be_used_are_refused_by_line(string rules, string problem) => AssertRefused(GrammarKind.Ebnf, rules, problem);

    [Fact]
    public void Any_object_parses_at_the_depth_of_common_parsers()
    {
        CompiledGrammar grammar = CompiledGrammar.Compile(new GrammarSpec(GrammarKind.JsonObject, ""), Vocabularies.Odd);
        for (int seed = 0; seed < 30; seed++)
        {
            using JsonDocument document = JsonDocument.Parse(new GrammarWalk(grammar, Vocabularies.OddEnd, seed).Run(seed * 20));
            Assert.Equal(JsonValueKind.Object, document.RootElement.ValueKind);
        }

        var deep = new GrammarMatcher(grammar, []);
        Assert.True(Accepts(deep, "{\"a\":"));
        int depth = 1;
        while (Accepts(deep, "["))
            depth++;
        Assert.InRange(depth, 30, 63);
        Assert.True(Accepts(deep, new string(']', depth - 1) + "}") && deep.IsFinished);
    }

    [Fact]
    public void Blanks_are_bounded()
    {
        var matcher = new GrammarMatcher(CompiledGrammar.Compile(new GrammarSpec(GrammarKind.JsonObject, ""), Vocabularies.Odd), []);
        Assert.False(Accepts(matcher, " "));
        Assert.True(Accepts(matcher, "{\n" + new string(' ', 20)));
        Assert.False(Accepts(matcher, " "));
        Assert.False(Accepts(matcher, "\n"));
        Assert.True(Accepts(matcher, "}"));
        Assert.False(Accepts(matcher, "\n"));
    }

    private static GrammarMatcher Matcher(string rules) => new(GrammarWalk.Compile(GrammarKind.Ebnf, rules), []);

    /// <summary>Goes on by single bytes; false at the first that is not allowed.</summary>
    private static bool Accepts(GrammarMatcher matcher, string text) => text.All(character => matcher.Accept(1 + character));

    private static void AssertRefused(GrammarKind kind, string text, string problem)
    {
        var error = Assert.Throws<OperatingException>(() => GrammarWalk.Compile(kind, text));
        Assert.Equal(OperatingError.InvalidRequest, error.Error);
        Assert.Contains(problem, error.Message, StringComparison.Ordinal);
    }
}
