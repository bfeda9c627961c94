namespace Conclave.Engine.Tests;

public sealed class ValidationTests
{
    private const int Vocabulary = 400;
    private const int Context = 1000;
    private const int KvTokens = 20 * 64;

    private static readonly GenerationRequest Good = new() { PromptIds = [0, 399], MaxTokens = 10, StopTokenIds = [1] };

    [Fact]
    public void A_good_request_passes() => Good.Validate(Vocabulary, Context, KvTokens);

    [Fact]
    public void An_empty_prompt_is_refused() => Refused(Good with { PromptIds = [] }, OperatingError.InvalidRequest, "empty");

    [Theory]
    [InlineData(400)]
    [InlineData(-1)]
    [InlineData(int.MinValue)]
    public void Ids_outside_the_vocabulary_are_refused(int id) =>
        Refused(Good with { PromptIds = [3, id] }, OperatingError.InvalidRequest, $"Token 1 of the prompt is {id}");

    [Theory]
    [InlineData(0)]
    [InlineData(-5)]
    public void At_least_one_token_must_be_asked_for(int maxTokens) =>
        Refused(Good with { MaxTokens = maxTokens }, OperatingError.InvalidRequest, "max_tokens is [1, 1000]");

    [Theory]
    [InlineData(999, "1001")]
    [InlineData(int.MaxValue, "2147483649")]
    public void More_than_the_context_is_refused_with_the_numbers(int maxTokens, string total)
    {
        string message = Refused(Good with { MaxTokens = maxTokens }, OperatingError.ContextTooLong, "context");
        Assert.Equal(
            $"This model's maximum context length is 1000 tokens. However, you requested {total} tokens (2 in the messages, {maxTokens} in the completion). Please reduce the length of the messages or completion.",
            message);
    }

    [Fact]
    public void The_whole_context_may_be_used() => (Good with { MaxTokens = 998 }).Validate(Vocabulary, Context, KvTokens);

    [Fact]
    public void More_than_all_kv_memory_is_refused_naming_the_option()
    {
        Refused(Good with { MaxTokens = 127 }, OperatingError.ContextTooLong, "--kv-memory", kvTokens: 2 * 64);
        (Good with { MaxTokens = 126 }).Validate(Vocabulary, Context, 2 * 64);
    }

    [Fact]
    public void A_limit_that_nobody_asked_for_gives_way_to_what_fits()
    {
        GenerationRequest request = Good with { MaxTokens = 800, MayBeShorter = true };
        Assert.Equal((126, 800), (request.FittedTo(2 * 64).MaxTokens, request.FittedTo(KvTokens).MaxTokens));
        Refused((request with { PromptIds = new int[128] }).FittedTo(2 * 64), OperatingError.ContextTooLong, "--kv-memory", kvTokens: 2 * 64);
        Refused((request with { MayBeShorter = false }).FittedTo(2 * 64), OperatingError.ContextTooLong, "--kv-memory", kvTokens: 2 * 64);
    }

    [Theory]
    [InlineData(-0.1f)]
    [InlineData(2.1f)]
    [InlineData(float.NaN)]
    [InlineData(float.PositiveInfinity)]
    public void Sampling_ranges_hold(float value)
    {
        Refused(new SamplingParameters { Temperature = value }, "temperature");
        Refused(new SamplingParameters { TopP = value }, "top_p");
        Refused(new SamplingParameters { FrequencyPenalty = value < 0 ? -2.1f : value }, "frequency_penalty");
        Refused(new SamplingParameters { PresencePenalty = value < 0 ? -2.1f : value }, "presence_penalty");
    }

    [Fact]
    public void Edges_of_the_sampling_ranges()
    {
        Refused(new SamplingParameters { TopP = 0 }, "top_p");
        Refused(new SamplingParameters { TopLogprobs = 21 }, "top_logprobs");
        Refused(new SamplingParameters { TopLogprobs = -2 }, "top_logprobs");
        new SamplingParameters { Temperature = 2, TopP = 1, FrequencyPenalty = -2, PresencePenalty = 2, TopLogprobs = 20 }.Validate();
        new SamplingParameters { Temperature = 0, TopP = float.Epsilon, FrequencyPenalty = 2, PresencePenalty = -2, TopLogprobs = 0 }.Validate();
    }

