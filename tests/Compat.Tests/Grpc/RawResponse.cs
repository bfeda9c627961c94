using System.Buffers.Binary;
using System.Globalization;
using System.Net;
using Google.Protobuf;
using Grpc.Core;

namespace Conclave.Compat.Tests.Grpc;

/// <summary>A gRPC response, taken apart.</summary>
internal sealed class RawResponse
{
    private readonly Dictionary<string, string> _headers;
    private readonly Dictionary<string, string> _trailers;

    public RawResponse(HttpResponseMessage response, byte[] body)
    {
        HttpStatus = response.StatusCode;
        _headers = response.Headers.ToDictionary(header => header.Key, header => string.Join(",", header.Value), StringComparer.OrdinalIgnoreCase);
        _trailers = response.TrailingHeaders.ToDictionary(header => header.Key, header => string.Join(",", header.Value), StringComparer.OrdinalIgnoreCase);
        Frames = Split(body);
    }

    public HttpStatusCode HttpStatus { get; }

    /// <summary>The frames of the body: flag and payload.</summary>
    public IReadOnlyList<(byte Flag, byte[] Payload)> Frames { get; }

    public StatusCode Status => (StatusCode)int.Parse(Trailer("grpc-status") ?? "-1", CultureInfo.InvariantCulture);

    /// <summary>The status message as it was sent, percent-encoded.</summary>
    public string? RawMessage => Trailer("grpc-message");

    public string? Message => RawMessage is null ? null : Uri.UnescapeDataString(RawMessage);

    public string? Header(string name) => _headers.GetValueOrDefault(name);

    /// <summary>A trailer; of a response without messages they are in the headers.</summary>
    public string? Trailer(string name) => _trailers.GetValueOrDefault(name) ?? (Frames.Count == 0 ? Header(name) : null);

    /// <summary>The messages of an uncompressed response.</summary>
    public IEnumerable<T> Messages<T>(MessageParser<T> parser) where T : IMessage<T> => Frames.Select(frame => parser.ParseFrom(frame.Payload));

    public void AssertOk() => Assert.True(Status == StatusCode.OK, $"{Status}: {Message}");

    private static List<(byte, byte[])> Split(byte[] body)
    {
        var frames = new List<(byte, byte[])>();
        for (int position = 0; position < body.Length;)
        {
            int length = BinaryPrimitives.ReadInt32BigEndian(body.AsSpan(position + 1));
            frames.Add((body[position], body.AsSpan(position + 5, length).ToArray()));
            position += 5 + length;
        }
        return frames;
    }
}
