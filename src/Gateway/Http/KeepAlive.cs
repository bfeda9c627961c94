using Microsoft.AspNetCore.Http;

namespace Conclave.Gateway.Http;

/// <summary>Tells a waiting client that it is not forgotten: after each interval of silence it gets a few bytes that parsers skip.</summary>
internal sealed class KeepAlive(HttpResponse response, byte[] bytes, string contentType, int intervalMs, TimeProvider clock) : IAsyncDisposable
{
    private readonly PeriodicTimer _timer = new(TimeSpan.FromMilliseconds(intervalMs), clock);
    private Task<bool>? _tick;

    /// <summary>Awaits <paramref name="work"/>; whenever an interval passes before it is done, sends the bytes.</summary>
    public async ValueTask<bool> While(ValueTask<bool> work)
    {
        if (work.IsCompleted) return await work;
        Task<bool> task = work.AsTask();
        while (true)
        {
            _tick ??= _timer.WaitForNextTickAsync(response.HttpContext.RequestAborted).AsTask();
            if (await Task.WhenAny(task, _tick) == task) return await task;
            await _tick;
            _tick = null;
            if (!response.HasStarted) response.ContentType = contentType;
            await response.Body.WriteAsync(bytes, response.HttpContext.RequestAborted);
            await response.Body.FlushAsync(response.HttpContext.RequestAborted);
        }
    }

    public ValueTask DisposeAsync()
    {
        _timer.Dispose();
        return ValueTask.CompletedTask;
    }
}
