using System.Text;
using Conclave.Engine.Grammars;

namespace Conclave.Engine.Tests.Grammars;

public sealed class GrammarMatcherTests
{
    private const string Schema = """{"type":"object","properties":{"name":{"type":"string","maxLength":20},"tags":{"type":"array","items":{"type":"string"}}},"required":["name","tags"]}""";

    /// <summary>A mask bit and a walk through the token's bytes must say the same, for every token, wherever a walk goes.</summary>
    [Theory]
    [InlineData(GrammarKind.JsonSchema, Schema, true)]
    [InlineData(GrammarKind.JsonSchema, Schema, false)]
    [InlineData(GrammarKind.JsonSchema, """{"properties":{"a":{"pattern":"^[^\\s日]+é"},"｜":true},"additionalProperties":{"type":"string"},"required":["a"]}""", false)]
    [InlineData(GrammarKind.Regex, @"(?:[A-Z][a-z]+ ){2,8}\d{4}: .{1,200}[ -｜]{1,9}\W*", true)]
    [InlineData(GrammarKind.Regex, @".*(?:foo|b[a-f]r|\P{Lu})+[\s日-本]{2}", false)]
    [InlineData(GrammarKind.Ebnf, "root ::= [^a-c\"日] root | [a-f]+ \"<｜\" | \"日\"", false)]
    [InlineData(GrammarKind.JsonSchema, """{"type":"string","minLength":30,"maxLength":70,"pattern":"^\\S(.*\\S)?$"}""", false)]
    [InlineData(GrammarKind.JsonSchema, """{"type":"array","items":{"type":"string","minLength":90,"maxLength":200,"pattern":"^(\\w+ )*\\p{L}+$"}}""", true)]
    [InlineData(GrammarKind.Regex, @"(?:(?:a|b\w){15,40}[^a-f]{0,35}é?){2,50}", false)]
    public void A_mask_allows_what_can_be_accepted_and_nothing_else(GrammarKind kind, string text, bool isDemo)
    {
        CompiledGrammar grammar = GrammarWalk.Compile(kind, text, isDemo ? Vocabularies.Demo : Vocabularies.Odd);
        var mask = new uint[grammar.Vocabulary.MaskWords + 1];
        var random = new Random(3);
        for (int walk = 0; walk < 3; walk++)
        {
            var prefix = new List<int>();
            for (int step = 0; step < 20; step++)
            {
                GrammarMatcher matcher = At(grammar, prefix);
                matcher.FillMask(mask);
                Assert.Equal(0u, mask[^1]);
                var allowed = new List<int>();
                for (int id = 0; id < grammar.Vocabulary.Size; id++)
                {
                    bool isAllowed = (mask[id >> 5] >> (id & 31) & 1) != 0;
                    Assert.Equal(isAllowed, At(grammar, prefix).Accept(id));
                    if (isAllowed)
                        allowed.Add(id);
                }

                if (allowed.Count == 0)
                    break;
                prefix.Add(allowed[random.Next(allowed.Count)]);
            }
        }
    }

    [Fact]
    public void End_tokens_are_allowed_at_the_end_only()
    {
        CompiledGrammar grammar = GrammarWalk.Compile(GrammarKind.Regex, "<end>+");
        var matcher = new GrammarMatcher(grammar, [Vocabularies.OddEnd]);
        Assert.False(matcher.Accept(Vocabularies.OddEnd));
        foreach (byte value in "<end>"u8)
        {
            Assert.False(Allows(matcher, Vocabularies.OddEnd));
            Assert.True(matcher.Accept(1 + value));
        }

        Assert.True(matcher.IsComplete);
        Assert.False(matcher.IsFinished);
        Assert.True(Allows(matcher, Vocabularies.OddEnd));
        Assert.True(Allows(matcher, 1 + '>'));
    }

