using System.Text.Json;
using Conclave.Model.Chat;

namespace Conclave.Model.Tests.Chat;

public class ChatErrorTests
{
    private const string Call = """{"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}""";

    [Theory]
    [InlineData("""[{"role": "tool", "tool_call_id": "1", "content": "x"}]""", "Messages with role 'tool' must be a response")]
    [InlineData("""[{"role": "user"}, {"role": "tool", "tool_call_id": "1", "content": "x"}]""", "Messages with role 'tool' must be a response")]
    [InlineData("""[{"role": "assistant", "tool_calls": [CALL]}, {"role": "user"}]""", "(insufficient tool messages following tool_calls message)")]
    [InlineData("""[{"role": "assistant", "tool_calls": [CALL]}, {"role": "tool", "tool_call_id": "2"}]""", "(insufficient tool messages")]
    [InlineData("""[{"role": "assistant", "tool_calls": [CALL]}, {"role": "tool", "tool_call_id": "1"}, {"role": "tool", "tool_call_id": "1"}]""", "Messages with role 'tool'")]
    [InlineData("""[{"role": "assistant", "prefix": true}, {"role": "user"}]""", "messages[0].prefix")]
    [InlineData("""[{"role": "user", "prefix": true}]""", "messages[0].prefix")]
    public void Every_format_refuses_messages_out_of_order(string messages, string expected)
    {
        foreach (var variant in Enum.GetValues<ChatVariant>()) Assert.Contains(expected, ErrorOf(variant, messages), StringComparison.Ordinal);
    }

    [Fact]
    public void Each_format_refuses_what_it_cannot_express()
    {
        const string badArguments = """[{"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": "[1]"}}]}]""";
        Assert.Contains("JSON object", ErrorOf(ChatVariant.V32, badArguments), StringComparison.Ordinal);
        Assert.Contains("'developer'", ErrorOf(ChatVariant.V31, """[{"role": "developer", "content": "x"}]"""), StringComparison.Ordinal);
        Assert.Contains("messages[0].content", ErrorOf(ChatVariant.V32, """[{"role": "developer", "content": ""}]"""), StringComparison.Ordinal);
        Assert.Equal(
            "Missing reasoning_content field in the assistant message at message index 1",
            ErrorOf(ChatVariant.V32, """[{"role": "user"}, {"role": "assistant", "content": "x"}]""", thinking: true));
    }

    [Theory]
    [InlineData("""[]""", "messages must hold at least one message")]
    [InlineData("""[{"role": "developer", "content": "x"}]""", "messages[0].role")]
    [InlineData("""[{"role": "user"}, {"role": "assistant", "content": "x"}]""", "The last message must be")]
    [InlineData("""[{"role": "user"}, {"role": "assistant", "tool_calls": [CALL]}, {"role": "tool"}]""", "Missing reasoning_content field in the assistant message at message index 1")]
    public void The_public_interface_asks_for_more(string messages, string expected)
    {
        var request = new ChatRequest { Messages = Read(messages), Thinking = true };

        var error = Assert.Throws<ChatFormatException>(() => ChatRules.CheckForApi(request, ChatFamily.V32));

        Assert.Contains(expected, error.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("""{}""", "messages: is required")]
    [InlineData("""[]""", "The request must be an object")]
    [InlineData("""{"messages": {}}""", "messages: must be a list")]
    [InlineData("""{"messages": [1]}""", "messages[0]: must be an object")]
    [InlineData("""{"messages": [{}]}""", "messages[0].role: is required")]
    [InlineData("""{"messages": [{"role": "robot"}]}""", "messages[0].role: must be 'system'")]
    [InlineData("""{"messages": [{"role": "user"}, {"role": "user", "content": 1}]}""", "messages[1].content: must be a string or a list")]
    [InlineData("""{"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}""", "messages[0].content[0].type: only parts of type 'text'")]
    [InlineData("""{"messages": [{"role": "user", "content": "\ud800"}]}""", "messages[0].content: holds an unpaired surrogate")]
    [InlineData("""{"messages": [{"role": "assistant", "tool_calls": [{"function": {}}]}]}""", "messages[0].tool_calls[0].function.name: is required")]
    [InlineData("""{"messages": [{"role": "assistant", "tool_calls": [{"type": "x"}]}]}""", "messages[0].tool_calls[0].type: must be 'function'")]
    [InlineData("""{"messages": [{"role": "assistant", "prefix": 1}]}""", "messages[0].prefix: must be true or false")]
    [InlineData("""{"messages": [], "tools": [{"type": "function"}]}""", "tools[0].function: is required")]
    public void A_field_of_the_wrong_type_is_named(string request, string expected)
    {
        var error = Assert.Throws<ChatFormatException>(() => ChatJson.ReadRequest(JsonElement.Parse(request)));

        Assert.StartsWith(expected, error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Unknown_fields_and_nulls_are_ignored_and_argument_objects_become_text()
    {
        var request = ChatJson.ReadRequest(JsonElement.Parse("""
            {"messages": [{"role": "assistant", "name": "n", "content": null, "prefix": null, "x": 1,
              "tool_calls": [{"function": {"name": "f", "arguments": {"a":[1,2.50,"é</>"]}}}]}], "tools": null, "response_format": null, "thinking": null}
            """));

        Assert.Equal("""{"a": [1, 2.50, "é</>"]}""", request.Messages[0].ToolCalls!.Single().Arguments);
        Assert.Null(request.Tools);
        Assert.True(request.AddGenerationPrompt);
    }

    [Fact]
    public void Json_is_written_as_python_writes_it()
    {
        var value = JsonElement.Parse("""{"z":"\u00e9\u0001\b\f\n\r\t\"\\/<&>'+\ud83d\ude00\u007f\u2028","a":[],"o":{},"n":[-0.0,1.0,1e5,123456789012345678901234567890,true,null],"z":2}""");

        Assert.Equal("""{"z": 2, "a": [], "o": {}, "n": [-0.0, 1.0, 1e5, 123456789012345678901234567890, true, null]}""", PythonJson.Write(value));
        Assert.Equal(
            "{\"z\": \"é\\u0001\\b\\f\\n\\r\\t\\\"\\\\/<&>'+😀\u007f\u2028\"}",
            PythonJson.Write(JsonElement.Parse("""{"z":"\u00e9\u0001\b\f\n\r\t\"\\/<&>'+\ud83d\ude00\u007f\u2028"}""")));
    }

    private static string ErrorOf(ChatVariant variant, string messages, bool thinking = false)
    {
        var request = new ChatRequest { Messages = Read(messages), Thinking = thinking };
        return Assert.Throws<ChatFormatException>(() => ChatFormat.Get(variant).Render(request)).Message;
    }

    private static IReadOnlyList<ChatMessage> Read(string messages) =>
        ChatJson.ReadMessages(JsonElement.Parse(messages.Replace("CALL", Call, StringComparison.Ordinal)));
}
