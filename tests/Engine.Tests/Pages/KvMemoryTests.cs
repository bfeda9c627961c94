using Conclave.Engine.Pages;

namespace Conclave.Engine.Tests.Pages;

public sealed class KvMemoryTests
{
    [Fact]
    public void A_prompt_is_found_again_in_whole_pages_and_copied_within_one()
    {
        using KvMemory memory = PagedSequence.Memory(20);
        int[] prompt = Prompt(200);
        Assert.Equal(0, New(prompt).RunThrough(memory));
        Assert.Equal((0, 3), (memory.HeldCount, memory.CachedCount));

        // At least one token is left: of 192 tokens the third page's last is computed, in a copy of it.
        PagedSequence same = New(prompt[..192]);
        Assert.Equal((128, 191, 2), (same.Admit(memory), same.Pages.Length, (int)memory.HitCount));
        same.AssertContents();
        memory.Release(same.Pages);

        PagedSequence fork = New([.. prompt[..150], 1, 2, 3]);
        Assert.Equal((128, 150), (fork.Admit(memory), fork.Pages.Length));
        fork.AssertContents();
        fork.Compute(3);
        PagedSequence original = New(prompt);
        Assert.Equal(192, original.Admit(memory));
        original.AssertContents();
    }

    [Fact]
    public void Two_that_compute_the_same_end_up_with_one_copy()
    {
        using KvMemory memory = PagedSequence.Memory(20);
        PagedSequence[] sequences = [New(Prompt(200)), New(Prompt(200))];
        foreach (PagedSequence sequence in sequences)
        {
            Assert.Equal(0, sequence.Admit(memory));
            sequence.Compute(200);
        }

        Assert.Equal(8, memory.HeldCount);
        foreach (PagedSequence sequence in sequences)
            memory.Publish("", sequence.Tokens.ToArray(), sequence.Pages);
        Assert.Equal(5, memory.HeldCount);
        Array.ForEach(sequences, sequence => sequence.AssertContents());
        Assert.Null(memory.FindFault(sequences.Select(sequence => sequence.Pages)));
    }

    [Fact]
    public void What_was_used_last_stays_and_a_page_goes_before_those_it_continues()
    {
        using KvMemory memory = PagedSequence.Memory(8);
        int[] first = Prompt(200), second = [.. Prompt(300)[100..]];
        New(first).RunThrough(memory);
        New(second).RunThrough(memory);
        Assert.Equal(192, memory.CachedTokens(first, ""));

        // Four pages needed, two free: the first prompt's, last page first.
        New([.. Enumerable.Repeat(9, 250)]).RunThrough(memory);
        Assert.Equal((64, 192, 2L), (memory.CachedTokens(first, ""), memory.CachedTokens(second, ""), memory.EvictionCount));
    }

    [Fact]
    public void Without_room_nothing_changes()
    {
        using KvMemory memory = PagedSequence.Memory(5);
        New(Prompt(200)).RunThrough(memory);
        PagedSequence holder = New([.. Enumerable.Repeat(9, 100)]);
        holder.Admit(memory);

        // It would use three cached pages and need one more: there are none, as the others are held.
        PagedSequence tooLong = New([.. Prompt(200), .. Prompt(60)]);
        Assert.False(memory.TryAdmit(tooLong.Tokens.ToArray(), "", 330, tooLong.Pages, out _));
        Assert.Equal((0, 3), (tooLong.Pages.PageCount, memory.CachedCount));
        Assert.False(memory.TryGrow(holder.Pages, 350));
        Assert.True(memory.TryGrow(holder.Pages, 320));
        Assert.Equal((5, 0, 0), (memory.HeldCount, memory.CachedCount, memory.AvailableCount));
        Assert.Null(memory.FindFault([holder.Pages]));
    }

