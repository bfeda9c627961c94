namespace Orleans
{
    /// <summary>Decides whether a client that could not connect at its start tries again.</summary>
    public interface IClientConnectionRetryFilter
    {
        /// <summary>Whether to try again. Waiting before the next attempt is up to the filter.</summary>
        Task<bool> ShouldRetryConnectionAttempt(Exception exception, CancellationToken cancellationToken);
    }
}

namespace Orleans.Hosting
{
    /// <inheritdoc/>
    internal sealed class FunctionRetryFilter(Func<Exception, CancellationToken, Task<bool>> decide) : IClientConnectionRetryFilter
    {
        public Task<bool> ShouldRetryConnectionAttempt(Exception exception, CancellationToken cancellationToken) => decide(exception, cancellationToken);
    }
}
