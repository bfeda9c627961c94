using System.Runtime.InteropServices;

namespace Conclave.Grains.Transport;

/// <summary>What the elements of a payload are. Scales of FP8 rows are part of the payload, as the two ends agree by the request's kind.</summary>
public enum ElementType : byte
{
    /// <summary>Bytes without a type.</summary>
    Bytes = 0,

    /// <summary>32-bit float.</summary>
    F32 = 1,

    /// <summary>The upper half of a 32-bit float.</summary>
    BF16 = 2,

    /// <summary>8-bit float with 4 exponent and 3 mantissa bits, one F32 scale per 128 elements.</summary>
    F8E4M3 = 3,

    /// <summary>32-bit integer.</summary>
    I32 = 4,
}

/// <summary>What a frame is for; the application's requests are told apart by <see cref="FrameHeader.Kind"/>.</summary>
internal enum FrameType : byte
{
    Request = 1,
    Reply = 2,

    /// <summary>More bytes of a request or reply that was begun.</summary>
    Chunk = 3,
    Cancel = 4,
    Heartbeat = 5,

    /// <summary>The sender leaves in good order.</summary>
    Goodbye = 6,
}

/// <summary>
/// The fixed header of every frame: 64 bytes, little-endian, directly in front of the payload. A payload larger than a chunk follows in
/// several frames, so that heartbeats and other requests find their way in between.
/// </summary>
[StructLayout(LayoutKind.Explicit, Size = SizeBytes)]
internal struct FrameHeader
{
    public const int SizeBytes = 64;
    public const uint ExpectedMagic = 0x4C_43_4E_43; // "CNCL"
    public const byte ProtocolVersion = 1;

    [FieldOffset(0)] public uint Magic;
    [FieldOffset(4)] public byte Version;
    [FieldOffset(5)] public FrameType Type;
    [FieldOffset(6)] public ushort Kind;
    [FieldOffset(8)] public ulong RequestId;
    [FieldOffset(16)] public int Layer;
    [FieldOffset(20)] public CallStatus Status;
    [FieldOffset(21)] public ElementType ElementType;
    [FieldOffset(22)] public ushort Reserved;
    [FieldOffset(24)] public long MapVersion;
    [FieldOffset(32)] public int Rows;
    [FieldOffset(36)] public int Columns;

    /// <summary>Bytes of the whole payload.</summary>
    [FieldOffset(40)] public long PayloadBytes;

    /// <summary>Bytes that follow this header.</summary>
    [FieldOffset(48)] public int ChunkBytes;

    /// <summary>Milliseconds the caller still waits; 0 = no limit.</summary>
    [FieldOffset(52)] public int DeadlineMs;

    /// <summary>The sender's monotonic clock when the frame left, nanoseconds; read only where a link's delay is injected on one host.</summary>
    [FieldOffset(56)] public long SentNs;

    public static FrameHeader Of(FrameType type, ulong requestId = 0, int payloadBytes = 0) => new()
    {
        Magic = ExpectedMagic,
        Version = ProtocolVersion,
        Type = type,
        RequestId = requestId,
        PayloadBytes = payloadBytes,
        ChunkBytes = payloadBytes,
    };

    /// <summary>Why the header cannot be right, or null. Whatever a stranger sends, sizes are bounded after this.</summary>
    public readonly string? Fault(int maxPayloadBytes) =>
        Magic != ExpectedMagic ? $"magic is {Magic:x8}, not {ExpectedMagic:x8}"
        : Version != ProtocolVersion ? $"protocol version is {Version}, not {ProtocolVersion}"
        : Type is < FrameType.Request or > FrameType.Goodbye ? $"frame type is {(byte)Type}"
        : PayloadBytes < 0 || PayloadBytes > maxPayloadBytes ? $"payload of {PayloadBytes} bytes, at most {maxPayloadBytes}"
        : ChunkBytes < 0 || ChunkBytes > PayloadBytes ? $"chunk of {ChunkBytes} bytes in a payload of {PayloadBytes}"
        : Rows < 0 || Columns < 0 || DeadlineMs < 0 ? "negative rows, columns or deadline"
        : null;
}
