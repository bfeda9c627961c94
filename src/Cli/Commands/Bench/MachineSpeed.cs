using System.Diagnostics;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;
using Conclave.Model;
using Conclave.Model.Checkpoints;

namespace Conclave.Cli.Commands.Bench;

/// <summary>
/// What this machine can give at best, so that other figures can be told as shares of it: reading a buffer far larger than the caches, and fused multiply-adds between registers.
/// Machines that share a host give more or less from second to second: measure beside what is compared.
/// </summary>
internal sealed unsafe class MachineSpeed : IDisposable
{
    private const long PieceSizeBytes = 1 << 20;
    private readonly WorkerPool _workers;
    private readonly long _sizeBytes;
    private readonly byte* _buffer;
    private readonly List<double> _memory = [];
    private readonly List<double> _fma = [];

    /// <param name="workers">Threads that read and multiply.</param>
    /// <param name="sizeBytes">Size of the buffer to read.</param>
    public MachineSpeed(WorkerPool workers, long sizeBytes)
    {
        _workers = workers;
        _sizeBytes = Math.Max(sizeBytes / PieceSizeBytes, 1) * PieceSizeBytes;
        _buffer = (byte*)NativeMemory.AlignedAlloc((nuint)_sizeBytes, (nuint)HugePages.SizeBytes);
        HugePages.Advise(_buffer, _sizeBytes);
        new Span<float>(_buffer, (int)(PieceSizeBytes / sizeof(float))).Fill(1);
        for (long i = PieceSizeBytes; i < _sizeBytes; i += PieceSizeBytes) NativeMemory.Copy(_buffer, _buffer + i, (nuint)PieceSizeBytes);
    }

    /// <summary>Median of the bandwidths measured, GB/s.</summary>
    public double MemoryGigabytesPerSecond => Median(_memory);

    /// <summary>Median of the rates measured, GFLOP/s; a fused multiply-add counts two.</summary>
    public double FmaGigaflops => Median(_fma);

    /// <summary>The middle value, or the mean of the two middle ones; NaN of none.</summary>
    public static double Median(IEnumerable<double> values)
    {
        double[] sorted = [.. values.Order()];
        return sorted.Length == 0 ? double.NaN : (sorted[sorted.Length / 2] + sorted[(sorted.Length - 1) / 2]) / 2;
    }

    /// <summary>Reads the buffer <paramref name="passes"/> times, then multiplies for some milliseconds, and takes note of both. Returns the bandwidth of the moment, GB/s.</summary>
    public double Measure(int passes = 3) => MeasureBoth(passes).GigabytesPerSecond;

    /// <summary>As <see cref="Measure"/>; returns both, GB/s and GFLOP/s.</summary>
    public (double GigabytesPerSecond, double Gigaflops) MeasureBoth(int passes = 1)
    {
        var bandwidths = new List<double>();
        for (int i = 0; i < passes; i++)
        {
            var read = new ReadLoop { Buffer = _buffer };
            long start = Stopwatch.GetTimestamp();
            _workers.Run(ref read, (int)(_sizeBytes / PieceSizeBytes), 1);
            bandwidths.Add(_sizeBytes / Stopwatch.GetElapsedTime(start).TotalSeconds / 1e9);
        }

        const int Items = 200, Rounds = 4000;
        var multiply = new MultiplyLoop { Rounds = Rounds };
        long begin = Stopwatch.GetTimestamp();
        _workers.Run(ref multiply, Items, 1);
        _fma.Add((double)Items * Rounds * MultiplyLoop.FlopsPerRound / Stopwatch.GetElapsedTime(begin).TotalSeconds / 1e9);
        double bandwidth = Median(bandwidths);
        _memory.Add(bandwidth);
        return (bandwidth, _fma[^1]);
    }

    public void Dispose() => NativeMemory.AlignedFree(_buffer);

