using System.Net;
using Conclave.Grains.Transport;
using Conclave.Silo;

namespace Conclave.Grains.Tests;

/// <summary>What a silo is told is checked before anything else happens.</summary>
public sealed class SiloOptionsTests(TestModel model) : IClassFixture<TestModel>
{
    public static TheoryData<string, Func<SiloOptions, SiloOptions>> Faults => new()
    {
        { "--model", options => options with { ModelDirectory = "/nowhere" } },
        { "--threads", options => options with { Threads = 0 } },
        { "--expert-threads", options => options with { ExpertThreads = -1 } },
        { "--roles", options => options with { Roles = 0 } },
        { "--roles", options => options with { Roles = SiloRoles.Attention, Transport = null } },
        { "--slots", options => options with { Slots = -1 } },
        { "--expert-memory", options => options with { ExpertMemorySizeBytes = -1 } },
        { "--replicas", options => options with { Replicas = 0 } },
        { "--redundant-experts", options => options with { RedundantExperts = -1 } },
        { "--silo-port", options => options with { SiloPort = 0 } },
        { "--gateway-port", options => options with { GatewayPort = options.SiloPort } },
        { "--cluster-id", options => options with { ClusterId = "" } },
        { "--primary", options => options with { RedisConnection = "127.0.0.1:6379", Primary = new IPEndPoint(IPAddress.Loopback, 11111) } },
        { "--advertise", options => options with { AdvertisedAddress = IPAddress.Parse("10.0.0.1") } },
        { "--advertise", options => options with { RedisConnection = "127.0.0.1:6379", AdvertisedAddress = IPAddress.Any } },
        { "--eviction-delay", options => options with { EvictionDelayMs = -1 } },
        { "--drain-grace", options => options with { DrainGraceSeconds = -1 } },
        { "ClusterSecret", options => options with { Transport = new TransportOptions { ListenHost = "*" } } },
    };

    [Theory]
    [MemberData(nameof(Faults), DisableDiscoveryEnumeration = true)]
    public void A_fault_names_its_option(string name, Func<SiloOptions, SiloOptions> fault)
    {
        var options = new SiloOptions { ModelDirectory = model.Path, Transport = new TransportOptions() };
        options.Validate();
        ArgumentException error = Assert.ThrowsAny<ArgumentException>(fault(options).Validate);
        Assert.Contains(name, error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Labels_are_pairs()
    {
        IReadOnlyDictionary<string, string> labels = SiloOptions.ParseLabels("gpu=a100, zone=east");
        Assert.Equal(2, labels.Count);
        Assert.Equal("a100", labels["gpu"]);
        Assert.Equal("east", labels["zone"]);
        foreach (string fault in new[] { "gpu", "=a", "gpu=", "a=1,a=2" }) Assert.Throws<ArgumentException>(() => SiloOptions.ParseLabels(fault));
    }
}
