using System.Runtime.InteropServices;
using Microsoft.Extensions.Logging;

namespace Conclave.Engine.Pages;

/// <summary>
/// The second tier: evicted pages in files of one directory, written and read by a thread of its own. Nothing here holds a step up: a page to write is copied into a bounded queue, or dropped when the thread
/// is behind; a page to read is asked for and comes later. Trouble with the disk is a warning, never an error of a request. Thread-safe.
/// </summary>
internal sealed unsafe partial class KvDisk : IDisposable
{
    private const long QueueSizeBytes = 256L << 20;
    private static readonly TimeSpan PauseAfterFailure = TimeSpan.FromSeconds(30);

    private readonly KvDiskFolder _folder;
    private readonly long _pageSizeBytes;
    private readonly TimeProvider _clock;
    private readonly ILogger _log;
    private readonly Action _onFetched;
    private readonly int _maxPending;
    private readonly AutoResetEvent _work = new(false);
    private readonly AutoResetEvent _room = new(false);
    private readonly Thread _thread;

    // Guards all below.
    private readonly Lock _lock = new();
    private readonly Queue<PageWrite> _writes = [];
    private readonly Dictionary<PageKey, PageWrite> _pending = [];
    private readonly Stack<PageWrite> _idle = [];
    private readonly Queue<KvFetch> _fetches = [];
    private readonly Queue<KvFetch> _fetched = [];
    private bool _isClosing;
    private bool _isPaused;
    private long _pausedAt;
    private int _bufferCount;
    private double _readMs;
    private long _pagesToRead;
    private long _readCount;
    private long _writeCount;
    private long _droppedCount;
    private long _failureCount;

    /// <summary>Opens the directory, finds the pages that are there and starts the thread.</summary>
    /// <param name="folder">The directory, opened; owned from now on.</param>
    /// <param name="pageSizeBytes">Bytes a page.</param>
    /// <param name="clock">For pauses and ages of files.</param>
    /// <param name="log">Where warnings go.</param>
    /// <param name="onFetched">Called, from the thread, whenever <see cref="TryTakeFetched"/> has something.</param>
    public KvDisk(KvDiskFolder folder, long pageSizeBytes, TimeProvider clock, ILogger log, Action onFetched)
    {
        (_folder, _pageSizeBytes, _clock, _log, _onFetched) = (folder, pageSizeBytes, clock, log, onFetched);
        _maxPending = (int)Math.Clamp(QueueSizeBytes / pageSizeBytes, 4, 1024);
        _thread = new Thread(Run) { Name = "conclave-kv-disk", IsBackground = true, Priority = ThreadPriority.BelowNormal };
        _thread.Start();
    }

    /// <summary>Most pages it holds.</summary>
    public int MaxPages => _folder.MaxFiles;

    /// <summary>A snapshot.</summary>
    public KvDiskStatus Status
    {
        get
        {
            lock (_lock)
            {
                (int pages, long sizeBytes, long damaged) = _folder.Totals;
                return new KvDiskStatus(pages, sizeBytes, _readCount, _writeCount, _droppedCount, damaged, _failureCount);
            }
        }
    }

    /// <summary>Whether the page of <paramref name="key"/> can be asked for.</summary>
    public bool Contains(PageKey key)
    {
        lock (_lock)
            return _pending.ContainsKey(key) || _folder.Contains(key);
    }

    /// <summary>Pages that continue each other are about to be asked for: they are kept longer than those not used for longer, and none longer than those before it.</summary>
    public void Use(List<PageKey> keys)
    {
        for (int i = keys.Count - 1; i >= 0; i--)
            _folder.Use(keys[i]);
    }

    /// <summary>Copies a page to be written, unless it is on disk; drops it when too many wait or the disk fails. True if it will be there, or is.</summary>
    public bool Write(PageKey parent, PageKey key, ReadOnlySpan<int> tokens, byte* page)
    {
        PageWrite write;
        lock (_lock)
        {
            if (_pending.ContainsKey(key) || _folder.Use(key))
                return true;
            if (_isClosing || _writes.Count >= _maxPending || IsPaused())
            {
                _droppedCount++;
                return false;
            }

            if (!_idle.TryPop(out write!))
            {
                // As many buffers as were ever needed at once.
                write = new PageWrite((byte*)NativeMemory.Alloc((nuint)_pageSizeBytes), tokens.Length);
                _bufferCount++;
            }
        }

        // The caller's gate keeps others from writing the same page; the lock need not be held for so long.
        write.Parent = parent;
        write.Key = key;
        tokens.CopyTo(write.Tokens);
        Buffer.MemoryCopy(page, write.Page, _pageSizeBytes, _pageSizeBytes);
        lock (_lock)
        {
            _pending.Add(key, write);
            _writes.Enqueue(write);
        }

        _work.Set();
        return true;
    }

    /// <summary>Whether <paramref name="pageCount"/> more pages should be read within <paramref name="limitMs"/>, as far as is known.</summary>
    public bool IsReadWithin(double limitMs, int pageCount)
    {
        lock (_lock)
        {
            if ((_pagesToRead + pageCount) * _readMs <= limitMs)
                return true;

            // Without reading nothing is learned: a disk that was slow once gets another chance.
            _readMs *= 0.9;
            return false;
        }
    }

    /// <summary>Has the pages of <paramref name="fetch"/> read; false, and nothing happens, when it is closing.</summary>
    public bool Fetch(KvFetch fetch)
    {
        lock (_lock)
        {
            if (_isClosing)
                return false;
            _fetches.Enqueue(fetch);
            _pagesToRead += fetch.Keys.Length;
        }

        _work.Set();
        return true;
    }

