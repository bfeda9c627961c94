using System.Diagnostics;
using Conclave.Model;
using Conclave.Model.Checkpoints;
using Conclave.Model.Kernels;

namespace Conclave.Cli.Commands.Bench;

/// <summary>
/// Products of one shape with weights of one type: so many different matrices, one after the other, that their weights come from memory. Each thread computes matrices of its own, and arranges the rows
/// for each of them.
/// </summary>
internal sealed unsafe class KernelRun : IDisposable
{
    private const double SlotSeconds = 0.04;
    private readonly Arena _memory = new();
    private readonly WorkerPool _workers;
    private readonly Weight[] _weights;
    private readonly nint _inputs;
    private readonly nint[] _arranged;
    private readonly nint[] _outputs;
    private readonly nint[] _scratch;
    private int _next;

    /// <param name="workers">Threads.</param>
    /// <param name="type">Stored type.</param>
    /// <param name="isInt8">Products in 8 bits, of weights rounded anew.</param>
    /// <param name="outputs">Rows of a matrix.</param>
    /// <param name="inputs">Columns of a matrix.</param>
    /// <param name="mostRows">Most rows that are multiplied.</param>
    /// <param name="sizeBytes">Bytes of all matrices, about.</param>
    /// <param name="offset">Bytes behind the beginning of a cache line at which the first matrix begins.</param>
    public KernelRun(WorkerPool workers, DType type, bool isInt8, int outputs, int inputs, int mostRows, long sizeBytes, int offset)
    {
        _workers = workers;
        var random = new Random(7);
        var model = new Weight((byte*)0, type, outputs, inputs);
        long stored = (long)outputs * inputs * model.ElementSizeBytes;
        int blocks = (outputs + Weight.BlockSize - 1) / Weight.BlockSize * ((inputs + Weight.BlockSize - 1) / Weight.BlockSize);
        MatrixSizeBytes = isInt8 ? Int8Matrix.SizeBytes(outputs, inputs) : stored + (type == DType.F8E4M3 ? blocks * sizeof(float) : 0);
        var scales = type == DType.F8E4M3 ? _memory.Floats(blocks) : null;
        for (int i = 0; scales != null && i < blocks; i++) scales[i] = 0.01f + random.NextSingle();
        _weights = new Weight[(int)Math.Clamp(sizeBytes / MatrixSizeBytes, workers.ThreadCount, 1 << 16)];
        byte* first = (byte*)_memory.Bytes(stored), all = isInt8 ? first : (byte*)_memory.Bytes((stored * _weights.Length) + offset) + offset;
        Fill(first, type, (long)outputs * inputs, random);
        for (int i = 0; i < _weights.Length; i++)
        {
            if (isInt8)
            {
                var weight = new Weight(first, type, outputs, inputs, scales);
                _weights[i] = weight.With(Int8Matrix.Make(weight, (byte*)_memory.Bytes(MatrixSizeBytes)));
                continue;
            }

            Buffer.MemoryCopy(first, all + (i * stored), stored, stored);
            _weights[i] = new Weight(all + (i * stored), type, outputs, inputs, scales);
        }

        float* x = _memory.Floats((long)mostRows * inputs);
        for (long i = 0; i < (long)mostRows * inputs; i++) x[i] = (2 * random.NextSingle()) - 1;
        _inputs = (nint)x;
        _outputs = [.. Enumerable.Range(0, workers.ThreadCount).Select(_ => (nint)_memory.Floats((long)mostRows * outputs))];
        _arranged = [.. Enumerable.Range(0, workers.ThreadCount).Select(_ => (nint)_memory.Floats(Linear.InputFloats(inputs, mostRows)))];
        _scratch = [.. Enumerable.Range(0, workers.ThreadCount).Select(_ => (nint)_memory.Floats(Linear.ScratchFloats(inputs)))];
    }

    /// <summary>Bytes that a product reads of its matrix, scales included.</summary>
    public long MatrixSizeBytes { get; }

    /// <summary>Seconds of one product with <paramref name="rows"/> rows, the threads together: of a slot of some hundredths of a second.</summary>
    public double Measure(int rows)
    {
        int count = _workers.ThreadCount;
        double seconds = Slot(rows, count);
        count = (int)Math.Clamp(SlotSeconds / seconds, count, _weights.Length);
        return Slot(rows, count);
    }

    public void Dispose() => _memory.Dispose();

    private double Slot(int rows, int count)
    {
        var loop = new Products { Of = this, First = _next, Rows = rows };
        long start = Stopwatch.GetTimestamp();
        _workers.Run(ref loop, count, 1);
        double seconds = Stopwatch.GetElapsedTime(start).TotalSeconds / count;
        _next = (_next + count) % _weights.Length;
        return seconds;
    }

    private void Multiply(int matrix, int rows, int worker)
    {
        ref readonly Weight weight = ref _weights[matrix % _weights.Length];
        var arranged = (float*)_arranged[worker];
        Linear.Arrange(weight, new RowSet((float*)_inputs, weight.Columns), rows, 0, Linear.Tiles(rows), arranged);
        KernelSet.Best.Linear(weight, 0, weight.Rows, arranged, rows, new RowSet((float*)_outputs[worker], weight.Rows), (float*)_scratch[worker]);
    }

    /// <summary>Numbers of ordinary size, neither zero nor subnormal nor NaN.</summary>
    private static void Fill(byte* data, DType type, long count, Random random)
    {
        for (long i = 0; i < count; i++)
        {
            float value = (random.Next(2) == 0 ? -1 : 1) * (0.25f + random.NextSingle());
            switch (type)
            {
                case DType.F32: ((float*)data)[i] = value; break;
                case DType.BF16: ((ushort*)data)[i] = (ushort)(BitConverter.SingleToUInt32Bits(value) >> 16); break;
                default: data[i] = Fp8.Encode(value); break;
            }
        }
    }

    private struct Products : IParallelLoop
    {
        public KernelRun Of;
        public int First;
        public int Rows;

        public readonly void Run(int start, int end, int worker)
        {
            for (int matrix = start; matrix < end; matrix++) Of.Multiply(First + matrix, Rows, worker);
        }
    }
}
