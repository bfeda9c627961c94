namespace Conclave.Model;

/// <summary>A checkpoint's file cannot be used as it is; the message names the file and the key or tensor, and what to do.</summary>
public sealed class CheckpointException(string message, Exception? inner = null) : Exception(message, inner);