    /// <summary>The next fetch that has come to an end.</summary>
    public bool TryTakeFetched([System.Diagnostics.CodeAnalysis.NotNullWhen(true)] out KvFetch? fetch)
    {
        lock (_lock)
            return _fetched.TryDequeue(out fetch);
    }

    /// <summary>Waits until pages can be written again, at most <paramref name="timeout"/>; false if that did not help.</summary>
    public bool WaitForRoom(TimeSpan timeout)
    {
        long start = _clock.GetTimestamp();
        while (true)
        {
            lock (_lock)
            {
                if (_isClosing || IsPaused())
                    return false;
                if (_writes.Count < _maxPending)
                    return true;
            }

            TimeSpan left = timeout - _clock.GetElapsedTime(start);
            if (left <= TimeSpan.Zero || !_room.WaitOne(left))
                return false;
        }
    }

    /// <summary>Ends the thread after what it is at and what is queued to be written; no page of the pool is touched any more.</summary>
    public void Dispose()
    {
        bool isFirst;
        lock (_lock)
        {
            isFirst = !_isClosing;
            _isClosing = true;
        }

        if (isFirst)
            _work.Set();
        _thread.Join();
        if (!isFirst)
            return;
        while (_idle.TryPop(out PageWrite? write))
            NativeMemory.Free(write.Page);
        _folder.Dispose();
        _work.Dispose();
        _room.Dispose();
    }

    private void Run()
    {
        while (true)
        {
            KvFetch? fetch;
            PageWrite? write = null;
            lock (_lock)
            {
                if (!_fetches.TryDequeue(out fetch) && !_writes.TryDequeue(out write) && _isClosing)
                    return;
            }

            if (fetch is not null)
                Read(fetch);
            else if (write is not null)
                Save(write);
            else
                _work.WaitOne();
        }
    }

    private void Read(KvFetch fetch)
    {
        long start = _clock.GetTimestamp();
        while (fetch.ReadCount < fetch.Keys.Length && ReadNext(fetch))
            fetch.ReadCount++;
        int readCount = fetch.ReadCount;
        double pageMs = _clock.GetElapsedTime(start).TotalMilliseconds / Math.Max(1, readCount);
        lock (_lock)
        {
            _readMs = _readMs == 0 ? pageMs : _readMs + ((pageMs - _readMs) / 4);
            _readCount += readCount;
            _pagesToRead -= fetch.Keys.Length;
            _fetched.Enqueue(fetch);
        }

        _onFetched();

        // A sequence waits for the pages, nobody for their dates.
        _folder.Touch(fetch.Keys.AsSpan(0, readCount));
    }

    private bool ReadNext(KvFetch fetch)
    {
        PageKey key = fetch.Keys[fetch.ReadCount];
        int page = fetch.FirstPage + fetch.ReadCount, pageTokens = fetch.Tokens.Length / fetch.Pages.PageCount;
        var destination = (byte*)fetch.Pages.Page(page);
        PageWrite? pending;
        lock (_lock)
        {
            if (_isClosing)
                return false;
            _pending.TryGetValue(key, out pending);
        }

        if (pending is null)
            return _folder.Read(key, fetch.Tokens.AsSpan(page * pageTokens, pageTokens), destination);

        // It is this thread that writes it and gives the buffer back, so it stays as it is meanwhile.
        Buffer.MemoryCopy(pending.Page, destination, _pageSizeBytes, _pageSizeBytes);
        return true;
    }

    private void Save(PageWrite write)
    {
        bool isPaused;
        lock (_lock)
            isPaused = IsPaused();
        Exception? failure = null;
        if (!isPaused)
        {
            try
            {
                _folder.Write(write.Parent, write.Key, write.Tokens, write.Page);
            }
            catch (Exception e) when (e is IOException or UnauthorizedAccessException)
            {
                failure = e;
                LogWriteFailed(_log, _folder.Directory, (int)PauseAfterFailure.TotalSeconds, e.Message);
            }
        }

        lock (_lock)
        {
            if (failure is not null)
            {
                _failureCount++;
                _isPaused = true;
                _pausedAt = _clock.GetTimestamp();
            }

            if (failure is null && !isPaused)
                _writeCount++;
            else
                _droppedCount++;
            _pending.Remove(write.Key);
            _idle.Push(write);
        }

        _room.Set();
    }

    /// <summary>Whether writing has failed a short while ago. Under the lock.</summary>
    private bool IsPaused() => _isPaused = _isPaused && _clock.GetElapsedTime(_pausedAt) < PauseAfterFailure;

    [LoggerMessage(Level = LogLevel.Warning, Message = "KV pages cannot be written to {Directory} (--kv-disk); the next try is in {PauseSeconds} s, serving goes on without: {Reason}")]
    private static partial void LogWriteFailed(ILogger log, string directory, int pauseSeconds, string reason);

    /// <summary>A page on its way to disk.</summary>
    private sealed class PageWrite(byte* page, int tokenCount)
    {
        public byte* Page { get; } = page;

        public int[] Tokens { get; } = new int[tokenCount];

        public PageKey Parent { get; set; }

        public PageKey Key { get; set; }
    }
}

/// <summary>What the disk tier holds, and what it did since the start.</summary>
/// <param name="Pages">Pages on disk.</param>
/// <param name="SizeBytes">Bytes of their files.</param>
/// <param name="Reads">Pages read back.</param>
/// <param name="Writes">Pages written.</param>
/// <param name="Dropped">Evicted pages that were not written, because the disk was behind or failing.</param>
/// <param name="Damaged">Files discarded because they were damaged or of another model.</param>
/// <param name="Failures">Writes that failed.</param>
public sealed record KvDiskStatus(int Pages, long SizeBytes, long Reads, long Writes, long Dropped, long Damaged, long Failures);
