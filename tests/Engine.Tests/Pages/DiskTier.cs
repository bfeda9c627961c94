using System.Collections.Concurrent;
using Conclave.Engine.Pages;
using Conclave.Tests.Support;
using Microsoft.Extensions.Logging;

namespace Conclave.Engine.Tests.Pages;

/// <summary>A directory for a second tier, a clock that stands still, and what was warned of.</summary>
internal sealed class DiskTier : IDisposable
{
    private readonly ManualResetEventSlim _fetched = new(false);

    public DiskTier(string? directory = null) => Directory = directory ?? System.IO.Directory.CreateTempSubdirectory("conclave-pages-").FullName;

    public string Directory { get; }

    public ListLog Log { get; } = new();

    public HandClock Clock { get; } = new();

    public string[] Files => System.IO.Directory.GetFiles(Directory, "*.kvpage");

    public KvMemory Open(int pageCount, int maxFiles = 1000, string identity = "model")
    {
        var options = new KvDiskOptions { Directory = Directory, SizeBytes = maxFiles * (PagedSequence.Layout.PageSizeBytes + 4096), Identity = identity };
        return PagedSequence.Memory(pageCount, new KvTier(options, Clock, Log, _fetched.Set));
    }

    /// <summary>Admits <paramref name="sequence"/> once everything is read that is on disk, and checks its content; how many tokens were found.</summary>
    public int Admit(KvMemory memory, PagedSequence sequence)
    {
        KvFetch? fetch = null;
        while (memory.IsFetching(ref fetch, sequence.Tokens.ToArray(), sequence.Scope))
        {
            Assert.True(_fetched.Wait(TimeSpan.FromMinutes(2)));
            _fetched.Reset();
            memory.TakeFetched();
        }

        int cachedTokens = sequence.Admit(memory);
        sequence.AssertContents();
        Assert.Null(memory.FindFault([sequence.Pages]));
        return cachedTokens;
    }

    /// <summary>Admits, looks and releases.</summary>
    public int Find(KvMemory memory, PagedSequence sequence)
    {
        int cachedTokens = Admit(memory, sequence);
        memory.Release(sequence.Pages);
        return cachedTokens;
    }

    /// <summary>Closes <paramref name="memory"/> with all that it has cached on disk.</summary>
    public static void Save(KvMemory memory)
    {
        while (!memory.TrySpillAll())
            Assert.True(memory.WaitForDisk(TimeSpan.FromMinutes(2)));
        memory.Dispose();
    }

    /// <summary>The status once <paramref name="holds"/>; fails after two minutes.</summary>
    public static KvDiskStatus StatusWhen(KvMemory memory, Func<KvDiskStatus, bool> holds)
    {
        Assert.True(SpinWait.SpinUntil(() => holds(memory.DiskStatus!), TimeSpan.FromMinutes(2)), $"still {memory.DiskStatus}");
        return memory.DiskStatus!;
    }

    public void Dispose() => System.IO.Directory.Delete(Directory, recursive: true);

    /// <summary>Keeps warnings and errors.</summary>
    public sealed class ListLog : ILogger
    {
        public ConcurrentQueue<string> Warnings { get; } = [];

        public IDisposable? BeginScope<TState>(TState state)
            where TState : notnull => null;

        public bool IsEnabled(LogLevel logLevel) => logLevel >= LogLevel.Warning;

        public void Log<TState>(LogLevel logLevel, EventId eventId, TState state, Exception? exception, Func<TState, Exception?, string> formatter) =>
            Warnings.Enqueue(formatter(state, exception));
    }
}
