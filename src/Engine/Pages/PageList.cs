namespace Conclave.Engine.Pages;

/// <summary>Pages in the order in which they were last used, oldest first: a list through two arrays, so that nothing is allocated as pages come and go.</summary>
internal sealed class PageList
{
    private const int None = -1;

    private readonly int[] _older;
    private readonly int[] _newer;
    private readonly bool[] _isIn;

    public PageList(int pageCount)
    {
        _older = new int[pageCount];
        _newer = new int[pageCount];
        _isIn = new bool[pageCount];
    }

    /// <summary>Pages in the list.</summary>
    public int Count { get; private set; }

    /// <summary>The page that was not used for longest, -1 if the list is empty.</summary>
    public int Oldest { get; private set; } = None;

    /// <summary>The page used last, -1 if the list is empty.</summary>
    public int Newest { get; private set; } = None;

    /// <summary>Whether <paramref name="page"/> is in the list.</summary>
    public bool Contains(int page) => _isIn[page];

    /// <summary>The page used last before <paramref name="page"/>, -1 for the oldest.</summary>
    public int Older(int page) => _older[page];

    /// <summary>Adds <paramref name="page"/>, which is not in the list, as the one used last.</summary>
    public void Append(int page)
    {
        _isIn[page] = true;
        _older[page] = Newest;
        _newer[page] = None;
        if (Newest == None)
            Oldest = page;
        else
            _newer[Newest] = page;
        Newest = page;
        Count++;
    }

    /// <summary>Empties the list.</summary>
    public void Clear()
    {
        Array.Clear(_isIn);
        Oldest = Newest = None;
        Count = 0;
    }

    /// <summary>Takes <paramref name="page"/>, which is in the list, out.</summary>
    public void Remove(int page)
    {
        int older = _older[page], newer = _newer[page];
        if (older == None)
            Oldest = newer;
        else
            _newer[older] = newer;
        if (newer == None)
            Newest = older;
        else
            _older[newer] = older;
        _isIn[page] = false;
        Count--;
    }
}
