using Microsoft.AspNetCore.Http;

namespace Conclave.Gateway.Http;

/// <summary><c>GET /models</c>.</summary>
internal static class ModelsEndpoint
{
    public static Task Handle(HttpContext context, ServedModel served) => JsonBody.Respond(context.Response, json =>
    {
        json.WriteStartObject();
        json.WriteString("object", "list");
        json.WriteStartArray("data");
        foreach (string id in served.Ids)
        {
            json.WriteStartObject();
            json.WriteString("id", id);
            json.WriteString("object", "model");
            json.WriteString("owned_by", "conclave");
            json.WriteEndObject();
        }

        json.WriteEndArray();
        json.WriteEndObject();
    });
}
