using System.Globalization;
using Grpc.Core;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.Features;

namespace Grpc.AspNetCore.Server.Internal;

/// <summary>Writes the status and metadata at the end of a response.</summary>
internal static class Trailers
{
    /// <summary>Sets the status, in the headers when nothing has been sent yet ("trailers only"), else in the trailers.</summary>
    public static void SetStatus(HttpResponse response, Status status) => SetStatus(Destination(response), status);

    /// <summary>Sets the status together with metadata.</summary>
    public static void Set(HttpResponse response, Status status, IReadOnlyList<Metadata.Entry> metadata)
    {
        IHeaderDictionary destination = Destination(response);
        foreach (Metadata.Entry entry in metadata)
            destination.Append(entry.Key, Encode(entry));
        SetStatus(destination, status);
    }

    public static string Encode(Metadata.Entry entry) => entry.IsBinary ? Convert.ToBase64String(entry.ValueBytes) : entry.Value;

    private static void SetStatus(IHeaderDictionary destination, Status status)
    {
        destination[Protocol.StatusHeader] = ((int)status.StatusCode).ToString(CultureInfo.InvariantCulture);
        if (string.IsNullOrEmpty(status.Detail))
            destination.Remove(Protocol.MessageHeader);
        else
            destination[Protocol.MessageHeader] = Protocol.PercentEncode(status.Detail);
    }

    private static IHeaderDictionary Destination(HttpResponse response)
    {
        if (!response.HasStarted)
            return response.Headers;
        return response.HttpContext.Features.Get<IHttpResponseTrailersFeature>()?.Trailers is { IsReadOnly: false } trailers
            ? trailers
            : throw new InvalidOperationException("Trailers are not supported for this response. The server may not support gRPC.");
    }
}
