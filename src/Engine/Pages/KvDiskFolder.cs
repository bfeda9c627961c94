using Microsoft.Extensions.Logging;

namespace Conclave.Engine.Pages;

/// <summary>
/// The page files of one directory: which there are, in the order in which they were last used, at most so many bytes of them. A file's name is its page's key. Files that are damaged, cut or of another
/// model are deleted with a warning when they are found: at the start by their headers, later by their checksums. One thread reads and writes; any may ask.
/// </summary>
internal sealed unsafe partial class KvDiskFolder : IDisposable
{
    private const string Extension = ".kvpage";
    private const string TemporaryName = "writing.tmp";

    private readonly PageFile _file;
    private readonly int _maxFiles;
    private readonly TimeProvider _clock;
    private readonly ILogger _log;
    private readonly FileStream _ownership;

    // Of the thread that reads and writes: by which date the files are in order.
    private long _lastTouch;

    // Guards all below.
    private readonly Lock _lock = new();
    private readonly Dictionary<PageKey, LinkedListNode<PageKey>> _files = [];
    private readonly LinkedList<PageKey> _order = [];
    private long _discarded;

    /// <summary>Makes the directory its own, and finds what is there.</summary>
    /// <param name="options">The directory.</param>
    /// <param name="identity">Names model, layout and build.</param>
    /// <param name="pageTokens">Tokens a page.</param>
    /// <param name="pageSizeBytes">Bytes a page.</param>
    /// <param name="clock">For ages of files.</param>
    /// <param name="log">Where warnings go.</param>
    /// <exception cref="ArgumentException">The directory cannot be used, or the size holds no page; the message names option and remedy.</exception>
    public KvDiskFolder(KvDiskOptions options, PageKey identity, int pageTokens, long pageSizeBytes, TimeProvider clock, ILogger log)
    {
        _file = new PageFile(identity, pageTokens, pageSizeBytes);
        (Directory, _clock, _log) = (Path.GetFullPath(options.Directory), clock, log);
        _maxFiles = (int)Math.Min(options.SizeBytes / _file.SizeBytes, int.MaxValue);
        if (_maxFiles < 1)
            throw new ArgumentException($"--kv-disk-size: {options.SizeBytes} bytes hold no KV page; this model needs {_file.SizeBytes} bytes for {pageTokens} tokens");
        _ownership = Own(options);
        try
        {
            Delete(Path.Combine(Directory, TemporaryName));
            Scan();
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            _ownership.Dispose();
            throw options.Unusable(e);
        }
    }

    /// <summary>Its full path.</summary>
    public string Directory { get; }

    /// <summary>Most pages it holds.</summary>
    public int MaxFiles => _maxFiles;

    /// <summary>Pages, bytes of their files, and files discarded since the start.</summary>
    public (int Pages, long SizeBytes, long Discarded) Totals
    {
        get
        {
            lock (_lock)
                return (_files.Count, _files.Count * _file.SizeBytes, _discarded);
        }
    }

    /// <summary>Whether there is a file of <paramref name="key"/>.</summary>
    public bool Contains(PageKey key)
    {
        lock (_lock)
            return _files.ContainsKey(key);
    }

    /// <summary>Whether there is a file of <paramref name="key"/>; it counts as used. Of pages that continue each other the last is to be named first: without those before it, it cannot be found.</summary>
    public bool Use(PageKey key)
    {
        lock (_lock)
        {
            if (!_files.TryGetValue(key, out LinkedListNode<PageKey>? node))
                return false;
            _order.Remove(node);
            _order.AddLast(node);
            return true;
        }
    }

    /// <summary>Reads a page. False if it is not there as it was written; then it is gone.</summary>
    public bool Read(PageKey key, ReadOnlySpan<int> tokens, byte* page)
    {
        string path = PathOf(key);
        PageFileState state = _file.Read(path, key, tokens, page);
        if (state == PageFileState.Good)
            return true;
        Forget(key);
        if (state == PageFileState.Missing)
            LogMissing(_log, path);
        else
            Discard(path);
        return false;
    }

    /// <summary>Dates the files of pages that were read, which continue each other, so that their order survives a restart.</summary>
    public void Touch(ReadOnlySpan<PageKey> keys)
    {
        for (int i = keys.Length - 1; i >= 0; i--)
            Touch(keys[i]);
    }

