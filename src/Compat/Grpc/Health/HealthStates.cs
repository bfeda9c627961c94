using System.Threading.Channels;
using Microsoft.Extensions.Diagnostics.HealthChecks;
using Microsoft.Extensions.Options;
using ServingStatus = Grpc.Health.V1.HealthCheckResponse.Types.ServingStatus;

namespace Grpc.AspNetCore.HealthChecks;

/// <summary>The last published state of each service, and who waits for a change.</summary>
internal sealed class HealthStates(IOptions<GrpcHealthChecksOptions> options) : IHealthCheckPublisher
{
    private const int MaxQueuedStates = 5;

    private readonly Lock _lock = new();
    private readonly Dictionary<string, ServingStatus> _states = new(StringComparer.Ordinal);
    private readonly HashSet<Watcher> _watchers = [];

    /// <summary>The state that a service's health checks make: bad if one is unhealthy, good if there is any, else unknown.</summary>
    public static ServingStatus Judge(ServiceMapping service, HealthReport report)
    {
        var state = ServingStatus.Unknown;
        foreach ((string name, HealthReportEntry entry) in report.Entries)
        {
            if (service.HealthCheckPredicate?.Invoke(new HealthCheckMapContext(name, entry.Tags)) == false)
                continue;
            if (entry.Status == HealthStatus.Unhealthy)
                return ServingStatus.NotServing;
            state = ServingStatus.Serving;
        }
        return state;
    }

    public Task PublishAsync(HealthReport report, CancellationToken cancellationToken)
    {
        // A report is published as a whole: nobody sees some services by it and others by the one before.
        lock (_lock)
        {
            foreach (ServiceMapping service in options.Value.Services)
                Set(service.Name, Judge(service, report));
        }
        return Task.CompletedTask;
    }

    public ServingStatus? Find(string service)
    {
        lock (_lock)
            return _states.TryGetValue(service, out ServingStatus state) ? state : null;
    }

    /// <summary>Follows a service from now on, until disposed. A watcher that is too slow misses states in between, never the last one.</summary>
    public Watcher Watch(string service)
    {
        var watcher = new Watcher(this, service);
        lock (_lock)
            _watchers.Add(watcher);
        return watcher;
    }

    private void Set(string service, ServingStatus state)
    {
        if (_states.TryGetValue(service, out ServingStatus previous) && previous == state)
            return;
        _states[service] = state;
        foreach (Watcher watcher in _watchers.Where(watcher => watcher.Service == service))
            watcher.Tell(state);
    }

    internal sealed class Watcher(HealthStates owner, string service) : IDisposable
    {
        private readonly Channel<ServingStatus> _changes = Channel.CreateBounded<ServingStatus>(
            new BoundedChannelOptions(MaxQueuedStates) { FullMode = BoundedChannelFullMode.DropOldest, SingleReader = true });

        public string Service => service;

        public ChannelReader<ServingStatus> Changes => _changes.Reader;

        public void Tell(ServingStatus state) => _changes.Writer.TryWrite(state);

        public void Dispose()
        {
            lock (owner._lock)
                owner._watchers.Remove(this);
        }
    }
}
