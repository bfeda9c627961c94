using System.Collections;

namespace Grpc.AspNetCore.HealthChecks;

/// <summary>How health checks become the answers of grpc.health.v1.Health.</summary>
public sealed class GrpcHealthChecksOptions
{
    /// <summary>Which health checks tell the state of which service. The service "" stands for the whole server; by default all checks count for it.</summary>
    public ServiceMappingCollection Services { get; } = [];

    /// <summary>Whether Check answers with the last published result instead of running the checks. Default false.</summary>
    public bool UseHealthChecksCache { get; set; }

    /// <summary>Whether Watch calls stay open while the server stops, instead of ending at once. Default false.</summary>
    public bool SuppressCompletionOnShutdown { get; set; }
}

/// <summary>The services whose health is told, each with its health checks.</summary>
public sealed class ServiceMappingCollection : ICollection<ServiceMapping>
{
    private readonly Dictionary<string, ServiceMapping> _services = new(StringComparer.Ordinal);

    /// <summary>How many services there are.</summary>
    public int Count => _services.Count;

    bool ICollection<ServiceMapping>.IsReadOnly => false;

    /// <summary>The health checks that <paramref name="predicate"/> accepts tell the state of the service <paramref name="name"/>.</summary>
    public void Map(string name, Func<HealthCheckMapContext, bool> predicate) => _services[name] = new ServiceMapping(name, predicate);

    /// <summary>Adds a service. Its name must be new.</summary>
    public void Add(ServiceMapping service) => _services.Add(service.Name, service);

    /// <summary>Removes a service.</summary>
    public void Remove(string name) => _services.Remove(name);

    /// <summary>Removes all services.</summary>
    public void Clear() => _services.Clear();

    /// <summary>All services.</summary>
    public IEnumerator<ServiceMapping> GetEnumerator() => _services.Values.GetEnumerator();

    IEnumerator IEnumerable.GetEnumerator() => GetEnumerator();

    bool ICollection<ServiceMapping>.Contains(ServiceMapping item) => _services.ContainsValue(item);

    void ICollection<ServiceMapping>.CopyTo(ServiceMapping[] array, int arrayIndex) => _services.Values.CopyTo(array, arrayIndex);

    bool ICollection<ServiceMapping>.Remove(ServiceMapping item) => _services.ContainsValue(item) && _services.Remove(item.Name);

    internal ServiceMapping? Find(string name) => _services.GetValueOrDefault(name);
}

/// <summary>A service and its health checks.</summary>
/// <param name="name">The name that clients ask for.</param>
/// <param name="predicate">Which health checks count.</param>
public sealed class ServiceMapping(string name, Func<HealthCheckMapContext, bool> predicate)
{
    /// <summary>The name that clients ask for.</summary>
    public string Name { get; } = name;

    /// <summary>Which health checks count.</summary>
    public Func<HealthCheckMapContext, bool>? HealthCheckPredicate { get; } = predicate;
}

/// <summary>A health check, as a predicate sees it.</summary>
/// <param name="name">The name of the check.</param>
/// <param name="tags">The tags of the check.</param>
public sealed class HealthCheckMapContext(string name, IEnumerable<string> tags)
{
    /// <summary>The name of the check.</summary>
    public string Name { get; } = name;

    /// <summary>The tags of the check.</summary>
    public IEnumerable<string> Tags { get; } = tags;
}
