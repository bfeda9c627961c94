using Microsoft.Extensions.Logging;

namespace Conclave.Grains.Transport;

/// <summary>What the transport tells the operator.</summary>
internal static partial class TransportLog
{
    [LoggerMessage(Level = LogLevel.Information, Message = "tensor transport listens at {Address}")]
    public static partial void Listening(ILogger logger, string address);

    [LoggerMessage(Level = LogLevel.Information, Message = "connected to {Peer} over {Wire}")]
    public static partial void Connected(ILogger logger, string peer, string wire);

    [LoggerMessage(Level = LogLevel.Warning, Message = "lost {Peer}: {Reason}")]
    public static partial void Lost(ILogger logger, string peer, string reason);

    [LoggerMessage(Level = LogLevel.Warning, Message = "{Peer} is suspected: {Reason}")]
    public static partial void Suspected(ILogger logger, string peer, string reason);

    [LoggerMessage(Level = LogLevel.Warning, Message = "cannot connect to {Peer}: {Reason}")]
    public static partial void CannotConnect(ILogger logger, string peer, string reason);

    [LoggerMessage(Level = LogLevel.Warning, Message = "refused a connection: {Reason}")]
    public static partial void Refused(ILogger logger, string reason);

    [LoggerMessage(Level = LogLevel.Warning, Message = "closed the connection of {Remote}: {Reason}")]
    public static partial void Closed(ILogger logger, string remote, string reason);

    [LoggerMessage(Level = LogLevel.Warning, Message = "the handler of kind {Kind} failed for layer {Layer} of {Remote}")]
    public static partial void HandlerFailed(ILogger logger, Exception exception, ushort kind, int layer, string remote);

    [LoggerMessage(Level = LogLevel.Error, Message = "{Listener} cannot accept a connection")]
    public static partial void AcceptFailed(ILogger logger, Exception exception, string listener);

    [LoggerMessage(Level = LogLevel.Error, Message = "a listener to the transport's events failed")]
    public static partial void EventFailed(ILogger logger, Exception exception);

    [LoggerMessage(Level = LogLevel.Warning, Message = "this process stood still for {StallMs} ms; its peers are not judged by that time")]
    public static partial void Stalled(ILogger logger, long stallMs);
}
