namespace Conclave.Model.Chat;

/// <summary>The client's messages cannot be rendered: a mistake of the request (HTTP status 400), never of the server.</summary>
public sealed class ChatFormatException : Exception
{
    /// <summary>Describes the mistake.</summary>
    /// <param name="message">What is wrong and what is expected; it is shown to the client.</param>
    /// <param name="field">Path of the offending field, such as <c>messages[1].content</c>, if there is one.</param>
    /// <param name="innerException">The cause, if another error revealed the mistake.</param>
    public ChatFormatException(string message, string? field = null, Exception? innerException = null)
        : base(message, innerException) => Field = field;

    /// <summary>Path of the offending field, such as <c>messages[1].content</c>; null if the mistake is not in one field.</summary>
    public string? Field { get; }
}
