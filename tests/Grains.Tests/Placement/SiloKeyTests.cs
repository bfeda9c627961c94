using System.Net;
using Orleans.Runtime;

namespace Conclave.Grains.Tests;

public sealed class SiloKeyTests
{
    [Fact]
    public void A_key_names_its_silo()
    {
        SiloAddress address = SiloAddress.New(new IPEndPoint(IPAddress.Parse("10.1.2.3"), 11111), 42);
        string parsable = address.ToParsableString();
        Assert.Equal(address, SiloKey.Silo(SiloKey.Rank(parsable)));
        Assert.Equal(address, SiloKey.Silo(SiloKey.Slot(7, parsable)));
        Assert.Equal(address, SiloKey.Silo(SiloKey.Sequence(Guid.NewGuid(), parsable)));
        Assert.NotEqual(SiloKey.Slot(1, parsable), SiloKey.Slot(2, parsable));
    }

    [Theory]
    [InlineData("")]
    [InlineData("rank")]
    public void A_key_without_a_silo_is_an_error(string key) => Assert.Throws<FormatException>(() => SiloKey.Silo(key));
}