    /// <summary>Writes a page, and deletes the files used longest ago as needed.</summary>
    /// <exception cref="IOException">The disk is full or broken.</exception>
    /// <exception cref="UnauthorizedAccessException">The directory cannot be written.</exception>
    public void Write(PageKey parent, PageKey key, ReadOnlySpan<int> tokens, byte* page)
    {
        MakeRoom(_maxFiles - 1);
        string temporary = Path.Combine(Directory, TemporaryName);
        try
        {
            _file.Write(PathOf(key), temporary, parent, key, tokens, page);
        }
        catch (IOException)
        {
            // What was written of it takes room that others may need.
            Delete(temporary);
            throw;
        }

        Add(key);
        Touch(key);
    }

    /// <inheritdoc/>
    public void Dispose() => _ownership.Dispose();

    private static FileStream Own(KvDiskOptions options)
    {
        options.Validate();
        try
        {
            // Two engines would delete each other's files.
            return new FileStream(Path.Combine(options.Directory, "owner.lock"), FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.None);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw options.Unusable(e);
        }
    }

    private void Scan()
    {
        int foreign = 0;
        foreach (FileInfo file in new DirectoryInfo(Directory).EnumerateFiles("*" + Extension).OrderBy(file => file.LastWriteTimeUtc).ThenBy(file => file.Name, StringComparer.Ordinal))
        {
            PageFileState state = _file.ReadHeader(file.FullName, out PageKey key);
            if (state == PageFileState.Good && file.FullName != PathOf(key))
                state = PageFileState.Damaged;
            if (state == PageFileState.Good)
            {
                Add(key);
                _lastTouch = file.LastWriteTimeUtc.Ticks;
            }
            else if (state == PageFileState.Foreign)
            {
                foreign++;
                Delete(file.FullName);
            }
            else
            {
                Discard(file.FullName);
            }
        }

        _discarded += foreign;
        if (foreign > 0)
            LogForeign(_log, foreign, Directory);
        MakeRoom(_maxFiles);
    }

    private void Add(PageKey key)
    {
        lock (_lock)
        {
            if (!_files.ContainsKey(key))
                _files.Add(key, _order.AddLast(key));
        }
    }

    private void Forget(PageKey key)
    {
        lock (_lock)
        {
            if (_files.Remove(key, out LinkedListNode<PageKey>? node))
                _order.Remove(node);
        }
    }

    private void MakeRoom(int maxFiles)
    {
        while (true)
        {
            PageKey oldest;
            lock (_lock)
            {
                if (_files.Count <= maxFiles)
                    return;
                oldest = _order.First!.Value;
            }

            Forget(oldest);
            Delete(PathOf(oldest));
        }
    }

    /// <summary>Deletes a file that is not what it should be.</summary>
    private void Discard(string path)
    {
        LogDamaged(_log, path);
        lock (_lock)
            _discarded++;
        Delete(path);
    }

    private void Touch(PageKey key)
    {
        string path = PathOf(key);

        // One after the other also when the clock is not as fine as that: file systems date by ticks of some milliseconds.
        _lastTouch = Math.Max(_lastTouch + 1, _clock.GetUtcNow().UtcTicks);
        try
        {
            if (Contains(key))
                File.SetLastWriteTimeUtc(path, new DateTime(_lastTouch, DateTimeKind.Utc));
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            LogNotTouched(_log, path, e.Message);
        }
    }

    private void Delete(string path)
    {
        try
        {
            // In a directory that has vanished there is nothing to delete, and that would be an error.
            if (File.Exists(path))
                File.Delete(path);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            LogNotDeleted(_log, path, e.Message);
        }
    }

    private string PathOf(PageKey key) => Path.Combine(Directory, key + Extension);

    [LoggerMessage(Level = LogLevel.Warning, Message = "{Path} is damaged; it is discarded, its tokens are computed anew")]
    private static partial void LogDamaged(ILogger log, string path);

    [LoggerMessage(Level = LogLevel.Warning, Message = "{Count} files in {Directory} (--kv-disk) are of another model, layout or build; they are discarded")]
    private static partial void LogForeign(ILogger log, int count, string directory);

    [LoggerMessage(Level = LogLevel.Information, Message = "{Path} is gone; its tokens are computed anew")]
    private static partial void LogMissing(ILogger log, string path);

    // A disk that cannot be written says so when a page is: this would only say it again for every page that is read.
    [LoggerMessage(Level = LogLevel.Debug, Message = "The age of {Path} cannot be set: {Reason}")]
    private static partial void LogNotTouched(ILogger log, string path, string reason);

    [LoggerMessage(Level = LogLevel.Warning, Message = "{Path} cannot be deleted: {Reason}")]
    private static partial void LogNotDeleted(ILogger log, string path, string reason);
}
