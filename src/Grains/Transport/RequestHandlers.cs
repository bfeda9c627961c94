namespace Conclave.Grains.Transport;

/// <summary>Handlers by kind; read by connection threads without a lock.</summary>
internal sealed class RequestHandlers
{
    private readonly Lock _lock = new();
    private volatile Dictionary<ushort, IRequestHandler> _byKind = [];

    public IRequestHandler? Find(ushort kind) => _byKind.GetValueOrDefault(kind);

    public void Set(ushort kind, IRequestHandler handler)
    {
        lock (_lock) _byKind = new Dictionary<ushort, IRequestHandler>(_byKind) { [kind] = handler };
    }
}
