using System.Text;
using Conclave.Model.Checkpoints;
using static Conclave.Model.Tests.Checkpoints.RawFile;

namespace Conclave.Model.Tests.Checkpoints;

public sealed unsafe class SafetensorsFileTests : IDisposable
{
    private readonly TemporaryDirectory _directory = new();

    public void Dispose() => _directory.Dispose();

    [Fact]
    public void Tensors_of_every_kind_are_found_in_place()
    {
        var header = "{\"__metadata__\":{\"format\":\"pt\"}," + string.Join(",",
            Entry("bytes", "F8_E4M3", "3", "0", "3"),
            Entry("halves", "BF16", "2,2", "3", "11"),
            Entry("scalar", "F32", "", "11", "15"),
            Entry("empty", "F16", "0,9223372036854775807", "15", "15"),
            Entry("counts", "I64", "1", "15", "23"),
            Entry("future", "F3_X", "5", "23", "24")) + "}  ";
        using var file = Open(Of(header, 24));

        Assert.Equal(["bytes", "empty", "halves", "scalar"], file.Tensors.Keys.Order());
        Assert.Equal(["I64", "F3_X"], file.UnsupportedTensors.Values);
        Assert.Equal([2, 2], file.Tensors["halves"].Shape);
        Assert.Empty(file.Tensors["scalar"].Shape);
        Assert.Equal(0, file.Tensors["empty"].SizeBytes);
        // The data begins at whatever byte the header ends, so nothing is aligned.
        Assert.Equal(3, *(byte*)file.Tensors["halves"].Data);
        Assert.Equal(14, ((byte*)file.Tensors["scalar"].Data)[3]);
    }

    public static TheoryData<string, string, int, string> BadHeaders() => new()
    {
        { "not JSON", "{\"a\":", 0, "not valid JSON" },
        { "not an object", "[1,2]", 0, "not a JSON object" },
        { "empty", "", 0, "not valid JSON" },
        { "deep", new string('[', 500) + new string(']', 500), 0, "not valid JSON" },
        { "half a surrogate", "{\"\\ud800\":{}}", 0, "not valid JSON" },
        { "duplicate", "{" + Entry("w", "F32", "1", "0", "4") + "," + Entry("w", "F32", "1", "4", "8") + "}", 8, "w" },
        { "entry is a number", "{\"w\":7}", 0, "tensor w: its header entry" },
        { "no dtype", "{\"w\":{\"shape\":[1],\"data_offsets\":[0,4]}}", 4, "tensor w: its dtype" },
        { "no shape", "{\"w\":{\"dtype\":\"F32\",\"data_offsets\":[0,4]}}", 4, "tensor w: its shape" },
        { "negative shape", "{" + Entry("w", "F32", "-1", "0", "4") + "}", 4, "tensor w: its shape" },
        { "fractional shape", "{" + Entry("w", "F32", "1.5", "0", "4") + "}", 4, "tensor w: its shape" },
        { "shape above 2^63", "{" + Entry("w", "F32", "9223372036854775808", "0", "4") + "}", 4, "tensor w: its shape" },
        { "shape overflows", "{" + Entry("w", "F32", "4611686018427387905,4", "0", "4") + "}", 4, "tensor w: shape [4611686018427387905, 4]" },
        { "shape overflows twice", "{" + Entry("w", "F32", "4611686018427387904,4611686018427387904,4611686018427387904", "0", "0") + "}", 0, "tensor w: shape" },
        { "wrong size", "{" + Entry("w", "F32", "2", "0", "4") + "}", 4, "tensor w: shape [2] of F32 does not take the 4 bytes" },
        { "half a byte", "{" + Entry("w", "F4", "1", "0", "1") + "}", 1, "tensor w: shape" },
        { "one offset", "{\"w\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0]}}", 4, "tensor w: its data_offsets" },
        { "descending", "{" + Entry("w", "F32", "1", "4", "0") + "}", 4, "tensor w: its data_offsets" },
        { "negative offset", "{" + Entry("w", "F32", "1", "-4", "0") + "}", 4, "tensor w: its data_offsets" },
        { "out of range", "{" + Entry("w", "F32", "2", "0", "8") + "}", 4, "tensor w: its data ends at byte 8" },
        { "far out of range", "{" + Entry("w", "F32", "1", "9223372036854775803", "9223372036854775807") + "}", 4, "tensor w: its data ends" },
        { "overlap", "{" + Entry("v", "F32", "2", "0", "8") + "," + Entry("w", "F32", "1", "4", "8") + "}", 8, "tensor w overlaps v" },
        { "same place", "{" + Entry("v", "F32", "1", "0", "4") + "," + Entry("w", "F32", "1", "0", "4") + "}", 4, "overlaps" },
        { "hole", "{" + Entry("v", "F32", "1", "0", "4") + "," + Entry("w", "F32", "1", "8", "12") + "}", 12, "tensor w begins at byte 8" },
        { "trailing bytes", "{" + Entry("v", "F32", "1", "0", "4") + "}", 9, "9 bytes of data" },
    };

