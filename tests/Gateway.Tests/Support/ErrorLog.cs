using System.Collections.Concurrent;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;

namespace Conclave.Gateway.Tests.Support;

/// <summary>Keeps what a server logs as an error: a test that provokes none finds it empty. Warnings and what of a drain went otherwise than hoped for are kept apart, to explain a failure.</summary>
internal sealed class ErrorLog : ILoggerProvider, ILogger
{
    public ConcurrentQueue<string> Errors { get; } = [];

    public ConcurrentQueue<string> Losses { get; } = [];

    // What Orleans thinks of connections to silos that leave is its own affair.
    public ILogger CreateLogger(string categoryName) => categoryName.StartsWith("Orleans.", StringComparison.Ordinal) ? NullLogger.Instance : this;

    public IDisposable? BeginScope<TState>(TState state) where TState : notnull => null;

    public bool IsEnabled(LogLevel logLevel) => logLevel >= LogLevel.Information;

    public void Log<TState>(LogLevel logLevel, EventId eventId, TState state, Exception? exception, Func<TState, Exception?, string> formatter)
    {
        if (logLevel >= LogLevel.Error) Errors.Enqueue($"{formatter(state, exception)} {exception}");
        else if (logLevel == LogLevel.Warning || eventId.Name == "LogNotMoved") Losses.Enqueue(formatter(state, exception));
    }

    public void Dispose()
    {
    }
}
