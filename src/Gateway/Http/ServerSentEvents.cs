using System.Buffers;
using System.Text.Json;
using Microsoft.AspNetCore.Http;

namespace Conclave.Gateway.Http;

/// <summary>Writes a stream of <c>data:</c> lines, each flushed as it comes.</summary>
internal sealed class ServerSentEvents(HttpResponse response)
{
    public const string ContentType = "text/event-stream; charset=utf-8";

    private readonly ArrayBufferWriter<byte> _buffer = new(1024);

    /// <summary>One event; the first one sends the headers.</summary>
    public Task Send(Action<Utf8JsonWriter> write)
    {
        _buffer.ResetWrittenCount();
        _buffer.Write("data: "u8);
        using (var json = new Utf8JsonWriter(_buffer, JsonBody.WriteOptions)) write(json);
        _buffer.Write("\n\n"u8);
        return Flush();
    }

    /// <summary>The end of a stream that went well.</summary>
    public Task SendDone()
    {
        _buffer.ResetWrittenCount();
        _buffer.Write("data: [DONE]\n\n"u8);
        return Flush();
    }

    private async Task Flush()
    {
        if (!response.HasStarted)
        {
            response.ContentType = ContentType;
            response.Headers.CacheControl = "no-cache";
        }

        await response.Body.WriteAsync(_buffer.WrittenMemory, response.HttpContext.RequestAborted);
        await response.Body.FlushAsync(response.HttpContext.RequestAborted);
    }
}
