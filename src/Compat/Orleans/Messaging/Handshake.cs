using System.Buffers.Binary;
using System.Net.Sockets;
using Orleans.Serialization;

namespace Orleans.Runtime;

/// <summary>How the end that was called takes a caller.</summary>
internal enum Admission : byte
{
    Welcome,

    /// <summary>Another cluster, another silo or another version.</summary>
    Refused,

    /// <summary>The caller was declared dead.</summary>
    Dead,
}

/// <summary>The first frame of the caller.</summary>
/// <param name="ClusterId">The caller's cluster.</param>
/// <param name="Caller">The caller's address.</param>
/// <param name="Callee">Who should be at this end; generation 0 stands for any.</param>
internal sealed record Hello(string ClusterId, SiloAddress Caller, SiloAddress Callee);

/// <summary>The answer to a <see cref="Hello"/>.</summary>
internal sealed record Answer(Admission Admission, string Reason, SiloAddress Callee);

/// <summary>The first exchange on a connection: both ends tell who they are.</summary>
internal static class Handshake
{
    /// <summary>"OSI" and the version of the protocol.</summary>
    private const uint Magic = 0x4F534901;

    /// <summary>Strangers may send no more than this.</summary>
    private const int MaxFrameSize = 2048;

    /// <summary>Introduces the caller and awaits the answer.</summary>
    public static async Task<Answer> CallAsync(Socket socket, Hello hello, CodecProvider codecs, CancellationToken token)
    {
        await SendAsync(socket, codecs, token, writer =>
        {
            writer.Unmanaged(Magic);
            writer.String(hello.ClusterId);
            writer.String(hello.Caller.ToParsableString());
            writer.String(hello.Callee.ToParsableString());
        });
        var reader = new Reader(codecs, await ReadAsync(socket, token));
        return new Answer((Admission)reader.Byte(), reader.String() ?? "", ReadAddress(reader));
    }

    /// <summary>Reads the caller's introduction and answers it.</summary>
    /// <returns>The caller; null if it was sent away.</returns>
    public static async Task<SiloAddress?> ReceiveAsync(Socket socket, Func<Hello, Answer> admit, CodecProvider codecs, CancellationToken token)
    {
        var reader = new Reader(codecs, await ReadAsync(socket, token));
        if (reader.Unmanaged<uint>() != Magic) throw new SerializerException("The first frame is not that of a silo or client of this version.");
        var hello = new Hello(reader.String() ?? "", ReadAddress(reader), ReadAddress(reader));
        Answer answer = admit(hello);
        await SendAsync(socket, codecs, token, writer =>
        {
            writer.Byte((byte)answer.Admission);
            writer.String(answer.Reason);
            writer.String(answer.Callee.ToParsableString());
        });
        return answer.Admission == Admission.Welcome ? hello.Caller : null;
    }

    /// <summary>Reads one frame and nothing beyond it: what follows belongs to the connection.</summary>
    private static async Task<byte[]> ReadAsync(Socket socket, CancellationToken token)
    {
        var prefix = new byte[Connection.PrefixSize];
        await FillAsync(socket, prefix, token);
        uint size = BinaryPrimitives.ReadUInt32LittleEndian(prefix);
        if (size > MaxFrameSize) throw new SerializerException($"The first frame announces {size} bytes; at most {MaxFrameSize} are allowed.");
        var frame = new byte[size];
        await FillAsync(socket, frame, token);
        return frame;
    }

    private static async Task FillAsync(Socket socket, Memory<byte> bytes, CancellationToken token)
    {
        while (!bytes.IsEmpty)
        {
            int received = await socket.ReceiveAsync(bytes, token);
            if (received == 0) throw new SerializerException("The connection ended within the first frame.");
            bytes = bytes[received..];
        }
    }

    private static async Task SendAsync(Socket socket, CodecProvider codecs, CancellationToken token, Action<Writer> write)
    {
        Writer writer = codecs.RentWriter();
        byte[] frame;
        try
        {
            writer.Unmanaged(0);
            write(writer);
            frame = writer.ToArray();
        }
        finally
        {
            codecs.Return(writer);
        }
        BinaryPrimitives.WriteInt32LittleEndian(frame, frame.Length - Connection.PrefixSize);
        ReadOnlyMemory<byte> rest = frame;
        while (!rest.IsEmpty) rest = rest[await socket.SendAsync(rest, token)..];
    }

    private static SiloAddress ReadAddress(Reader reader) =>
        SiloAddress.TryParse(reader.String(), null, out SiloAddress? address) ? address : throw new SerializerException("An address of the first frame cannot be read.");
}
