using System.Net.Http.Json;
using System.Text.Json;
using Conclave.Gateway.Tests.Support;

namespace Conclave.Gateway.Tests;

/// <summary>Who finds whose prefixes, as <c>usage</c> tells.</summary>
[Collection(nameof(RandomServer))]
public sealed class TenantTests(RandomServer fixture)
{
    private const int PageTokens = 64;

    [Theory]
    [InlineData("a", null, "b", null)]
    [InlineData("a", null, null, null)]
    [InlineData("a", "x", "b", "x")]
    [InlineData("a", "x", "a", "y")]
    [InlineData("a", "x", "a", null)]
    [InlineData(null, "x", null, "y")]
    [InlineData(null, "x", null, null)]
    public async Task Prefixes_are_shared_within_key_and_user_id_only(string? key, string? userId, string? otherKey, string? otherUserId)
    {
        string prompt = $"{key}/{userId}/{otherKey}/{otherUserId}: {string.Concat(Enumerable.Repeat("say something, ", 20))}";
        (int cold, int total, string answer) = await Ask(prompt, key, userId);
        Assert.Equal(0, cold);
        Assert.Equal((0, total, answer), await Ask(prompt, otherKey, otherUserId));
        int pages = (total - 1) / PageTokens;
        Assert.True(pages > 2);
        Assert.Equal((pages * PageTokens, total, answer), await Ask(prompt, key, userId));
        Assert.Equal((pages * PageTokens, total, answer), await Ask(prompt, otherKey, otherUserId));
    }

    [Fact]
    public async Task An_empty_user_id_is_none()
    {
        string prompt = $"nobody: {string.Concat(Enumerable.Repeat("say something, ", 10))}";
        Assert.Equal(0, (await Ask(prompt, null, "")).Cached);
        Assert.NotEqual(0, (await Ask(prompt, null, null)).Cached);
    }

    private async Task<(int Cached, int Prompt, string Answer)> Ask(string prompt, string? key, string? userId)
    {
        object[] messages = [new { role = "user", content = prompt }];
        using var request = new HttpRequestMessage(HttpMethod.Post, "v1/chat/completions")
        {
            Content = JsonContent.Create(new { model = "deepseek-chat", messages, max_tokens = 5, temperature = 1, seed = 3, logprobs = true, user_id = userId }),
        };
        if (key is not null) request.Headers.Authorization = new("Bearer", key);
        using HttpResponseMessage response = await fixture.Server.Client.SendAsync(request);
        response.EnsureSuccessStatusCode();
        JsonElement answer = await response.Content.ReadFromJsonAsync<JsonElement>();
        JsonElement usage = answer.GetProperty("usage");
        int cached = usage.GetProperty("prompt_cache_hit_tokens").GetInt32(), total = usage.GetProperty("prompt_tokens").GetInt32();
        Assert.Equal(total - cached, usage.GetProperty("prompt_cache_miss_tokens").GetInt32());
        Assert.Equal(cached, usage.GetProperty("prompt_tokens_details").GetProperty("cached_tokens").GetInt32());
        return (cached, total, answer.GetProperty("choices")[0].GetRawText());
    }
}
