using System.Diagnostics.CodeAnalysis;
using System.Globalization;
using System.Net;

namespace Orleans.Runtime;

/// <summary>A silo's endpoint and the generation that tells its restarts apart. Negative generations belong to clients.</summary>
public sealed class SiloAddress : IEquatable<SiloAddress>, IComparable<SiloAddress>
{
    private static readonly DateTimeOffset Epoch = new(2022, 1, 1, 0, 0, 0, TimeSpan.Zero);
    private static int LastGeneration;

    private SiloAddress(IPEndPoint endpoint, int generation) => (Endpoint, Generation) = (endpoint, generation);

    /// <summary>No silo.</summary>
    public static SiloAddress Zero { get; } = New(new IPEndPoint(IPAddress.Any, 0), 0);

    /// <summary>Where the silo listens for other silos.</summary>
    public IPEndPoint Endpoint { get; }

    /// <summary>Seconds that grow from one start of a silo to the next.</summary>
    public int Generation { get; }

    /// <summary>Whether this is a client and not a silo.</summary>
    public bool IsClient => Generation < 0;

    /// <summary>An address from its parts.</summary>
    public static SiloAddress New(IPEndPoint ep, int gen) => new(ep, gen);

    /// <summary>An address from its parts.</summary>
    public static SiloAddress New(IPAddress address, int port, int generation) => new(new IPEndPoint(address, port), generation);

    /// <summary>A generation greater than any handed out by this process before.</summary>
    public static int AllocateNewGeneration()
    {
        int now = (int)(TimeProvider.System.GetUtcNow() - Epoch).TotalSeconds;
        while (true)
        {
            int last = Volatile.Read(ref LastGeneration);
            int next = Math.Max(now, last + 1);
            if (Interlocked.CompareExchange(ref LastGeneration, next, last) == last) return next;
        }
    }

    /// <summary>"address:port@generation", readable by <see cref="FromParsableString"/>.</summary>
    public string ToParsableString() => ToString();

    /// <summary>Reads "address:port@generation".</summary>
    /// <exception cref="FormatException">The text has another form.</exception>
    public static SiloAddress FromParsableString(string addr) => Parse(addr);

    /// <summary>Reads "address:port@generation".</summary>
    /// <exception cref="FormatException">The text has another form.</exception>
    public static SiloAddress Parse(string value, IFormatProvider? provider = null) =>
        TryParse(value, provider, out SiloAddress? result) ? result : throw new FormatException($"\"{value}\" is not a silo address; it should read address:port@generation.");

    /// <summary>Reads "address:port@generation".</summary>
    public static bool TryParse([NotNullWhen(true)] string? value, IFormatProvider? provider, [MaybeNullWhen(false)] out SiloAddress result)
    {
        result = null;
        int at = value?.LastIndexOf('@') ?? -1;
        if (at <= 0 || !IPEndPoint.TryParse(value.AsSpan(0, at), out IPEndPoint? endpoint)) return false;
        if (!int.TryParse(value.AsSpan(at + 1), NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out int generation)) return false;
        result = New(endpoint, generation);
        return true;
    }

    /// <inheritdoc/>
    public bool Equals(SiloAddress? other) => other is not null && Generation == other.Generation && Endpoint.Equals(other.Endpoint);

    /// <inheritdoc/>
    public override bool Equals(object? obj) => Equals(obj as SiloAddress);

    /// <inheritdoc/>
    public override int GetHashCode() => HashCode.Combine(Endpoint, Generation);

    /// <summary>Orders by address, port, generation.</summary>
    public int CompareTo(SiloAddress? other)
    {
        if (other is null) return 1;
        int order = ((ReadOnlySpan<byte>)Endpoint.Address.GetAddressBytes()).SequenceCompareTo(other.Endpoint.Address.GetAddressBytes());
        if (order == 0) order = Endpoint.Port.CompareTo(other.Endpoint.Port);
        return order != 0 ? order : Generation.CompareTo(other.Generation);
    }

    /// <inheritdoc/>
    public override string ToString() => string.Create(CultureInfo.InvariantCulture, $"{Endpoint}@{Generation}");
}