    [Fact]
    public void What_is_beyond_the_common_fields_has_ranges_too()
    {
        Refused(new SamplingParameters { TopK = -1 }, "top_k");
        Refused(new SamplingParameters { MinP = float.NaN }, "min_p");
        Refused(new SamplingParameters { RepetitionPenalty = 0 }, "repetition_penalty");
        Refused(new SamplingParameters { RepetitionPenalty = float.PositiveInfinity }, "repetition_penalty");
        Refused(new SamplingParameters { LogitBias = [new(1, float.NaN)] }, "logit_bias");
        Refused(Good with { Sampling = new() { LogitBias = [new(1, 1), new(1, 2)] } }, OperatingError.InvalidRequest, "logit_bias: token 1 occurs twice");
        Refused(Good with { Sampling = new() { LogitBias = [new(Vocabulary, 1)] } }, OperatingError.InvalidRequest, "logit_bias: token 400 is outside");
        Refused(Good with { Sampling = new() { LogitBias = new TokenBias[1025] } }, OperatingError.InvalidRequest, "logit_bias: 1025 entries");
        Refused(Good with { MinTokens = -1 }, OperatingError.InvalidRequest, "min_tokens is [0, 10]");
        Refused(Good with { MinTokens = 11 }, OperatingError.InvalidRequest, "min_tokens is [0, 10]");
        Refused(Good with { Priority = 101 }, OperatingError.InvalidRequest, "priority is [-100, 100]");
        Refused(Good with { CacheScope = new string('s', 513) }, OperatingError.InvalidRequest, "user_id is at most 512");
        Refused(Good with { Deadline = TimeSpan.Zero }, OperatingError.InvalidRequest, "timeout is above 0");
        Refused(Good with { StopTokenIds = new int[257] }, OperatingError.InvalidRequest, "stop_token_ids: 257");
        Refused(Good with { IgnoreEos = true, Grammar = new(Conclave.Engine.Grammars.GrammarKind.JsonObject, "") }, OperatingError.InvalidRequest, "ignore_eos");
        (Good with { MinTokens = 10, Priority = -100, Sampling = new() { TopK = int.MaxValue, MinP = 1, RepetitionPenalty = 0.01f, LogitBias = [new(399, -100)] } }).Validate(Vocabulary, Context, KvTokens);
    }

    [Fact]
    public void Engine_options_name_what_is_wrong()
    {
        new EngineOptions().Validate();
        Assert.Equal("MaxBatch", Assert.Throws<ArgumentOutOfRangeException>(() => new EngineOptions { MaxBatch = 0 }.Validate()).ParamName);
        Assert.Equal("MaxStepRows", Assert.Throws<ArgumentOutOfRangeException>(() => new EngineOptions { MaxStepRows = 31 }.Validate()).ParamName);
        Assert.Equal("KvMemorySizeBytes", Assert.Throws<ArgumentOutOfRangeException>(() => new EngineOptions { KvMemorySizeBytes = -1 }.Validate()).ParamName);
        Assert.Equal("MaxQueue", Assert.Throws<ArgumentOutOfRangeException>(() => new EngineOptions { MaxQueue = 0 }.Validate()).ParamName);
    }

    private static string Refused(GenerationRequest request, OperatingError expected, string part, long kvTokens = KvTokens)
    {
        var error = Assert.Throws<OperatingException>(() => request.Validate(Vocabulary, Context, kvTokens));
        Assert.Equal(expected, error.Error);
        Assert.Contains(part, error.Message, StringComparison.Ordinal);
        return error.Message;
    }

    private static void Refused(SamplingParameters sampling, string field) =>
        Refused(Good with { Sampling = sampling }, OperatingError.InvalidRequest, $"Invalid {field} value");
}
