using System.Buffers.Binary;
using System.Security.Cryptography;
using System.Text;

namespace Conclave.Grains.Transport;

/// <summary>What two ends agreed on when they connected.</summary>
internal readonly record struct Agreement(string RemoteAddress, int MaxPayloadBytes, int MaxInFlightRequests, long MaxInFlightBytes);

/// <summary>
/// Both ends prove that they know the cluster secret without showing it: HMAC-SHA256 over both nonces and all that was said, with a different label
/// for each role, so that no proof can be sent back as the answer. The caller proves first: a stranger learns nothing from a silo.
/// <code>
/// caller:  hello      magic, version, flags, address length, nonce[32], address
/// called:  challenge  magic, version, flags, verdict, bounds, address digest, nonce[32]
/// caller:  proof      HMAC(secret, caller label, hello, challenge, certificate)
/// called:  welcome    verdict, HMAC(secret, called label, hello, challenge, certificate)
/// </code>
/// Every message has a fixed or bounded size and lives on the stack.
/// </summary>
internal static class Handshake
{
    private const uint Magic = 0x48_43_4E_43; // "CNCH"
    private const int NonceBytes = 32, HelloBytes = 40, ChallengeBytes = 64, ProofBytes = 32, MaxAddressBytes = 512, VerdictBytes = 4;
    private const byte ProvesSecret = 1;

    private enum Verdict : ushort
    {
        Welcome = 0,
        WrongSecret = 1,
        OtherVersion = 2,
    }

    /// <summary>The calling end.</summary>
    /// <exception cref="TransportException">The other end is not, or does not want, the peer we look for.</exception>
    public static Agreement Call(Wire wire, string ownAddress, string peerAddress, TransportOptions options, TimeProvider clock)
    {
        long deadlineNs = clock.NowNs() + (options.HandshakeTimeoutMs * Nanoseconds.PerMillisecond);
        Span<byte> said = stackalloc byte[HelloBytes + MaxAddressBytes + ChallengeBytes];
        int helloBytes = WriteHello(said, ownAddress, options);
        Send(wire, said[..helloBytes]);

        Span<byte> challenge = said.Slice(helloBytes, ChallengeBytes);
        Receive(wire, challenge, deadlineNs, clock);
        if (BinaryPrimitives.ReadUInt32LittleEndian(challenge) != Magic) throw new TransportException($"{wire.Remote} does not speak this transport's protocol");
        var verdict = (Verdict)BinaryPrimitives.ReadUInt16LittleEndian(challenge[6..]);
        if (verdict != Verdict.Welcome) throw Refused(wire, verdict);
        if ((challenge[5] & ProvesSecret) != (said[5] & ProvesSecret)) throw Refused(wire, Verdict.WrongSecret);

        said = said[..(helloBytes + ChallengeBytes)];
        Span<byte> proof = stackalloc byte[ProofBytes];
        Prove("conclave transport: the caller", options, said, wire.CertificateDigest, proof);
        Send(wire, proof);

        Span<byte> welcome = stackalloc byte[VerdictBytes + ProofBytes];
        Receive(wire, welcome, deadlineNs, clock);
        verdict = (Verdict)BinaryPrimitives.ReadUInt16LittleEndian(welcome);
        if (verdict != Verdict.Welcome) throw Refused(wire, verdict);
        Prove("conclave transport: the called", options, said, wire.CertificateDigest, proof);
        if (!CryptographicOperations.FixedTimeEquals(proof, welcome[VerdictBytes..]))
            throw new TransportException($"{wire.Remote} could not prove the cluster secret: set the same secret on every silo");

        if (BinaryPrimitives.ReadUInt64LittleEndian(challenge[24..]) != TransportAddress.Digest(peerAddress))
            throw new PeerReplacedException($"another process answers at {wire.Remote}: the one at '{peerAddress}' is gone");
        int maxPayload = BinaryPrimitives.ReadInt32LittleEndian(challenge[8..]), maxRequests = BinaryPrimitives.ReadInt32LittleEndian(challenge[12..]);
        long maxBytes = BinaryPrimitives.ReadInt64LittleEndian(challenge[16..]);
        return new Agreement(peerAddress, Math.Min(maxPayload, options.MaxPayloadBytes), Math.Clamp(maxRequests, 1, options.MaxInFlightRequests), Math.Min(maxBytes, options.MaxInFlightBytes));
    }

