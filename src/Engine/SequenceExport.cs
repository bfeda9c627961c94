using Conclave.Model;

namespace Conclave.Engine;

/// <summary>
/// A sequence taken out of the batch between two steps, as it is: the tokens that were computed, and their KV pages, readable until this is
/// disposed. Disposing gives the pages back and ends the sequence's stream with <see cref="FinishReason.Moved"/>.
/// </summary>
public sealed unsafe class SequenceExport : IDisposable
{
    private readonly Engine _engine;
    private readonly Sequence _sequence;
    private readonly KvPageTable _pages;
    private bool _isDisposed;

    internal SequenceExport(Engine engine, Sequence sequence)
    {
        (_engine, _sequence, _pages) = (engine, sequence, sequence.Pages);
        TokenIds = sequence.Tokens[.._pages.Length].ToArray();
        PagesNeeded = sequence.PagesNeeded;
    }

    /// <summary>The tokens whose latents are in the pages: prompt, then output. None if the sequence had still been waiting.</summary>
    public int[] TokenIds { get; }

    /// <summary>Pages that hold them.</summary>
    public int PageCount => _pages.PagesFor(TokenIds.Length);

    /// <summary>Pages that the sequence will need to its longest end.</summary>
    public int PagesNeeded { get; }

    /// <summary>Page <paramref name="index"/>, below <see cref="PageCount"/>: <see cref="KvLayout.PageSizeBytes"/> bytes.</summary>
    public byte* Page(int index) => _pages.Page(index);

    /// <inheritdoc/>
    public void Dispose()
    {
        if (_isDisposed)
            return;
        _isDisposed = true;
        _engine.Release(_pages);
        _sequence.End(FinishReason.Moved);
    }
}