    [Fact]
    public void Nothing_is_allocated_once_the_masks_are_at_hand()
    {
        CompiledGrammar grammar = GrammarWalk.Compile(GrammarKind.JsonSchema, Schema, Vocabularies.Demo);
        byte[] text = Encoding.UTF8.GetBytes("""{"name": "Max", "tags": ["dog", "little"]}""");
        int[] ids = [.. text.Select(value => Enumerable.Range(0, grammar.Vocabulary.Size).First(id => grammar.Vocabulary.Bytes(id).SequenceEqual([value])))];
        var mask = new uint[grammar.Vocabulary.MaskWords];
        long allocated = long.MaxValue;
        for (int round = 0; round < 4; round++)
        {
            var matcher = new GrammarMatcher(grammar, [Vocabularies.DemoEnd]);
            long before = GC.GetAllocatedBytesForCurrentThread();
            foreach (int id in ids)
            {
                matcher.FillMask(mask);
                Assert.True(matcher.Accept(id));
            }

            allocated = Math.Min(allocated, GC.GetAllocatedBytesForCurrentThread() - before);
            Assert.True(matcher.IsFinished);
        }

        Assert.Equal(0, allocated);
    }

    /// <summary>Masks come from the grammar alone: a cache that has forgotten everything gives the same again.</summary>
    [Fact]
    public void What_is_cached_does_not_change_a_mask()
    {
        CompiledGrammar used = CompiledGrammar.Compile(new GrammarSpec(GrammarKind.JsonObject, ""), Vocabularies.Odd, cacheSizeBytes: 20_000);
        for (int seed = 0; seed < 3; seed++)
            new GrammarWalk(used, Vocabularies.OddEnd, seed).Run(100);
        CompiledGrammar fresh = CompiledGrammar.Compile(new GrammarSpec(GrammarKind.JsonObject, ""), Vocabularies.Odd);
        for (int seed = 0; seed < 5; seed++)
            Assert.Equal(new GrammarWalk(fresh, Vocabularies.OddEnd, seed).Run(100), new GrammarWalk(used, Vocabularies.OddEnd, seed).Run(100));
    }

    [Fact]
    public void A_place_that_is_too_ambiguous_changes_no_other_mask()
    {
        CompiledGrammar grammar = GrammarWalk.Compile(GrammarKind.Regex, "b{300}|(?:d|ab|n){400}(?:x*y*){15000}");
        var mask = new uint[grammar.Vocabulary.MaskWords];
        GrammarMatcher ambiguous = new(grammar, []);
        Assert.Throws<OperatingException>(() =>
        {
            while (ambiguous.Accept(1 + 'd'))
                ambiguous.FillMask(mask);
        });
        At(grammar, [.. Enumerable.Repeat(1 + 'b', 299)]).FillMask(mask);
        Assert.Equal([1 + 'b'], Enumerable.Range(0, grammar.Vocabulary.Size).Where(id => (mask[id >> 5] >> (id & 31) & 1) != 0));
    }

    [Fact]
    public void Equal_specs_are_compiled_once_and_failures_are_not_kept()
    {
        int reads = 0;
        var cache = new GrammarCache(() =>
        {
            reads++;
            return Vocabularies.Odd;
        });
        CompiledGrammar first = cache.Get(new GrammarSpec(GrammarKind.Regex, "a+"));
        Assert.Same(first, cache.Get(new GrammarSpec(GrammarKind.Regex, "a+")));
        Assert.Throws<OperatingException>(() => cache.Get(new GrammarSpec(GrammarKind.Regex, "(")));
        Assert.Throws<OperatingException>(() => cache.Get(new GrammarSpec(GrammarKind.Regex, "(")));
        for (int i = 0; i < GrammarCache.Capacity; i++)
            cache.Get(new GrammarSpec(GrammarKind.Regex, $"b{i}"));
        Assert.NotSame(first, cache.Get(new GrammarSpec(GrammarKind.Regex, "a+")));
        Assert.Equal(1, reads);
    }

    private static GrammarMatcher At(CompiledGrammar grammar, List<int> prefix)
    {
        var matcher = new GrammarMatcher(grammar, []);
        Assert.All(prefix, id => Assert.True(matcher.Accept(id)));
        return matcher;
    }

    private static bool Allows(GrammarMatcher matcher, int id)
    {
        var mask = new uint[matcher.MaskWords];
        matcher.FillMask(mask);
        return (mask[id >> 5] >> (id & 31) & 1) != 0;
    }
}
