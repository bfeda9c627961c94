using System.Text.Json;
using Conclave.Engine;
using Conclave.Model.Chat;
using Microsoft.AspNetCore.Http;

namespace Conclave.Gateway.Http;

/// <summary>The error body of the API: <c>{"error": {"message", "type", "param", "code"}}</c>.</summary>
internal static class ApiError
{
    public static void Write(Utf8JsonWriter json, OperatingException error)
    {
        ErrorMap.Entry entry = ErrorMap.For(error.Error);
        json.WriteStartObject();
        json.WriteStartObject("error");
        json.WriteString("message", error.Message);
        json.WriteString("type", entry.Type);
        json.WriteString("param", (error.InnerException as ChatFormatException)?.Field);
        json.WriteString("code", entry.Code);
        json.WriteEndObject();
        json.WriteEndObject();
    }

    /// <summary>Answers with an error; the response must not have started.</summary>
    /// <param name="response">The response.</param>
    /// <param name="error">What went wrong.</param>
    /// <param name="status">Another status than the error's own, for errors of HTTP itself.</param>
    public static async Task Respond(HttpResponse response, OperatingException error, int? status = null)
    {
        ErrorMap.Entry entry = ErrorMap.For(error.Error);
        response.StatusCode = status ?? entry.HttpStatus;
        if (ErrorMap.RetryAfterSeconds(error) is { } seconds) response.Headers.RetryAfter = seconds.ToString(System.Globalization.CultureInfo.InvariantCulture);
        await JsonBody.Respond(response, json => Write(json, error));
    }
}
