using System.Security.Cryptography;

namespace Conclave.Gateway.Completions;

/// <summary>Ids of tool calls: <c>call_00_</c> with the call's index, and random characters.</summary>
internal static class ToolCallIds
{
    private const string Alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

    public static string New(int index) => $"call_{index:00}_{RandomNumberGenerator.GetString(Alphabet, 24)}";
}
