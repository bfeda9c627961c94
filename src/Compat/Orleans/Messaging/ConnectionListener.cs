using System.Net;
using System.Net.Sockets;
using Microsoft.Extensions.Logging;
using Orleans.Serialization;

namespace Orleans.Runtime;

/// <summary>Takes connections at an endpoint.</summary>
internal sealed partial class ConnectionListener : IDisposable
{
    private readonly Socket _socket;
    private readonly CancellationTokenSource _stop = new();
    private readonly CodecProvider _codecs;
    private readonly ILogger _logger;
    private readonly Func<Hello, Answer> _admit;
    private readonly Action<Socket, SiloAddress> _accepted;
    private readonly TimeSpan _limit;

    /// <param name="endpoint">Where to listen.</param>
    /// <param name="admit">Judges a caller by its introduction.</param>
    /// <param name="accepted">Takes over the socket of a caller that is welcome.</param>
    /// <param name="limit">How long an introduction may take.</param>
    /// <param name="codecs">Writes and reads the introductions.</param>
    /// <param name="logger">Hears of callers that are sent away.</param>
    /// <exception cref="OrleansConfigurationException">The port is taken or the address is not this host's.</exception>
    public ConnectionListener(IPEndPoint endpoint, Func<Hello, Answer> admit, Action<Socket, SiloAddress> accepted, TimeSpan limit, CodecProvider codecs, ILogger logger)
    {
        (_admit, _accepted, _limit, _codecs, _logger) = (admit, accepted, limit, codecs, logger);
        _socket = new Socket(endpoint.AddressFamily, SocketType.Stream, ProtocolType.Tcp);
        try
        {
            _socket.Bind(endpoint);
            _socket.Listen(512);
        }
        catch (SocketException e)
        {
            _socket.Dispose();
            throw new OrleansConfigurationException($"Cannot listen at {endpoint}: {e.Message}. Give each silo an address of this host and ports of its own.", e);
        }
        _ = AcceptAsync();
    }

    public void Dispose()
    {
        _stop.Cancel();
        _socket.Dispose();
    }

    private async Task AcceptAsync()
    {
        while (!_stop.IsCancellationRequested)
        {
            try
            {
                _ = GreetAsync(await _socket.AcceptAsync(_stop.Token).ConfigureAwait(false));
            }
            catch (Exception e) when (e is SocketException or ObjectDisposedException or OperationCanceledException)
            {
                // A caller that gave up before it was accepted must not end the loop.
                if (!_stop.IsCancellationRequested) LogNotAccepted(e.Message);
            }
        }
    }

    private async Task GreetAsync(Socket socket)
    {
        EndPoint? from = null;
        try
        {
            from = socket.RemoteEndPoint;
            Sockets.Configure(socket);
            using var limit = CancellationTokenSource.CreateLinkedTokenSource(_stop.Token);
            limit.CancelAfter(_limit);
            if (await Handshake.ReceiveAsync(socket, _admit, _codecs, limit.Token).ConfigureAwait(false) is { } caller)
            {
                _accepted(socket, caller);
                return;
            }
        }
        catch (Exception e) when (e is SocketException or ObjectDisposedException or OperationCanceledException or SerializerException)
        {
            LogRefused(from, e.Message);
        }
        socket.Dispose();
    }

    [LoggerMessage(LogLevel.Warning, "A connection could not be accepted: {Reason}")]
    private partial void LogNotAccepted(string reason);

    [LoggerMessage(LogLevel.Warning, "A connection from {From} was refused: {Reason}")]
    private partial void LogRefused(EndPoint? from, string reason);
}
