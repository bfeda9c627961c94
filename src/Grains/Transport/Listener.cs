using System.Net.Sockets;
using Microsoft.Extensions.Logging;

namespace Conclave.Grains.Transport;

/// <summary>Accepts connections on one socket, with a thread of its own.</summary>
internal sealed class Listener : IDisposable
{
    private const int PauseMs = 500;

    private readonly Socket _socket;
    private readonly string _name;
    private readonly ILogger _logger;
    private readonly Action<Socket> _accepted;
    private readonly Thread _thread;
    private readonly ManualResetEventSlim _stop = new(false);
    private volatile bool _disposed;

    public Listener(Socket socket, string name, ILogger logger, Action<Socket> accepted)
    {
        _socket = socket;
        _name = name;
        _logger = logger;
        _accepted = accepted;
        _thread = new Thread(Run) { IsBackground = true, Name = $"transport listener {name}" };
        _thread.Start();
    }

    public void Dispose()
    {
        _disposed = true;
        _stop.Set();
        _socket.Dispose();
        _thread.Join();
    }

    private void Run()
    {
        while (!_disposed)
        {
            try
            {
                _accepted(_socket.Accept());
            }
            catch (Exception e) when (e is SocketException or ObjectDisposedException)
            {
                if (_disposed) return;
                // No file handles for a moment, or a network that went away: later it may work again.
                TransportLog.AcceptFailed(_logger, e, _name);
                _stop.Wait(PauseMs);
            }
        }
    }
}
