using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;

namespace Orleans.Runtime;

/// <summary>Ends a process whose silo must not go on. Tests that share a process with a silo register their own.</summary>
public interface IFatalErrorHandler
{
    /// <summary>Whether an exception is none that a silo reckons with.</summary>
    bool IsUnexpected(Exception exception);

    /// <summary>Ends the process; the reason stands in the log and on the standard error stream.</summary>
    void OnFatalException(object? sender = null, string? context = null, Exception? exception = null);
}

/// <inheritdoc/>
internal sealed partial class FatalErrorHandler(IServiceProvider services, TimeProvider clock, ILogger<FatalErrorHandler> logger) : IFatalErrorHandler
{
    private const int ExitCode = 70;
    private static readonly TimeSpan ExitLimit = TimeSpan.FromSeconds(5);

    private ITimer? _backstop;

    public bool IsUnexpected(Exception exception) => exception is not OperationCanceledException;

    public void OnFatalException(object? sender = null, string? context = null, Exception? exception = null)
    {
        LogFatal(context, exception);
        Console.Error.WriteLine($"FATAL: {context} {exception?.Message}");
        Console.Error.Flush();
        // Handlers of the process's end may hang on the silo that is gone.
        _backstop = clock.CreateTimer(static context => Environment.FailFast((string?)context), context, ExitLimit, Timeout.InfiniteTimeSpan);
        // Loggers write in the background; disposing of them waits until they have.
        services.GetService<ILoggerFactory>()?.Dispose();
        Environment.Exit(ExitCode);
    }

    [LoggerMessage(LogLevel.Critical, "{Context} The process ends")]
    private partial void LogFatal(string? context, Exception? exception);
}
