using System.Reflection;

namespace Orleans.Runtime;

/// <summary>A reference to a grain; the generated class implements the grain interface.</summary>
internal class GrainProxy : DispatchProxy, IAddressable
{
    public RuntimeClient Runtime { get; private set; } = null!;

    public GrainInterface Interface { get; private set; } = null!;

    public GrainId GrainId { get; private set; }

    public static object Create(RuntimeClient runtime, GrainInterface grainInterface, GrainId grainId)
    {
        object created = Create(grainInterface.Type, typeof(GrainProxy));
        var proxy = (GrainProxy)created;
        (proxy.Runtime, proxy.Interface, proxy.GrainId) = (runtime, grainInterface, grainId);
        return created;
    }

    protected override object? Invoke(MethodInfo? targetMethod, object?[]? args) => Runtime.Call(this, Interface.Find(targetMethod!), args ?? []);

    public override bool Equals(object? obj) => obj is GrainProxy other && GrainId.Equals(other.GrainId);

    public override int GetHashCode() => GrainId.GetHashCode();

    public override string ToString() => $"GrainReference:{GrainId}:{Interface.Name}";
}
