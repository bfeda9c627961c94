using Conclave.Engine.Pages;
using Conclave.Model;

namespace Conclave.Engine.Tests.Pages;

/// <summary>A sequence without a model: what it "computes" for a position is a hash of its scope and all tokens up to there, so that a page in the wrong place shows.</summary>
internal sealed unsafe class PagedSequence(string scope, IEnumerable<int> prompt, int maxPages)
{
    public const int PageTokens = 64;

    public static readonly KvLayout Layout = new(layerCount: 2, latentRank: 4, ropeWidth: 4, indexKeyWidth: 0);

    private static readonly long SlotSizeBytes = Layout.PageSizeBytes / PageTokens;

    public string Scope { get; } = scope;

    public List<int> Tokens { get; } = [.. prompt];

    public KvPageTable Pages { get; } = new(maxPages, PageTokens);

    public static KvMemory Memory(int pageCount, KvTier? tier = null) => new(Layout, pageCount * Layout.PageSizeBytes, tier);

    /// <summary>Computes the next tokens, as far as there are pages.</summary>
    public void Compute(int count)
    {
        int end = Math.Min(Pages.Length + count, Math.Min(Pages.Capacity, Tokens.Count));
        ulong[] contents = Contents(end);
        for (int i = Pages.Length; i < end; i++)
        {
            for (int word = 0; word < SlotSizeBytes / sizeof(ulong); word++)
                Slot(i)[word] = contents[i] + (ulong)word;
        }

        Pages.Length = end;
    }

    /// <summary>Asserts that its pages hold what it would compute itself.</summary>
    public void AssertContents()
    {
        ulong[] contents = Contents(Pages.Length);
        for (int i = 0; i < contents.Length; i++)
        {
            for (int word = 0; word < SlotSizeBytes / sizeof(ulong); word++)
                Assert.True(Slot(i)[word] == contents[i] + (ulong)word, $"position {i} of {Pages.Length} holds something else");
        }
    }

    /// <summary>Admits it, or fails the test.</summary>
    public int Admit(KvMemory memory)
    {
        Assert.True(memory.TryAdmit(Tokens.ToArray(), Scope, Tokens.Count, Pages, out int cachedTokens));
        return cachedTokens;
    }

    /// <summary>Admits, computes, publishes and releases; how many tokens were cached.</summary>
    public int RunThrough(KvMemory memory)
    {
        int cachedTokens = Admit(memory);
        AssertContents();
        Compute(Tokens.Count);
        memory.Publish(Scope, Tokens.ToArray(), Pages);
        AssertContents();
        memory.Release(Pages);
        return cachedTokens;
    }

    private ulong[] Contents(int count)
    {
        ulong hash = 14695981039346656037;
        foreach (char letter in Scope)
            hash = (hash ^ letter) * 1099511628211;
        var contents = new ulong[count];
        for (int i = 0; i < count; i++)
            contents[i] = hash = (hash ^ (uint)Tokens[i]) * 1099511628211;
        return contents;
    }

    private ulong* Slot(int position) => (ulong*)((byte*)Pages.Page(position / PageTokens) + (position % PageTokens * SlotSizeBytes));
}