    [Fact]
    public void A_leaked_page_and_a_page_given_back_too_often_are_found()
    {
        using KvMemory memory = PagedSequence.Memory(5);
        PagedSequence sequence = New(Prompt(200));
        sequence.Admit(memory);
        sequence.Compute(200);
        Assert.Contains("0 holders", memory.FindFault([]), StringComparison.Ordinal);
        memory.Publish("", sequence.Tokens.ToArray(), sequence.Pages);
        Assert.Null(memory.FindFault([sequence.Pages]));
        Assert.Contains("3 holders", memory.FindFault([sequence.Pages, sequence.Pages]), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(1, 12)]
    [InlineData(2, 25)]
    [InlineData(3, 60)]
    [InlineData(4, 8)]
    public void Thousands_of_random_operations_do_what_a_naive_cache_does(int seed, int pageCount)
    {
        var random = new Random(seed);
        using KvMemory memory = PagedSequence.Memory(pageCount);
        var naive = new NaiveCache(pageCount);
        List<PagedSequence> running = [];
        for (int operation = 0; operation < 3000; operation++)
        {
            PagedSequence? sequence = running.Count == 0 ? null : running[random.Next(running.Count)];
            switch (sequence is null ? 0 : random.Next(8))
            {
                case 0 or 1:
                    sequence = Admit(random, memory, naive);
                    if (sequence.Pages.PageCount > 0)
                        running.Add(sequence);
                    break;
                case 2:
                    int tokenCount = sequence!.Pages.Length + random.Next(200);
                    Assert.Equal(naive.Grow(sequence, tokenCount), memory.TryGrow(sequence.Pages, tokenCount));
                    break;
                case < 6:
                    Step(random, sequence!);
                    naive.Publish(sequence!);
                    memory.Publish(sequence!.Scope, sequence.Tokens.ToArray(), sequence.Pages);
                    break;
                default:
                    naive.Release(sequence!);
                    memory.Release(sequence!.Pages);
                    running.Remove(sequence);
                    break;
            }

            sequence!.AssertContents();
            if (operation % 50 == 0)
                running.ForEach(other => other.AssertContents());
            Assert.Null(memory.FindFault(running.Select(other => other.Pages)));
            Assert.Equal((naive.HeldCount, naive.CachedCount), (memory.HeldCount, memory.CachedCount));
        }

        Assert.True(memory.HitCount > 100, "the test is to find what it looks for");
        Assert.True(memory.EvictionCount > 100, "the test is to evict");
    }

    private static PagedSequence Admit(Random random, KvMemory memory, NaiveCache naive)
    {
        // Few beginnings, so that many are alike; some leave the others within a page.
        List<int> prompt = [];
        for (int pages = random.Next(5); pages > 0; pages--)
            prompt.AddRange(Enumerable.Repeat(random.Next(2), 64));
        prompt.AddRange(Enumerable.Repeat(random.Next(2), random.Next(1, 64)));
        prompt.AddRange(Enumerable.Repeat(random.Next(3), random.Next(1, 64)));
        var sequence = new PagedSequence(random.Next(4) == 0 ? "tenant" : "", prompt, maxPages: 60);
        int tokenCount = prompt.Count + random.Next(100);
        (int Cached, int Length)? expected = naive.Admit(sequence, tokenCount);
        bool isAdmitted = memory.TryAdmit(prompt.ToArray(), sequence.Scope, tokenCount, sequence.Pages, out int cachedTokens);
        Assert.Equal(expected, isAdmitted ? (cachedTokens, sequence.Pages.Length) : null);
        return sequence;
    }

    /// <summary>Computes some tokens; of those behind the prompt, some are drafts that are not accepted.</summary>
    private static void Step(Random random, PagedSequence sequence)
    {
        int known = sequence.Tokens.Count;
        sequence.Tokens.AddRange(Enumerable.Repeat(random.Next(3), random.Next(80)));
        sequence.Compute(random.Next(1, 150));
        if (sequence.Pages.Length <= known || random.Next(2) == 0)
            return;
        sequence.Pages.Length -= random.Next(sequence.Pages.Length - known);
        sequence.Tokens.RemoveRange(sequence.Pages.Length, sequence.Tokens.Count - sequence.Pages.Length);
    }

    private static PagedSequence New(IEnumerable<int> prompt) => new("", prompt, maxPages: 20);

    private static int[] Prompt(int count) => [.. Enumerable.Range(0, count).Select(i => (i * 37 % 391) + 3)];
}
