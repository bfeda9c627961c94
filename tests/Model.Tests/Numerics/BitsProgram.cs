using System.Diagnostics;
using System.Runtime.InteropServices;
using System.Security.Cryptography;

namespace Conclave.Model.Tests.Numerics;

/// <summary>
/// The test assembly run as a program prints a hash of logits and the kernel tier: <see cref="ProcessorTests"/> starts it with parts of the processor switched off.
/// </summary>
public static class BitsProgram
{
    public static int Main(string[] args)
    {
        if (args.Length == 0)
        {
            Console.Error.WriteLine("Names of golden cases are needed; to run the tests, use dotnet test.");
            return 2;
        }

        foreach (var name in args)
        {
            using var golden = new GoldenCase(name);
            using var model = new TestModel(golden.Directory);
            var pages = model.NewSequence(golden.InputIds.Length);
            var (logits, _) = model.Run(pages, golden.InputIds.AsSpan(0, name == "dsa" ? 36 : 8), chunk: 34);
            Console.WriteLine($"{name} {Convert.ToHexString(SHA256.HashData(MemoryMarshal.AsBytes(logits.AsSpan())))}");
        }

        using var tier = new TestModel(new GoldenCase(args[0]).Directory);
        Console.WriteLine(tier.Transformer.KernelTier);
        return 0;
    }
}

public sealed class ProcessorTests
{
    [Fact]
    public async Task The_processor_changes_no_bit()
    {
        var full = await Run(null);
        Assert.Equal(full[..^1], (await Run("DOTNET_EnableAVX512"))[..^1]);
        Assert.Equal(full[..^1], (await Run("DOTNET_EnableAVX2"))[..^1]);
        var none = await Run("DOTNET_EnableHWIntrinsic");
        Assert.Equal(full[..^1], none[..^1]);
        Assert.Equal("Scalar", none[^1]);
    }

    private static async Task<string[]> Run(string? switchedOff)
    {
        var start = new ProcessStartInfo("dotnet", [typeof(BitsProgram).Assembly.Location, "tiny-f32", "fp8-aligned", "dsa"]) { RedirectStandardOutput = true, RedirectStandardError = true };
        if (switchedOff is not null)
            start.Environment[switchedOff] = "0";
        using var process = Process.Start(start)!;
        var error = process.StandardError.ReadToEndAsync();
        var output = await process.StandardOutput.ReadToEndAsync();
        await process.WaitForExitAsync();
        Assert.True(process.ExitCode == 0, await error);
        return output.Split('\n', StringSplitOptions.RemoveEmptyEntries);
    }
}
