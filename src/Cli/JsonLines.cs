using System.Text;
using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Nodes;
using Conclave.Model.Chat;

namespace Conclave.Cli;

/// <summary>A filter over JSON lines: one object in on stdin, one out on stdout.</summary>
internal static class JsonLines
{
    private static readonly JsonSerializerOptions Compact = new() { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

    /// <summary>Answers each line of stdin; an error names the line.</summary>
    /// <exception cref="InvalidDataException">A line is not what it should be.</exception>
    public static async Task<int> Answer(Func<JsonField, JsonObject> answer, CancellationToken cancellationToken)
    {
        using var input = new StreamReader(Console.OpenStandardInput(), new UTF8Encoding(false, throwOnInvalidBytes: true));
        await using var output = new StreamWriter(Console.OpenStandardOutput(), new UTF8Encoding(false));
        for (int number = 1; await input.ReadLineAsync(cancellationToken) is { } line; number++)
        {
            if (string.IsNullOrWhiteSpace(line)) continue;
            await output.WriteLineAsync(AnswerLine(line, number, answer).ToJsonString(Compact).AsMemory(), cancellationToken);
            await output.FlushAsync(cancellationToken);
        }

        return CommandLine.Done;
    }

    private static JsonObject AnswerLine(string line, int number, Func<JsonField, JsonObject> answer)
    {
        try
        {
            using JsonDocument document = JsonDocument.Parse(line, new JsonDocumentOptions { MaxDepth = 128 });
            return answer(new JsonField(document.RootElement, "").RequireObject());
        }
        catch (Exception e) when (e is JsonException or ChatFormatException or ArgumentException)
        {
            throw new InvalidDataException($"line {number}: {e.Message}", e);
        }
    }
}
