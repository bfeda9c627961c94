using System.Text;
using System.Text.Json;
using System.Text.RegularExpressions;
using Conclave.Engine.Grammars;

namespace Conclave.Engine.Tests.Grammars;

/// <summary>Random expressions and rules against matchers that share nothing with the product: .NET's, and one that is written here.</summary>
public sealed class RandomTextGrammarTests
{
    private const string Letters = "abc0";

    [Fact]
    public void Random_expressions_match_what_dotnet_matches()
    {
        int usable = 0;
        for (int seed = 0; seed < 150; seed++)
        {
            var random = new Random(seed);
            string pattern = Pattern(random, 3);
            if (Compile(GrammarKind.Regex, pattern) is not { } grammar)
                continue;
            usable++;
            var regex = new Regex($@"\A(?:{pattern})\z");
            AssertAgrees(grammar, text => regex.IsMatch(text), TextGrammarTests.Narrowed, $"/{pattern}/", random);
        }

        Assert.InRange(usable, 100, 150);
    }

    [Fact]
    public void Random_patterns_with_anchors_and_look_ahead_are_found_where_dotnet_finds_them()
    {
        int usable = 0;
        for (int seed = 0; seed < 150; seed++)
        {
            var random = new Random(seed);
            string pattern = Anchored(random);
            if (Compile(GrammarKind.JsonSchema, $$"""{"type":"string","maxLength":9,"pattern":{{JsonSerializer.Serialize(pattern)}}}""") is not { } grammar)
                continue;
            usable++;

            // .NET's '$' matches before a last line end too.
            var regex = new Regex(pattern.Replace("$", @"\z"));
            AssertAgrees(grammar, text => text.EnumerateRunes().Count() <= 9 && regex.IsMatch(text), text => TextGrammarTests.Narrowed(JsonSerializer.Deserialize<string>(text)!), $"/{pattern}/", random, text => $"\"{text}\"");
        }

        Assert.InRange(usable, 75, 150);
    }

    [Fact]
    public void Random_rules_derive_what_a_plain_matcher_derives()
    {
        int usable = 0;
        for (int seed = 0; seed < 150; seed++)
        {
            var random = new Random(seed);
            var rules = RandomRules.Make(random);
            if (Compile(GrammarKind.Ebnf, rules.ToString()) is not { } grammar)
                continue;
            usable++;
            AssertAgrees(grammar, rules.Derives, text => text, rules.ToString(), random);
        }

        Assert.InRange(usable, 100, 150);
    }

    /// <summary>What the masks allow is matched; short texts are allowed if, and only if, they match.</summary>
    private static void AssertAgrees(CompiledGrammar grammar, Func<string, bool> matches, Func<string, string> read, string what, Random random, Func<string, string>? write = null)
    {
        for (int i = 0; i < 4; i++)
        {
            string text = read(new GrammarWalk(grammar, Vocabularies.OddEnd, i).Run(i * 4));
            Assert.True(matches(text), $"'{text}' is no text of {what}");
        }

        for (int i = 0; i < 40; i++)
        {
            string text = string.Concat(Enumerable.Range(0, random.Next(7)).Select(_ => Letters[random.Next(Letters.Length)]));
            var matcher = new GrammarMatcher(grammar, []);
            bool isAllowed = Encoding.UTF8.GetBytes(write?.Invoke(text) ?? text).All(value => matcher.Accept(1 + value)) && matcher.IsComplete;
            Assert.True(isAllowed == matches(text), $"'{text}' is {(isAllowed ? "" : "not ")}allowed by {what}");
        }
    }

    /// <summary>Null if no text fits.</summary>
    private static CompiledGrammar? Compile(GrammarKind kind, string text)
    {
        try
        {
            return GrammarWalk.Compile(kind, text);
        }
        catch (OperatingException error) when (error.Message.Contains("No text fits", StringComparison.Ordinal))
        {
            return null;
        }
    }

    private static string Pattern(Random random, int depth) => random.Next(depth > 0 ? 12 : 6) switch
    {
        0 => "a",
        1 => "b",
        2 => "[ab]",
        3 => "[^ab]",
        4 => @"\d",
        5 => random.Next(3) == 0 ? "." : "c",
        6 or 7 => Pattern(random, depth - 1) + Pattern(random, depth - 1),
        8 => $"(?:{Pattern(random, depth - 1)}|{Pattern(random, depth - 1)})",
        9 => $"({Pattern(random, depth - 1)})*",
        10 => $"(?:{Pattern(random, depth - 1)}){{{random.Next(2)},{random.Next(2, 4)}}}",
        _ => $"(?:{Pattern(random, depth - 1)}|){Pattern(random, depth - 1)}",
    };

    private static string Anchored(Random random) => random.Next(6) switch
    {
        0 => $"^{Pattern(random, 2)}|{Pattern(random, 2)}$",
        1 => $"(^{Pattern(random, 2)}$)|(^$)",
        2 => $"(?:^|a){Pattern(random, 2)}(?:b|$)",
        3 => $"^(?={Pattern(random, 2)})(?!.*{Pattern(random, 1)}$){Pattern(random, 2)}",
        4 => $"^(?!{Pattern(random, 1)}$){Pattern(random, 3)}$",
        _ => Pattern(random, 2),
    };
}