    /// <summary>The called end.</summary>
    /// <exception cref="TransportException">A stranger; it was told so if it seemed to understand.</exception>
    public static Agreement Answer(Wire wire, string ownAddress, TransportOptions options, TimeProvider clock)
    {
        long deadlineNs = clock.NowNs() + (options.HandshakeTimeoutMs * Nanoseconds.PerMillisecond);
        Span<byte> said = stackalloc byte[HelloBytes + MaxAddressBytes + ChallengeBytes];
        Receive(wire, said[..HelloBytes], deadlineNs, clock);
        if (BinaryPrimitives.ReadUInt32LittleEndian(said) != Magic) throw new TransportException($"{wire.Remote} does not speak this transport's protocol");
        int addressBytes = BinaryPrimitives.ReadUInt16LittleEndian(said[6..]);
        if (addressBytes > MaxAddressBytes) throw new TransportException($"{wire.Remote} announces an address of {addressBytes} bytes, at most {MaxAddressBytes}");
        Receive(wire, said.Slice(HelloBytes, addressBytes), deadlineNs, clock);
        int helloBytes = HelloBytes + addressBytes;
        byte proves = (byte)(options.ClusterSecret.Length > 0 ? ProvesSecret : 0);
        Verdict verdict = said[4] != FrameHeader.ProtocolVersion ? Verdict.OtherVersion
            : (said[5] & ProvesSecret) != proves ? Verdict.WrongSecret
            : Verdict.Welcome;

        WriteChallenge(said.Slice(helloBytes, ChallengeBytes), proves, verdict, ownAddress, options);
        Send(wire, said.Slice(helloBytes, ChallengeBytes));
        if (verdict != Verdict.Welcome) throw Stranger(wire, verdict);

        Span<byte> proof = stackalloc byte[ProofBytes], expected = stackalloc byte[ProofBytes];
        Receive(wire, proof, deadlineNs, clock);
        said = said[..(helloBytes + ChallengeBytes)];
        Prove("conclave transport: the caller", options, said, wire.CertificateDigest, expected);
        if (!CryptographicOperations.FixedTimeEquals(proof, expected)) verdict = Verdict.WrongSecret;

        Span<byte> welcome = stackalloc byte[VerdictBytes + ProofBytes];
        welcome.Clear();
        BinaryPrimitives.WriteUInt16LittleEndian(welcome, (ushort)verdict);
        if (verdict == Verdict.Welcome) Prove("conclave transport: the called", options, said, wire.CertificateDigest, welcome[VerdictBytes..]);
        Send(wire, welcome);
        if (verdict != Verdict.Welcome) throw Stranger(wire, verdict);
        return new Agreement(Encoding.UTF8.GetString(said.Slice(HelloBytes, addressBytes)), options.MaxPayloadBytes, options.MaxInFlightRequests, options.MaxInFlightBytes);
    }

    private static int WriteHello(Span<byte> hello, string ownAddress, TransportOptions options)
    {
        hello.Clear();
        BinaryPrimitives.WriteUInt32LittleEndian(hello, Magic);
        hello[4] = FrameHeader.ProtocolVersion;
        hello[5] = (byte)(options.ClusterSecret.Length > 0 ? ProvesSecret : 0);
        int addressBytes = Encoding.UTF8.GetBytes(ownAddress, hello.Slice(HelloBytes, MaxAddressBytes));
        BinaryPrimitives.WriteUInt16LittleEndian(hello[6..], (ushort)addressBytes);
        RandomNumberGenerator.Fill(hello.Slice(8, NonceBytes));
        return HelloBytes + addressBytes;
    }

    private static void WriteChallenge(Span<byte> challenge, byte proves, Verdict verdict, string ownAddress, TransportOptions options)
    {
        BinaryPrimitives.WriteUInt32LittleEndian(challenge, Magic);
        challenge[4] = FrameHeader.ProtocolVersion;
        challenge[5] = proves;
        BinaryPrimitives.WriteUInt16LittleEndian(challenge[6..], (ushort)verdict);
        BinaryPrimitives.WriteInt32LittleEndian(challenge[8..], options.MaxPayloadBytes);
        BinaryPrimitives.WriteInt32LittleEndian(challenge[12..], options.MaxInFlightRequests);
        BinaryPrimitives.WriteInt64LittleEndian(challenge[16..], options.MaxInFlightBytes);
        BinaryPrimitives.WriteUInt64LittleEndian(challenge[24..], TransportAddress.Digest(ownAddress));
        RandomNumberGenerator.Fill(challenge.Slice(32, NonceBytes));
    }

    /// <summary>Without a secret the proof is zeros: both ends have agreed that nobody is asked.</summary>
    private static void Prove(string label, TransportOptions options, ReadOnlySpan<byte> said, ReadOnlySpan<byte> certificate, Span<byte> proof)
    {
        proof.Clear();
        if (options.ClusterSecret.Length == 0) return;
        using var hash = IncrementalHash.CreateHMAC(HashAlgorithmName.SHA256, Encoding.UTF8.GetBytes(options.ClusterSecret));
        hash.AppendData(Encoding.ASCII.GetBytes(label));
        hash.AppendData(said);
        hash.AppendData(certificate);
        hash.GetHashAndReset(proof);
    }

    private static unsafe void Send(Wire wire, ReadOnlySpan<byte> bytes)
    {
        fixed (byte* data = bytes)
        {
            if (!wire.Send(data, bytes.Length)) throw new TransportException($"{wire.Remote} hung up while introducing itself");
        }
    }

    private static void Receive(Wire wire, Span<byte> into, long deadlineNs, TimeProvider clock)
    {
        while (into.Length > 0)
        {
            int count = wire.Receive(into);
            if (count < 0) throw new TransportException($"{wire.Remote} hung up while introducing itself");
            into = into[count..];
            if (count > 0) continue;
            int leftMs = Nanoseconds.CeilingMs(deadlineNs - clock.NowNs(), 1000);
            if (leftMs == 0) throw new TransportException($"{wire.Remote} did not introduce itself in time");
            wire.WaitReadable(leftMs);
        }
    }

    private static TransportException Refused(Wire wire, Verdict verdict) => new(verdict switch
    {
        Verdict.WrongSecret => $"{wire.Remote} has another cluster secret: set the same secret on every silo",
        _ => $"{wire.Remote} speaks another version of the transport's protocol: run the same version on every silo",
    });

    private static TransportException Stranger(Wire wire, Verdict verdict) => new(verdict switch
    {
        Verdict.WrongSecret => $"{wire.Remote} could not prove the cluster secret",
        _ => $"{wire.Remote} speaks another version of the transport's protocol",
    });
}

/// <summary>The address is answered by another process: the one we look for is certainly gone.</summary>
internal sealed class PeerReplacedException(string message) : Exception(message);
