using Microsoft.AspNetCore.Http;

namespace Conclave.Gateway.Http;

/// <summary>Tells a waiting client that it is not forgotten: at each interval at which it waits it gets a few bytes that parsers skip.</summary>
internal sealed class KeepAlive(HttpResponse response, byte[] bytes, string contentType, int intervalMs, TimeProvider clock) : IDisposable
{
    private readonly PeriodicTimer _timer = new(TimeSpan.FromMilliseconds(intervalMs), clock);
    private Task<bool>? _tick;

    /// <summary>
    /// Whether a client that has got nothing yet is told to wait. The first byte fixes the status, so that nothing is sent while the answer may still
    /// be that there is nobody to answer.
    /// </summary>
    public bool MayBegin { get; set; }

    /// <summary>
    /// Awaits <paramref name="work"/>; whenever an interval passes before it is done, sends the bytes. The work is always awaited to its end, since an
    /// enumerator may not be disposed while it moves: a client that went away ends it by its own token.
    /// </summary>
    public async ValueTask<bool> While(ValueTask<bool> work)
    {
        if (work.IsCompleted) return await work;
        Task<bool> task = work.AsTask();
        while (await Task.WhenAny(task, _tick ??= _timer.WaitForNextTickAsync().AsTask()) != task)
        {
            _tick = null;
            if (!response.HasStarted && !MayBegin) continue;
            if (!response.HasStarted) response.ContentType = contentType;
            // Without a token: bytes for a client that has gone are dropped.
            await response.Body.WriteAsync(bytes);
            await response.Body.FlushAsync();
        }

        return await task;
    }

    public void Dispose() => _timer.Dispose();
}