    /// <summary>Reads pieces, sixteen cache lines under way at a time.</summary>
    private struct ReadLoop : IParallelLoop
    {
        public byte* Buffer;

        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        public readonly void Run(int start, int end, int worker)
        {
            float* at = (float*)(Buffer + (start * PieceSizeBytes)), stop = (float*)(Buffer + (end * PieceSizeBytes));
            Vector512<float> a = default, b = default, c = default, d = default;
            for (; at < stop; at += 128)
            {
                a += Vector512.Load(at);
                b += Vector512.Load(at + 16);
                c += Vector512.Load(at + 32);
                d += Vector512.Load(at + 48);
                a += Vector512.Load(at + 64);
                b += Vector512.Load(at + 80);
                c += Vector512.Load(at + 96);
                d += Vector512.Load(at + 112);
            }

            Keep(Vector512.Sum(a + b + (c + d)));
        }
    }

    /// <summary>Twelve chains of dependent multiply-adds: enough to fill both units of a core.</summary>
    private struct MultiplyLoop : IParallelLoop
    {
        public int Rounds;

        /// <summary>Floating-point operations of one round of one item.</summary>
        public static int FlopsPerRound => 2 * 12 * 16 * 2;

        public readonly void Run(int start, int end, int worker)
        {
            for (int item = start; item < end; item++) Keep(Avx512F.IsSupported ? Wide(Rounds) : Narrow(Rounds));
        }

        // Not inlined: into a loop it comes to wait for memory.
        [MethodImpl(MethodImplOptions.AggressiveOptimization | MethodImplOptions.NoInlining)]
        private static float Wide(int rounds)
        {
            Vector512<float> x = Vector512.Create(0.999f), y = Vector512.Create(0.001f);
            Vector512<float> a = x, b = x, c = x, d = x, e = x, f = x, g = x, h = x, i = x, j = x, k = x, l = x;
            for (int round = 0; round < 2 * rounds; round++)
            {
                a = Vector512.FusedMultiplyAdd(a, x, y);
                b = Vector512.FusedMultiplyAdd(b, x, y);
                c = Vector512.FusedMultiplyAdd(c, x, y);
                d = Vector512.FusedMultiplyAdd(d, x, y);
                e = Vector512.FusedMultiplyAdd(e, x, y);
                f = Vector512.FusedMultiplyAdd(f, x, y);
                g = Vector512.FusedMultiplyAdd(g, x, y);
                h = Vector512.FusedMultiplyAdd(h, x, y);
                i = Vector512.FusedMultiplyAdd(i, x, y);
                j = Vector512.FusedMultiplyAdd(j, x, y);
                k = Vector512.FusedMultiplyAdd(k, x, y);
                l = Vector512.FusedMultiplyAdd(l, x, y);
            }

            return Vector512.Sum(a + b + c + d + e + f + (g + h + i + j + k + l));
        }

        // Not inlined: into a loop it comes to wait for memory.
        [MethodImpl(MethodImplOptions.AggressiveOptimization | MethodImplOptions.NoInlining)]
        private static float Narrow(int rounds)
        {
            Vector256<float> x = Vector256.Create(0.999f), y = Vector256.Create(0.001f);
            Vector256<float> a = x, b = x, c = x, d = x, e = x, f = x, g = x, h = x, i = x, j = x, k = x, l = x;
            for (int round = 0; round < 4 * rounds; round++)
            {
                a = Vector256.FusedMultiplyAdd(a, x, y);
                b = Vector256.FusedMultiplyAdd(b, x, y);
                c = Vector256.FusedMultiplyAdd(c, x, y);
                d = Vector256.FusedMultiplyAdd(d, x, y);
                e = Vector256.FusedMultiplyAdd(e, x, y);
                f = Vector256.FusedMultiplyAdd(f, x, y);
                g = Vector256.FusedMultiplyAdd(g, x, y);
                h = Vector256.FusedMultiplyAdd(h, x, y);
                i = Vector256.FusedMultiplyAdd(i, x, y);
                j = Vector256.FusedMultiplyAdd(j, x, y);
                k = Vector256.FusedMultiplyAdd(k, x, y);
                l = Vector256.FusedMultiplyAdd(l, x, y);
            }

            return Vector256.Sum(a + b + c + d + e + f + (g + h + i + j + k + l));
        }
    }

    /// <summary>Keeps a result, so that the loop which made it cannot be left out.</summary>
    [MethodImpl(MethodImplOptions.NoInlining)]
    private static void Keep(float value) => _ = value;
}
