namespace Orleans.Runtime
{
    /// <summary>Base of the runtime's own exceptions.</summary>
    public class OrleansException : Exception
    {
        /// <summary>Without a message.</summary>
        public OrleansException() : base("Unexpected error.") { }

        /// <summary>With a message.</summary>
        public OrleansException(string message) : base(message) { }

        /// <summary>With a message and a cause.</summary>
        public OrleansException(string message, Exception? innerException) : base(message, innerException) { }
    }

    /// <summary>The runtime refused a request; it did not run.</summary>
    public class OrleansMessageRejectionException : OrleansException
    {
        internal OrleansMessageRejectionException(string message) : base(message) { }

        internal OrleansMessageRejectionException(string message, Exception? innerException) : base(message, innerException) { }
    }

    /// <summary>The silo that should answer is gone. The outcome of a call that was under way is unknown.</summary>
    public sealed class SiloUnavailableException : OrleansMessageRejectionException
    {
        /// <summary>Without a message.</summary>
        public SiloUnavailableException() : base("The silo is not available.") { }

        /// <summary>With a message.</summary>
        public SiloUnavailableException(string msg) : base(msg) { }

        /// <summary>With a message and a cause.</summary>
        public SiloUnavailableException(string message, Exception? innerException) : base(message, innerException) { }
    }

    /// <summary>The producer of an asynchronous sequence lost its state: the grain deactivated or the reader paused too long.</summary>
    public sealed class EnumerationAbortedException : Exception
    {
        /// <summary>Without a message.</summary>
        public EnumerationAbortedException() { }

        /// <summary>With a message.</summary>
        public EnumerationAbortedException(string message) : base(message) { }

        /// <summary>With a message and a cause.</summary>
        public EnumerationAbortedException(string message, Exception innerException) : base(message, innerException) { }
    }

    /// <summary>The configuration cannot work.</summary>
    public sealed class OrleansConfigurationException : Exception
    {
        /// <summary>With a message.</summary>
        public OrleansConfigurationException(string message) : base(message) { }

        /// <summary>With a message and a cause.</summary>
        public OrleansConfigurationException(string message, Exception innerException) : base(message, innerException) { }
    }
}

namespace Orleans.Storage
{
    /// <summary>The stored record is not the one that was read: another activation wrote it.</summary>
    public class InconsistentStateException : Runtime.OrleansException
    {
        /// <summary>With a message and both versions.</summary>
        public InconsistentStateException(string errorMsg, string? storedEtag, string? currentEtag) : base(errorMsg) =>
            (StoredEtag, CurrentEtag) = (storedEtag, currentEtag);

        /// <summary>Version of the stored record.</summary>
        public string? StoredEtag { get; private set; }

        /// <summary>Version that the grain read.</summary>
        public string? CurrentEtag { get; private set; }
    }
}

namespace Orleans.Serialization
{
    /// <summary>A value cannot be serialized, or bytes do not hold what they should.</summary>
    public class SerializerException : Exception
    {
        /// <summary>Without a message.</summary>
        public SerializerException() { }

        /// <summary>With a message.</summary>
        public SerializerException(string message) : base(message) { }

        /// <summary>With a message and a cause.</summary>
        public SerializerException(string message, Exception innerException) : base(message, innerException) { }
    }

    /// <summary>A type has no serializer.</summary>
    public sealed class CodecNotFoundException(string message) : SerializerException(message);

    /// <summary>Stands for an exception whose type is not known here.</summary>
    public sealed class UnavailableExceptionFallbackException : Exception
    {
        /// <summary>An empty stand-in.</summary>
        public UnavailableExceptionFallbackException() { }

        /// <summary>A stand-in with a message and a cause.</summary>
        public UnavailableExceptionFallbackException(string message, Exception? innerException) : base(message, innerException) { }

        /// <summary>The name of the type that is not known here.</summary>
        public string? ExceptionType { get; internal set; }
    }
}
