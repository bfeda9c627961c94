using System.Buffers;
using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Unicode;
using Conclave.Engine;
using Microsoft.AspNetCore.Http;

namespace Conclave.Gateway.Http;

/// <summary>JSON bodies in and out.</summary>
internal static class JsonBody
{
    /// <summary>How the hosted API begins the message about a body that is not what it should be; clients look for it.</summary>
    public const string Undeserializable = "Failed to deserialize the JSON body into the target type";

    private static readonly JsonDocumentOptions ReadOptions = new() { MaxDepth = 128 };

    /// <summary>Text as it is, non-ASCII included: clients show it, no browser interprets it.</summary>
    public static readonly JsonWriterOptions WriteOptions = new() { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

    /// <summary>Reads and parses the whole body.</summary>
    /// <exception cref="OperatingException">It is not valid UTF-8 or not JSON.</exception>
    public static async Task<JsonDocument> Read(HttpRequest request, CancellationToken cancellationToken)
    {
        using var body = new MemoryStream((int)Math.Min(request.ContentLength ?? 0, 1 << 20));
        await request.Body.CopyToAsync(body, cancellationToken);
        return Parse(body.GetBuffer().AsMemory(0, (int)body.Length));
    }

    /// <summary>Answers with one JSON value, compact.</summary>
    public static async Task Respond(HttpResponse response, Action<Utf8JsonWriter> write)
    {
        ReadOnlyMemory<byte> body = Bytes(write);
        if (!response.HasStarted)
        {
            response.ContentType = "application/json";
            response.ContentLength = body.Length;
        }

        await response.Body.WriteAsync(body, response.HttpContext.RequestAborted);
    }

    private static ReadOnlyMemory<byte> Bytes(Action<Utf8JsonWriter> write)
    {
        var buffer = new ArrayBufferWriter<byte>(512);
        using (var json = new Utf8JsonWriter(buffer, WriteOptions)) write(json);
        return buffer.WrittenMemory;
    }

    private static JsonDocument Parse(ReadOnlyMemory<byte> body)
    {
        if (!Utf8.IsValid(body.Span)) throw Malformed("it is not valid UTF-8");
        try
        {
            CheckEscapes(body.Span);
            return JsonDocument.Parse(body, ReadOptions);
        }
        catch (JsonException e)
        {
            throw Malformed($"malformed JSON at line {e.LineNumber + 1} column {e.BytePositionInLine + 1}");
        }
    }

    /// <summary>Half a surrogate pair is valid JSON but not text. It could hide in a name or deep in a tool's schema, so all strings are looked at, if any may have it.</summary>
    private static void CheckEscapes(ReadOnlySpan<byte> body)
    {
        if (body.IndexOf("\\ud"u8) < 0 && body.IndexOf("\\uD"u8) < 0) return;
        var reader = new Utf8JsonReader(body, new JsonReaderOptions { MaxDepth = ReadOptions.MaxDepth });
        while (reader.Read())
        {
            if (!reader.ValueIsEscaped || reader.TokenType is not (JsonTokenType.String or JsonTokenType.PropertyName)) continue;
            try
            {
                reader.GetString();
            }
            catch (InvalidOperationException)
            {
                throw Malformed($"the string at byte {reader.TokenStartIndex} holds an unpaired surrogate escape (\\ud800 to \\udfff), which is not text");
            }
        }
    }

    private static OperatingException Malformed(string why) =>
        new(OperatingError.InvalidRequest, $"{Undeserializable}: {why}");
}
