using System.Reflection;

namespace Orleans.Runtime;

/// <summary>A reference to a grain; the generated class implements the grain interface.</summary>
internal class GrainProxy : DispatchProxy, IAddressable
{
    public RuntimeClient Runtime { get; private set; } = null!;

    public GrainInterface Interface { get; private set; } = null!;

    public GrainId GrainId { get; private set; }

    /// <summary>Of a reference to a silo's runtime instead of a grain: that silo.</summary>
    public SiloAddress? Silo { get; private set; }

    public static object Create(RuntimeClient runtime, GrainInterface grainInterface, GrainId grainId, SiloAddress? silo = null)
    {
        object created = Create(grainInterface.Type, typeof(GrainProxy));
        var proxy = (GrainProxy)created;
        (proxy.Runtime, proxy.Interface, proxy.GrainId, proxy.Silo) = (runtime, grainInterface, grainId, silo);
        return created;
    }

    protected override object? Invoke(MethodInfo? targetMethod, object?[]? args) => Runtime.Call(this, Interface.Find(targetMethod!), args ?? []);

    public override bool Equals(object? obj) => obj is GrainProxy other && GrainId.Equals(other.GrainId);

    public override int GetHashCode() => GrainId.GetHashCode();

    public override string ToString() => $"GrainReference:{GrainId}:{Interface.Name}";
}
