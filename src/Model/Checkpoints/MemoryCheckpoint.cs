using System.Runtime.InteropServices;
using System.Text;

namespace Conclave.Model.Checkpoints;

/// <summary>
/// A checkpoint of random weights that exists in memory only, for measurements of layers as large as memory: made as fast as memory can be written, since a block of random values is
/// repeated with an odd period. The weights mean nothing; <see cref="Synthesizer"/> makes reproducible ones.
/// </summary>
public sealed unsafe class MemoryCheckpoint : IDisposable
{
    // No divisor in common with the width of any matrix, so that no two of its rows are alike.
    private const int PeriodElements = (1 << 20) + 40;
    private const long PieceSizeBytes = 8 << 20;
    private const long AlignmentBytes = 64;
    private readonly byte* _data;

    private MemoryCheckpoint(Checkpoint checkpoint, byte* data)
    {
        Checkpoint = checkpoint;
        _data = data;
    }

    /// <summary>The tensors, valid until disposal.</summary>
    public Checkpoint Checkpoint { get; }

    /// <summary>Bytes that the tensors of <paramref name="config"/> take.</summary>
    public static long SizeBytes(ModelConfig config, DType weights) => Plan(config, weights).Sum(part => Aligned(part.SizeBytes));

    /// <summary>Fills memory with all tensors of <paramref name="config"/>.</summary>
    /// <param name="config">The architecture.</param>
    /// <param name="weights">Type of the large matrices: <see cref="DType.BF16"/>, or <see cref="DType.F8E4M3"/> in blocks.</param>
    /// <param name="workers">Threads that write.</param>
    /// <param name="progress">Told the bytes written so far.</param>
    /// <param name="cancellation">Stops between two pieces.</param>
    public static MemoryCheckpoint Make(ModelConfig config, DType weights, WorkerPool workers, IProgress<long>? progress = null, CancellationToken cancellation = default)
    {
        var parts = Plan(config, weights).ToList();
        var size = parts.Sum(part => Aligned(part.SizeBytes));
        var data = (byte*)NativeMemory.AlignedAlloc((nuint)size, HugePages.SizeBytes);
        HugePages.Advise(data, size);
        try
        {
            var tensors = new Dictionary<string, TensorView>(parts.Count, StringComparer.Ordinal);
            var at = data;
            foreach (var part in parts)
            {
                cancellation.ThrowIfCancellationRequested();
                var loop = new CopyLoop { Pattern = part.Pattern, Destination = at, SizeBytes = part.SizeBytes, Offset = OffsetOf(part) };
                fixed (byte* pattern = part.Pattern)
                {
                    loop.Source = pattern;
                    workers.Run(ref loop, (int)((part.SizeBytes + PieceSizeBytes - 1) / PieceSizeBytes), 1);
                }

                tensors.Add(part.Name, new TensorView(part.Name, part.Type, part.Shape, (nint)at, part.SizeBytes));
                at += Aligned(part.SizeBytes);
                progress?.Report(at - data);
            }

            foreach (var expected in TensorCatalog.All(config).Where(expected => !tensors.ContainsKey(expected.Name)))
                tensors.Add(expected.Name, tensors[expected.SharedWith!]);
            return new MemoryCheckpoint(Checkpoint.Of(config, tensors), data);
        }
        catch
        {
            NativeMemory.AlignedFree(data);
            throw;
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        Checkpoint.Dispose();
        NativeMemory.AlignedFree(_data);
    }

    private static long Aligned(long size) => (size + AlignmentBytes - 1) / AlignmentBytes * AlignmentBytes;

    /// <summary>Where in the pattern a tensor begins, a multiple of an element's size: others begin elsewhere.</summary>
    private static long OffsetOf(Part part)
    {
        var hash = 0xCBF29CE484222325;
        foreach (var octet in Encoding.UTF8.GetBytes(part.Name))
            hash = (hash ^ octet) * 0x100000001B3;
        return (long)(hash % (ulong)(part.Pattern.Length / 16)) * 16;
    }

    private static IEnumerable<Part> Plan(ModelConfig config, DType weights)
    {
        var codes = new byte[PeriodElements];
        new RandomWeights(1, "codes").FillE4M3(0, codes);
        var matrix = BFloat16(0, 1 / MathF.Sqrt(config.HiddenSize));
        var ones = BFloat16(1, 0);
        foreach (var tensor in TensorCatalog.Stored(config))
        {
            var type = TensorCatalog.StoredType(tensor.Role, weights);
            var pattern = type == DType.F8E4M3 ? codes : tensor.Role == TensorRole.Scale ? ones : type == DType.F32 ? new byte[64] : matrix;
            yield return new Part(tensor.Name, type, tensor.Shape, tensor.ElementCount * type.SizeBytes(), pattern);
            if (type != DType.F8E4M3)
                continue;
            var shape = TensorCatalog.ScaleShape(tensor.Shape);
            float[] scale = [.. Enumerable.Repeat(RandomWeights.BlockScale(1 / MathF.Sqrt(tensor.Shape[1])), 16)];
            yield return new Part(TensorCatalog.ScaleName(tensor.Name), DType.F32, shape, shape[0] * shape[1] * sizeof(float), MemoryMarshal.AsBytes<float>(scale).ToArray());
        }
    }

    private static byte[] BFloat16(float mean, float deviation)
    {
        var values = new ushort[PeriodElements];
        new RandomWeights(1, "matrix").FillBFloat16(0, values, mean, deviation);
        return MemoryMarshal.AsBytes<ushort>(values).ToArray();
    }

    private sealed record Part(string Name, DType Type, long[] Shape, long SizeBytes, byte[] Pattern);

    /// <summary>Repeats the pattern; an item is a piece of the tensor.</summary>
    private struct CopyLoop : IParallelLoop
    {
        public byte[] Pattern;
        public byte* Source;
        public byte* Destination;
        public long SizeBytes;
        public long Offset;

        public readonly void Run(int start, int end, int worker)
        {
            long at = start * PieceSizeBytes, stop = Math.Min(end * PieceSizeBytes, SizeBytes);
            while (at < stop)
            {
                var from = (Offset + at) % Pattern.Length;
                var count = Math.Min(stop - at, Pattern.Length - from);
                NativeMemory.Copy(Source + from, Destination + at, (nuint)count);
                at += count;
            }
        }
    }
}
