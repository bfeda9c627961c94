using System.Globalization;
using System.Text;
using Grpc.Core;
using Microsoft.Extensions.Primitives;

namespace Grpc.AspNetCore.Server.Internal;

/// <summary>The texts of gRPC over HTTP/2: github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md.</summary>
internal static class Protocol
{
    public const string ContentType = "application/grpc";
    public const string StatusHeader = "grpc-status";
    public const string MessageHeader = "grpc-message";
    public const string TimeoutHeader = "grpc-timeout";
    public const string EncodingHeader = "grpc-encoding";
    public const string AcceptEncodingHeader = "grpc-accept-encoding";

    private const int MaxTimeoutDigits = 8;

    public static bool IsGrpcContentType(string? contentType)
        => contentType is not null
            && contentType.StartsWith(ContentType, StringComparison.OrdinalIgnoreCase)
            && (contentType.Length == ContentType.Length || contentType[ContentType.Length] is ';' or '+');

    /// <summary>Reads a timeout such as 300m. False when it is not one.</summary>
    public static bool TryParseTimeout(StringValues header, out TimeSpan timeout)
    {
        timeout = default;
        string text = header.ToString();
        if (text.Length is < 2 or > MaxTimeoutDigits + 1 || !long.TryParse(text.AsSpan(0, text.Length - 1), NumberStyles.None, CultureInfo.InvariantCulture, out long value))
            return false;
        long? ticks = text[^1] switch
        {
            'H' => value * TimeSpan.TicksPerHour,
            'M' => value * TimeSpan.TicksPerMinute,
            'S' => value * TimeSpan.TicksPerSecond,
            'm' => value * TimeSpan.TicksPerMillisecond,
            'u' => value * TimeSpan.TicksPerMicrosecond,
            'n' => (value + TimeSpan.NanosecondsPerTick - 1) / TimeSpan.NanosecondsPerTick,
            _ => null,
        };
        timeout = new TimeSpan(ticks ?? 0);
        return ticks is not null;
    }

    /// <summary>Percent-encodes what is not printable ASCII, and the percent sign.</summary>
    public static string PercentEncode(string text)
    {
        var encoded = new StringBuilder(text.Length);
        foreach (byte value in Encoding.UTF8.GetBytes(text))
        {
            if (value is >= 0x20 and <= 0x7E and not (byte)'%')
                encoded.Append((char)value);
            else
                encoded.Append(CultureInfo.InvariantCulture, $"%{value:X2}");
        }
        return encoded.ToString();
    }

    /// <summary>Reads a binary header: base64 values with or without padding, separated by commas.</summary>
    public static IEnumerable<byte[]> ParseBinary(string key, StringValues header)
    {
        foreach (string part in header.ToString().Split(',', StringSplitOptions.TrimEntries))
        {
            var bytes = new byte[part.Length];
            string padded = part.PadRight((part.Length + 3) / 4 * 4, '=');
            if (!Convert.TryFromBase64String(padded, bytes, out int length))
                throw new RpcException(new Status(StatusCode.Internal, $"The value of the binary metadata '{key}' is not base64."));
            yield return bytes[..length];
        }
    }
}
