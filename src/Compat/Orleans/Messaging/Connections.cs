using System.Collections.Concurrent;
using System.Net;
using System.Net.Sockets;
using Orleans.Serialization;

namespace Orleans.Runtime;

/// <summary>The connections that this process has opened, at most one to each silo. They are opened when first needed, and again after they broke.</summary>
internal sealed class Connections(RuntimeClient runtime, string clusterId, TimeSpan openLimit, ConnectionEvents events)
{
    private readonly ConcurrentDictionary<SiloAddress, Entry> _entries = new();
    private volatile bool _stopped;

    /// <summary>Raised when another silo says that this one was declared dead.</summary>
    public event Action<string>? ToldDead;

    /// <summary>The open connection to a silo, if there is one.</summary>
    public Connection? Find(SiloAddress silo) =>
        _entries.TryGetValue(silo, out Entry? entry) && entry.Connection is { IsOpen: true } open ? open : null;

    /// <summary>The connection to a silo, opened if need be.</summary>
    /// <param name="silo">The silo; generation 0 for whichever silo is there.</param>
    /// <param name="endpoint">Where it listens, if not at the address of the silo.</param>
    /// <exception cref="SiloUnavailableException">It cannot be reached.</exception>
    public Task<Connection> GetAsync(SiloAddress silo, IPEndPoint? endpoint = null)
    {
        while (true)
        {
            if (_stopped) throw new SiloUnavailableException($"{runtime.Address} was stopped.");
            if (_entries.TryGetValue(silo, out Entry? known))
            {
                if (!known.Opened.IsCompleted || known.Connection is { IsOpen: true }) return known.Opened;
                _entries.TryRemove(KeyValuePair.Create(silo, known));
            }
            var entry = new Entry();
            if (!_entries.TryAdd(silo, entry)) continue;
            // Not on the scheduler of the grain whose call comes first.
            _ = Task.Run(() => OpenAsync(silo, endpoint ?? silo.Endpoint, entry));
            return entry.Opened;
        }
    }

    /// <summary>Closes the connection to a silo, also one that is being opened.</summary>
    public void Drop(SiloAddress silo, string reason)
    {
        if (!_entries.TryRemove(silo, out Entry? entry)) return;
        entry.Cancel();
        entry.Connection?.Close(reason);
    }

    /// <summary>All that are open now.</summary>
    public IEnumerable<Connection> Open => _entries.Values.Select(entry => entry.Connection).OfType<Connection>().Where(connection => connection.IsOpen);

    public void Stop(string reason)
    {
        _stopped = true;
        foreach (SiloAddress silo in _entries.Keys) Drop(silo, reason);
    }

    private async Task OpenAsync(SiloAddress silo, IPEndPoint endpoint, Entry entry)
    {
        Socket socket = Sockets.Configure(new Socket(endpoint.AddressFamily, SocketType.Stream, ProtocolType.Tcp));
        try
        {
            using var limit = CancellationTokenSource.CreateLinkedTokenSource(entry.Cancelled);
            limit.CancelAfter(openLimit);
            await socket.ConnectAsync(endpoint, limit.Token);
            Answer answer = await Handshake.CallAsync(socket, new Hello(clusterId, runtime.Address, silo), runtime.Codecs, limit.Token);
            if (answer.Admission != Admission.Welcome)
            {
                if (answer.Admission == Admission.Dead) ToldDead?.Invoke(answer.Reason);
                throw new SiloUnavailableException($"Silo {silo} at {endpoint} does not take the connection: {answer.Reason}");
            }
            var connection = new Connection(socket, answer.Callee, runtime.MaxFrameSize, events);
            entry.Complete(connection);
            connection.Start();
            // Dropped or stopped while it was being opened.
            if (entry.Cancelled.IsCancellationRequested || _stopped) connection.Close("no longer wanted");
        }
        catch (Exception e) when (e is SocketException or OperationCanceledException or SerializerException or SiloUnavailableException or ObjectDisposedException)
        {
            socket.Dispose();
            _entries.TryRemove(KeyValuePair.Create(silo, entry));
            entry.Fail(e as SiloUnavailableException ?? new SiloUnavailableException($"Silo {silo} cannot be reached at {endpoint}: {e.Message}", e));
        }
    }

    private sealed class Entry
    {
        private readonly TaskCompletionSource<Connection> _opened = new(TaskCreationOptions.RunContinuationsAsynchronously);
        private readonly CancellationTokenSource _cancel = new();

        public Task<Connection> Opened => _opened.Task;

        public CancellationToken Cancelled => _cancel.Token;

        public void Cancel() => _cancel.Cancel();

        public Connection? Connection { get; private set; }

        public void Complete(Connection connection)
        {
            Connection = connection;
            _opened.SetResult(connection);
        }

        public void Fail(Exception exception)
        {
            _opened.SetException(exception);
            // Whoever waited sees it; the task itself may have nobody left who does.
            _ = _opened.Task.Exception;
        }
    }
}
