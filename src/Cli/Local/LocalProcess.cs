using System.Diagnostics;
using System.Globalization;
using System.Runtime.InteropServices;

namespace Conclave.Cli.Local;

/// <summary>Signals by their numbers on Linux.</summary>
internal enum Signal
{
    Kill = 9,
    Terminate = 15,
    Continue = 18,
    Stop = 19,
}

/// <summary>
/// A process on this machine, named by its id and its start: an id that was given to another process since is told from it, and is never signalled.
/// </summary>
/// <param name="Id">The process id.</param>
/// <param name="StartTicks">When it started, in clock ticks since boot, as <c>/proc/ID/stat</c> says.</param>
internal readonly partial record struct ProcessIdentity(int Id, long StartTicks)
{
    private static readonly TimeSpan Poll = TimeSpan.FromMilliseconds(20);

    /// <summary>Whether it runs: neither ended nor a zombie.</summary>
    public bool IsAlive => Of(Id) == this;

    /// <summary>The process that has this id now; null if there is none.</summary>
    public static ProcessIdentity? Of(int id)
    {
        try
        {
            string stat = File.ReadAllText($"/proc/{id}/stat");
            // The name in parentheses may hold anything; what follows is the state (field 3) and, as field 22, the start.
            string[] fields = stat[(stat.LastIndexOf(')') + 2)..].Split(' ');
            return fields[0] is "Z" or "X" ? null : new ProcessIdentity(id, long.Parse(fields[19], CultureInfo.InvariantCulture));
        }
        catch (IOException)
        {
            // Gone, perhaps while it was read.
            return null;
        }
    }

    /// <summary>Sends a signal if the process still runs; tells whether it did.</summary>
    public bool Send(Signal signal) => IsAlive && SendSignal(Id, (int)signal) == 0;

    /// <summary>Waits for its end; false if <paramref name="limit"/> passes first.</summary>
    public async Task<bool> WaitForExit(TimeSpan limit, CancellationToken cancellationToken = default)
    {
        long started = Stopwatch.GetTimestamp();
        while (IsAlive)
        {
            if (Stopwatch.GetElapsedTime(started) > limit) return false;
            await Task.Delay(Poll, cancellationToken);
        }

        return true;
    }

    [LibraryImport("libc", EntryPoint = "kill")]
    private static partial int SendSignal(int id, int signal);
}

/// <summary>Starts processes that outlive this one.</summary>
internal static class Launcher
{
    /// <summary>The words that run this program again: the host and the assembly, or the executable alone.</summary>
    public static string[] OwnProgram { get; } =
        Path.GetFileNameWithoutExtension(Environment.ProcessPath) == "dotnet"
            ? [Environment.ProcessPath!, Path.Combine(AppContext.BaseDirectory, "conclave.dll")]
            : [Environment.ProcessPath ?? throw new InvalidOperationException("this program does not know its own path")];

    /// <summary>
    /// Starts <paramref name="command"/> in a session of its own, so that neither the terminal's Ctrl-C nor its end reaches it; what it says is added to
    /// <paramref name="logPath"/>. The process object is for those who want the exit code.
    /// </summary>
    /// <exception cref="InvalidOperationException">It could not be started.</exception>
    public static (Process Process, ProcessIdentity Identity) Start(IEnumerable<string> command, string logPath, IReadOnlyDictionary<string, string> environment)
    {
        const string Script = "log=$1; shift; exec setsid \"$@\" >>\"$log\" 2>&1 </dev/null";
        var start = new ProcessStartInfo("/bin/sh", ["-c", Script, "sh", logPath, .. command]);
        foreach (var (name, value) in environment) start.Environment[name] = value;
        Process process = Process.Start(start) ?? throw new InvalidOperationException("/bin/sh could not be started");
        // Shell and setsid become the command by exec: same id, same start.
        ProcessIdentity identity = ProcessIdentity.Of(process.Id) ?? new ProcessIdentity(process.Id, StartTicks: -1);
        return (process, identity);
    }
}