    [Theory]
    [MemberData(nameof(BadHeaders))]
    public void A_bad_header_is_an_error_that_names_file_and_tensor(string what, string header, int dataSizeBytes, string expected)
    {
        var error = Assert.Throws<CheckpointException>(() => Open(Of(header, dataSizeBytes)).Dispose());

        Assert.Contains("x.safetensors", error.Message, StringComparison.Ordinal);
        Assert.True(error.Message.Contains(expected, StringComparison.Ordinal), $"{what}: {error.Message}");
    }

    [Fact]
    public void A_name_that_is_not_utf8_is_an_error()
    {
        var bytes = Of("{" + Entry("wxyz", "F32", "1", "0", "4") + "}", 4);
        bytes[bytes.AsSpan().IndexOf("wxyz"u8)] = 0xFF;

        Assert.Contains("not valid JSON", Assert.Throws<CheckpointException>(() => Open(bytes)).Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(0UL, "not valid JSON")]
    [InlineData(1000UL, "truncated")]
    [InlineData(100_000_001UL, "limit")]
    [InlineData(1UL << 63, "limit")]
    [InlineData(ulong.MaxValue, "limit")]
    public void An_absurd_header_size_is_an_error(ulong size, string expected)
    {
        var bytes = Of("{}", 0);
        BitConverter.TryWriteBytes(bytes, size);

        Assert.Contains(expected, Assert.Throws<CheckpointException>(() => Open(bytes)).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Every_truncation_is_an_error()
    {
        var bytes = Of("{" + Entry("v", "F32", "1", "0", "4") + "," + Entry("w", "F32", "1", "4", "8") + "}", 8);
        for (var length = 0; length < bytes.Length; length++)
        {
            var error = Assert.Throws<CheckpointException>(() => Open(bytes[..length]));
            Assert.Contains("x.safetensors", error.Message, StringComparison.Ordinal);
        }
    }

    [Fact]
    public void Damaged_bytes_give_views_inside_the_map_or_an_error_and_nothing_else()
    {
        var header = "{" + string.Join(",", Entry("a", "F32", "2,3", "0", "24"), Entry("b", "BF16", "4", "24", "32"), Entry("c", "F8_E4M3", "8", "32", "40")) + "}";
        var valid = Of(header, 40);
        var random = new Random(20240607);
        var opened = 0;
        for (var round = 0; round < 600; round++)
        {
            var bytes = valid.ToArray();
            for (var change = random.Next(1, 4); change > 0; change--)
                bytes[random.Next(bytes.Length)] = random.Next(3) == 0 ? (byte)random.Next(256) : (byte)"0123456789\",:[]{}-eF"[random.Next(20)];
            if (random.Next(8) == 0)
                bytes = bytes[..random.Next(bytes.Length)];
            opened += TryRead(bytes) ? 1 : 0;
        }
        Assert.InRange(opened, 1, 599);
    }

    /// <summary>Reads every byte of every view: one outside the map would end the process.</summary>
    private bool TryRead(byte[] bytes)
    {
        var allocated = GC.GetAllocatedBytesForCurrentThread();
        try
        {
            using var file = Open(bytes);
            foreach (var tensor in file.Tensors.Values)
            {
                var sum = 0;
                for (var i = 0L; i < tensor.SizeBytes; i++)
                    sum += ((byte*)tensor.Data)[i];
                Assert.InRange(tensor.SizeBytes, 0, bytes.Length);
                Assert.InRange(sum, 0, 255 * bytes.Length);
            }
            return true;
        }
        catch (CheckpointException error)
        {
            Assert.NotEmpty(error.Message);
            return false;
        }
        finally
        {
            Assert.InRange(GC.GetAllocatedBytesForCurrentThread() - allocated, 0, 1 << 20);
        }
    }

    [Fact]
    public void A_missing_file_and_a_directory_are_errors()
    {
        Assert.Throws<CheckpointException>(() => SafetensorsFile.Open(_directory.PathTo("absent.safetensors")));
        Assert.Throws<CheckpointException>(() => SafetensorsFile.Open(_directory.Root));
    }

    [Fact]
    public void Data_beyond_two_gigabytes_is_in_reach()
    {
        const long FarBytes = 3L << 30;
        var path = _directory.PathTo("x.safetensors");
        var header = Of("{" + Entry("far", "F8_E4M3", $"{FarBytes}", "0", $"{FarBytes}") + "," + Entry("last", "F32", "1", $"{FarBytes}", $"{FarBytes + 4}") + "}", 0);
        using (var stream = File.Create(path))
        {
            stream.Write(header);
            stream.Position += FarBytes; // sparse: takes no space
            stream.Write("abcd"u8);
        }
        using var file = SafetensorsFile.Open(path);

        Assert.Equal("abcd", Encoding.ASCII.GetString((byte*)file.Tensors["last"].Data, 4));
        Assert.Equal(FarBytes, file.Tensors["far"].SizeBytes);
    }

    private SafetensorsFile Open(byte[] bytes)
    {
        var path = _directory.PathTo("x.safetensors");
        File.WriteAllBytes(path, bytes);
        return SafetensorsFile.Open(path);
    }
}
