using Conclave.Model.Kernels;

namespace Conclave.Model;

/// <summary>Fills KV pages with random latents and indexer keys, as if that many tokens had been computed: contexts for measurements, of any length at once.</summary>
public static unsafe class KvFiller
{
    /// <summary>Fills positions 0 to <paramref name="tokens"/> of all layers and sets the table's length. Values are uniform with variance 1, as a norm leaves them.</summary>
    public static void Fill(KvLayout layout, KvPageTable pages, int tokens, ulong seed)
    {
        ArgumentOutOfRangeException.ThrowIfGreaterThan(tokens, pages.Capacity);
        var row = new float[Math.Max(layout.LatentWidth, layout.IndexKeyWidth)];
        var state = (seed * 2) + 1;
        fixed (float* values = row)
        {
            for (var layer = 0; layer < layout.LayerCount; layer++)
            {
                for (var position = 0; position < tokens; position++)
                {
                    Randomize(values, layout.LatentWidth, ref state);
                    KvRows.StoreLatent(layout, values, pages.LatentRow(layout, layer, position));
                    if (layout.IndexKeyWidth == 0)
                        continue;
                    Randomize(values, layout.IndexKeyWidth, ref state);
                    KvRows.StoreIndexKey(layout, values, pages.IndexBlock(layout, layer, position), position % KvLayout.BlockTokens);
                }
            }
        }

        pages.Length = tokens;
    }

    private static void Randomize(float* values, int count, ref ulong state)
    {
        const float Range = 3.4641016f / (1 << 24);
        for (var i = 0; i < count; i++)
        {
            state = (state * 6364136223846793005) + 1442695040888963407;
            values[i] = ((int)(state >> 40) - (1 << 23)) * Range;
        }
    }
}
