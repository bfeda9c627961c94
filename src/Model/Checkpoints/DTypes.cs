namespace Conclave.Model.Checkpoints;

/// <summary>Element types: their safetensors names and sizes.</summary>
public static class DTypes
{
    /// <summary>Bits of an element of every type that the format defines, used here or not.</summary>
    internal static readonly IReadOnlyDictionary<string, int> BitSizes = new Dictionary<string, int>
    {
        ["F4"] = 4,
        ["F6_E2M3"] = 6,
        ["F6_E3M2"] = 6,
        ["BOOL"] = 8,
        ["U8"] = 8,
        ["I8"] = 8,
        ["F8_E5M2"] = 8,
        ["F8_E4M3"] = 8,
        ["F8_E8M0"] = 8,
        ["I16"] = 16,
        ["U16"] = 16,
        ["F16"] = 16,
        ["BF16"] = 16,
        ["I32"] = 32,
        ["U32"] = 32,
        ["F32"] = 32,
        ["I64"] = 64,
        ["U64"] = 64,
        ["F64"] = 64,
        ["C64"] = 64,
    };

    /// <summary>Bytes of one element.</summary>
    public static int SizeBytes(this DType type) => BitSizes[type.Name()] / 8;

    /// <summary>The name in a safetensors header.</summary>
    public static string Name(this DType type) => type == DType.F8E4M3 ? "F8_E4M3" : type.ToString();

    /// <summary>The type called <paramref name="name"/>, null where this program does not read it.</summary>
    public static DType? Parse(string name) => name switch
    {
        "F32" => DType.F32,
        "F16" => DType.F16,
        "BF16" => DType.BF16,
        "F8_E4M3" => DType.F8E4M3,
        "I32" => DType.I32,
        _ => null,
    };
}
