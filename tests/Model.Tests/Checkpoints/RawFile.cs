using System.Buffers.Binary;
using System.Text;

namespace Conclave.Model.Tests.Checkpoints;

/// <summary>Safetensors files byte by byte, valid or not.</summary>
internal static class RawFile
{
    public static byte[] Of(string header, int dataSizeBytes)
    {
        var json = Encoding.UTF8.GetBytes(header);
        var bytes = new byte[8 + json.Length + dataSizeBytes];
        BinaryPrimitives.WriteInt64LittleEndian(bytes, json.Length);
        json.CopyTo(bytes, 8);
        for (var i = 0; i < dataSizeBytes; i++)
            bytes[8 + json.Length + i] = (byte)i;
        return bytes;
    }

    public static string Entry(string name, string dtype, string shape, string begin, string end) =>
        $$"""
        "{{name}}":{"dtype":"{{dtype}}","shape":[{{shape}}],"data_offsets":[{{begin}},{{end}}]}
        """;
}
