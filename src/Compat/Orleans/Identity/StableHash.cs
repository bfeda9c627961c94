namespace Orleans.Runtime;

/// <summary>A hash that is the same in every process, unlike GetHashCode (FNV-1a, spread over all bits by Murmur3's last step).</summary>
internal static class StableHash
{
    public static uint Of(string text)
    {
        uint hash = 2166136261;
        foreach (char c in text) hash = (hash ^ c) * 16777619;
        return Spread(hash);
    }

    public static uint Of(ReadOnlySpan<byte> bytes, uint seed = 2166136261)
    {
        foreach (byte b in bytes) seed = (seed ^ b) * 16777619;
        return Spread(seed);
    }

    private static uint Spread(uint hash)
    {
        hash = (hash ^ (hash >> 16)) * 0x85EBCA6B;
        hash = (hash ^ (hash >> 13)) * 0xC2B2AE35;
        return hash ^ (hash >> 16);
    }
}
