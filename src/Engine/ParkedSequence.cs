using Conclave.Model;

namespace Conclave.Engine;

/// <summary>
/// KV pages of a sequence that another engine computed. They are filled, committed, and then adopted by the
/// <see cref="Engine.Submit"/> that names them; disposing them, or letting them expire, gives them back.
/// </summary>
public sealed unsafe class ParkedSequence : IDisposable
{
    private readonly Engine _engine;

    internal ParkedSequence(Engine engine, Guid id, int[] tokenIds, KvPageTable pages) =>
        (_engine, Id, TokenIds, Pages) = (engine, id, tokenIds, pages);

    /// <summary>Names it.</summary>
    public Guid Id { get; }

    /// <summary>Pages to fill.</summary>
    public int PageCount => Pages.PagesFor(TokenIds.Length);

    /// <summary>The tokens whose latents the pages hold once they are filled.</summary>
    internal int[] TokenIds { get; }

    internal KvPageTable Pages { get; }

    /// <summary>Its pages are filled and can be adopted. Guarded by the engine.</summary>
    internal bool IsCommitted { get; set; }

    /// <summary>Ends it when its time is up.</summary>
    internal ITimer? Expiry { get; set; }

    /// <summary>Page <paramref name="index"/>, below <see cref="PageCount"/>, to be filled before <see cref="TryCommit"/>: <see cref="KvLayout.PageSizeBytes"/> bytes.</summary>
    public byte* Page(int index) => Pages.Page(index);

    /// <summary>
    /// All pages are filled: from now on, for <paramref name="expiry"/>, they can be adopted, and nobody else may touch them. False if the engine has ended.
    /// </summary>
    public bool TryCommit(TimeSpan expiry) => _engine.Commit(this, expiry);

    /// <summary>Gives the pages back unless they are committed.</summary>
    public void Dispose() => _engine.Discard(this, isCommitted: false);
}
