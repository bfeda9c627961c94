using System.Reflection;
using System.Runtime.CompilerServices;

namespace Orleans.Serialization;

/// <summary>
/// Exceptions: message, cause, stack trace and the members with <see cref="IdAttribute"/>. The members lie in a block of their own, so that
/// a reader that does not know the type can pass over them and stand <see cref="UnavailableExceptionFallbackException"/> in.
/// </summary>
internal sealed class ExceptionCodec<T>(CodecProvider codecs) : ClassCodec<T> where T : Exception
{
    private readonly MemberTable<T>? _members = typeof(T).IsAbstract || typeof(T) == typeof(UnavailableExceptionFallbackException) ? null : new MemberTable<T>(codecs);
    private readonly ConstructorInfo? _constructor = typeof(T).GetConstructor([typeof(string), typeof(Exception)]);

    public override bool IsImmutable => true;

    protected override void WriteBody(Writer writer, T value)
    {
        writer.String(value is UnavailableExceptionFallbackException fallback ? fallback.ExceptionType : writer.Codecs.Types.NameOf(typeof(T)));
        writer.String(value.Message);
        writer.String(value.StackTrace);
        writer.Signed(value.HResult);
        ((Codec<Exception>)codecs.Get(typeof(Exception))).Write(writer, value.InnerException!);
        Writer block = codecs.RentWriter();
        try
        {
            T source = value;
            _members?.Write(block, ref source);
            writer.Bytes(block.ToArray());
        }
        finally
        {
            codecs.Return(block);
        }
    }

    protected override T ReadBody(Reader reader, int reference)
    {
        string? typeName = reader.String();
        string? message = reader.String();
        string? stackTrace = reader.String();
        long code = reader.Signed();
        Exception? inner = ((Codec<Exception?>)codecs.Get(typeof(Exception))).Read(reader);
        if (!reader.TryBytes(out ReadOnlySpan<byte> block)) throw new SerializerException("The members of an exception are missing.");
        T value = Create(message, inner);
        reader.SetReference(reference, value);

        ExceptionFields.Message(value) = message;
        ExceptionFields.Inner(value) = inner;
        ExceptionFields.RemoteStackTrace(value) = stackTrace is null ? null : stackTrace + Environment.NewLine + "--- End of stack trace from the callee ---" + Environment.NewLine;
        value.HResult = (int)code;
        if (value is UnavailableExceptionFallbackException fallback) fallback.ExceptionType = typeName;
        else if (block.Length > 0) _members?.Read(new Reader(codecs, block.ToArray()), ref value);
        return value;
    }

    protected override T CopyBody(T value, CopyContext context) => value;

    private T Create(string? message, Exception? inner)
    {
        if (typeof(T).IsAbstract) throw new SerializerException($"{typeof(T)} is abstract.");
        // Some exceptions of the framework keep parts that only their constructor sets, such as the list of an AggregateException.
        bool framework = typeof(T).Assembly.GetName().Name!.StartsWith("System.", StringComparison.Ordinal);
        if (typeof(T) == typeof(AggregateException)) return (T)(Exception)(inner is null ? new AggregateException(message) : new AggregateException(message, inner));
        return framework && _constructor is not null ? (T)_constructor.Invoke([message, inner]) : (T)RuntimeHelpers.GetUninitializedObject(typeof(T));
    }
}

/// <summary>The private fields that an exception keeps its parts in.</summary>
internal static class ExceptionFields
{
    [UnsafeAccessor(UnsafeAccessorKind.Field, Name = "_message")]
    public static extern ref string? Message(Exception exception);

    [UnsafeAccessor(UnsafeAccessorKind.Field, Name = "_innerException")]
    public static extern ref Exception? Inner(Exception exception);

    [UnsafeAccessor(UnsafeAccessorKind.Field, Name = "_remoteStackTraceString")]
    public static extern ref string? RemoteStackTrace(Exception exception);
}
