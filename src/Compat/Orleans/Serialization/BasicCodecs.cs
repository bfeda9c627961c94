using System.Net;
using System.Reflection;
using System.Runtime.CompilerServices;
using Orleans.Runtime;

namespace Orleans.Serialization;

/// <summary>Codecs of single values.</summary>
internal static class BasicCodecs
{
    public static IEnumerable<Codec> All() =>
    [
        new ValueCodec<bool>((w, v) => w.Byte(v ? (byte)1 : (byte)0), r => r.Byte() != 0),
        new ValueCodec<byte>((w, v) => w.Byte(v), r => r.Byte()),
        new ValueCodec<sbyte>((w, v) => w.Byte((byte)v), r => (sbyte)r.Byte()),
        new ValueCodec<short>((w, v) => w.Unmanaged(v), r => r.Unmanaged<short>()),
        new ValueCodec<ushort>((w, v) => w.Unmanaged(v), r => r.Unmanaged<ushort>()),
        new ValueCodec<char>((w, v) => w.Unmanaged(v), r => r.Unmanaged<char>()),
        new ValueCodec<int>((w, v) => w.Signed(v), r => Narrow<int>(r.Signed())),
        new ValueCodec<uint>((w, v) => w.Unsigned(v), r => r.Unsigned() is <= uint.MaxValue and var v ? (uint)v : throw OutOfRange<uint>()),
        new ValueCodec<long>((w, v) => w.Signed(v), r => r.Signed()),
        new ValueCodec<ulong>((w, v) => w.Unsigned(v), r => r.Unsigned()),
        new ValueCodec<float>((w, v) => w.Unmanaged(v), r => r.Unmanaged<float>()),
        new ValueCodec<double>((w, v) => w.Unmanaged(v), r => r.Unmanaged<double>()),
        new ValueCodec<Half>((w, v) => w.Unmanaged(v), r => r.Unmanaged<Half>()),
        new ValueCodec<decimal>(WriteDecimal, r => Checked(() => new decimal([r.Unmanaged<int>(), r.Unmanaged<int>(), r.Unmanaged<int>(), r.Unmanaged<int>()]))),
        new ValueCodec<string?>((w, v) => w.String(v), r => r.String()),
        new ValueCodec<Guid>((w, v) => w.Unmanaged(v), r => r.Unmanaged<Guid>()),
        new ValueCodec<TimeSpan>((w, v) => w.Signed(v.Ticks), r => new TimeSpan(r.Signed())),
        new ValueCodec<DateTime>((w, v) => w.Signed(v.ToBinary()), r => Checked(() => DateTime.FromBinary(r.Signed()))),
        new ValueCodec<DateTimeOffset>(WriteDateTimeOffset, r => Checked(() => new DateTimeOffset(r.Signed(), new TimeSpan(r.Signed())))),
        new ValueCodec<DateOnly>((w, v) => w.Signed(v.DayNumber), r => Checked(() => DateOnly.FromDayNumber(Narrow<int>(r.Signed())))),
        new ValueCodec<TimeOnly>((w, v) => w.Signed(v.Ticks), r => Checked(() => new TimeOnly(r.Signed()))),
        new ValueCodec<Uri?>((w, v) => w.String(v?.OriginalString), r => r.String() is { } s ? Checked(() => new Uri(s, UriKind.RelativeOrAbsolute)) : null),
        new ValueCodec<Version?>((w, v) => w.String(v?.ToString()), r => r.String() is { } s ? Checked(() => Version.Parse(s)) : null),
        new ValueCodec<IPAddress?>((w, v) => w.String(v?.ToString()), r => r.String() is { } s ? Checked(() => IPAddress.Parse(s)) : null),
        new ValueCodec<IPEndPoint?>((w, v) => w.String(v?.ToString()), r => r.String() is { } s ? Checked(() => IPEndPoint.Parse(s)) : null),
        new ValueCodec<SiloAddress?>((w, v) => w.String(v?.ToParsableString()), r => r.String() is { } s ? Checked(() => SiloAddress.FromParsableString(s)) : null),
        new ValueCodec<IdSpan>((w, v) => w.Bytes(v.AsSpan()), ReadIdSpan),
        new ValueCodec<GrainType>((w, v) => w.Bytes(v.Value.AsSpan()), r => new GrainType(ReadIdSpan(r))),
        new ValueCodec<GrainId>(WriteGrainId, r => new GrainId(new GrainType(ReadIdSpan(r)), ReadIdSpan(r))),
        new ValueCodec<ActivationId>((w, v) => w.Unmanaged(v.Key), r => new ActivationId(r.Unmanaged<Guid>())),
        new ValueCodec<MembershipVersion>((w, v) => w.Signed(v.Value), r => new MembershipVersion(r.Signed())),
        // The token itself stays where it is; the caller sends a message when it is cancelled.
        new ValueCodec<CancellationToken>((w, _) => w.Byte(0), r => r.Byte() == 0 ? CancellationToken.None : throw OutOfRange<CancellationToken>()),
        new MemoryCodec(),
        new ReadOnlyMemoryCodec(),
    ];

