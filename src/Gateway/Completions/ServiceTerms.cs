using System.Security.Cryptography;
using System.Text;
using Conclave.Engine;

namespace Conclave.Gateway.Completions;

/// <summary>For whom a completion is, and how urgently: nothing of it changes a token.</summary>
public sealed record ServiceTerms
{
    /// <summary>How far from 0 clients may set <see cref="Priority"/>; what is beyond is left to operators, who speak to the grains.</summary>
    public const int PriorityRange = 10;

    /// <summary>Longest <see cref="Deadline"/>, seconds: a day.</summary>
    public const int MaxTimeoutSeconds = 86_400;

    /// <summary>Higher goes first (vLLM counts the other way round), 0 by default.</summary>
    public int Priority { get; init; }

    /// <summary>Who asks: requests are served in turn between these.</summary>
    public string FairnessKey { get; init; } = "";

    /// <summary>Only requests of the same scope share cached prefixes.</summary>
    public string CacheScope { get; init; } = "";

    /// <summary>Time after which the completion is given up; null: never.</summary>
    public TimeSpan? Deadline { get; init; }

    /// <summary>Checks what a client sent.</summary>
    /// <param name="priority"><c>priority</c>; null for 0.</param>
    /// <param name="key">What stands for the API key, which shares no cached prefixes with others; null if there is none.</param>
    /// <param name="user"><c>user</c>: stands for the key where there is none.</param>
    /// <param name="userId"><c>user_id</c>: the user too, and one who shares no cached prefixes with others of the same key.</param>
    /// <param name="timeoutSeconds"><c>timeout</c>; null for none.</param>
    /// <exception cref="OperatingException">With <see cref="OperatingError.InvalidRequest"/>, naming the field and its range.</exception>
    public static ServiceTerms Read(long? priority, string? key, string? user, string? userId, double? timeoutSeconds)
    {
        Require(priority is null or (>= -PriorityRange and <= PriorityRange), "priority", $"[-{PriorityRange}, {PriorityRange}]");
        Require(timeoutSeconds is null or (>= 0.001 and <= MaxTimeoutSeconds), "timeout", $"[0.001, {MaxTimeoutSeconds}] seconds");
        CheckLength(user, "user");
        CheckLength(userId, "user_id");
        return new ServiceTerms
        {
            Priority = (int)(priority ?? 0),
            FairnessKey = key ?? userId ?? user ?? "",
            CacheScope = ScopeOf(key, userId),
            Deadline = timeoutSeconds is { } seconds ? TimeSpan.FromSeconds(seconds) : null,
        };
    }

    /// <summary>A tenant is a key and a user of it: hashed, since names may be as long as a scope by themselves. Whoever has neither shares with all such.</summary>
    private static string ScopeOf(string? key, string? userId) => key is null && string.IsNullOrEmpty(userId)
        ? ""
        : Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes($"{key}\n{userId}")));

    private static void CheckLength(string? name, string field)
    {
        if (name?.Length > GenerationRequest.MaxKeyLength)
            throw new OperatingException(OperatingError.InvalidRequest, $"{field}: {name.Length} characters are too many; at most {GenerationRequest.MaxKeyLength} are allowed");
    }

    private static void Require(bool holds, string field, string range)
    {
        if (!holds) throw new OperatingException(OperatingError.InvalidRequest, $"Invalid {field} value, the valid range of {field} is {range}");
    }
}