    public static void WriteGrainId(Writer writer, GrainId id)
    {
        writer.Bytes(id.Type.Value.AsSpan());
        writer.Bytes(id.Key.AsSpan());
    }

    public static IdSpan ReadIdSpan(Reader reader) => reader.TryBytes(out ReadOnlySpan<byte> bytes) && bytes.Length > 0 ? new IdSpan(bytes.ToArray()) : default;

    private static void WriteDecimal(Writer writer, decimal value)
    {
        foreach (int part in decimal.GetBits(value)) writer.Unmanaged(part);
    }

    private static void WriteDateTimeOffset(Writer writer, DateTimeOffset value)
    {
        writer.Signed(value.Ticks);
        writer.Signed(value.Offset.Ticks);
    }

    private static T Narrow<T>(long value) where T : System.Numerics.INumber<T>
    {
        T narrow = T.CreateTruncating(value);
        return long.CreateTruncating(narrow) == value ? narrow : throw OutOfRange<T>();
    }

    private static T Checked<T>(Func<T> read)
    {
        try
        {
            return read();
        }
        catch (Exception e) when (e is ArgumentException or FormatException or OverflowException)
        {
            throw new SerializerException($"The data do not hold a {typeof(T)}: {e.Message}", e);
        }
    }

    private static SerializerException OutOfRange<T>() => new($"A number is out of the range of {typeof(T)}.");
}

/// <summary>References to grains: the interface is the declared one, the grain's identity travels.</summary>
internal sealed class GrainReferenceCodec<T>(CodecProvider codecs, Func<Type, GrainId, object> makeReference) : Codec<T?> where T : class
{
    public override bool IsImmutable => true;

    public override void Write(Writer writer, T? value)
    {
        if (value is not null && value is not GrainProxy and not IGrainBase) throw new CodecNotFoundException(CodecProvider.Missing(value.GetType()));
        GrainId id = value is null ? default : ((IAddressable)value).GetGrainId();
        BasicCodecs.WriteGrainId(writer, id);
        writer.String(value is GrainProxy proxy && proxy.Interface.Type != typeof(T) ? writer.Codecs.Types.NameOf(proxy.Interface.Type) : null);
    }

    public override T? Read(Reader reader)
    {
        var id = new GrainId(new GrainType(BasicCodecs.ReadIdSpan(reader)), BasicCodecs.ReadIdSpan(reader));
        string? name = reader.String();
        if (id.IsDefault) return null;
        Type type = name is null ? typeof(T) : codecs.Types.Resolve(name, typeof(T));
        if (!type.IsInterface) throw new SerializerException($"{type} is not a grain interface.");
        return (T)makeReference(type, id);
    }
}
