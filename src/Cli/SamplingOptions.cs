using System.CommandLine;
using System.Globalization;
using Conclave.Engine;
using Conclave.Gateway.Completions;

namespace Conclave.Cli;

/// <summary>The options of commands that sample.</summary>
internal sealed class SamplingOptions
{
    private readonly Option<double?> _temperature = new("--temperature") { Description = "0 (greedy) to 2 (default: the model's)" };
    private readonly Option<double?> _topP = new("--top-p") { Description = "Above 0 to 1 (default: the model's)" };
    private readonly Option<long?> _topK = new("--top-k") { Description = "Draw only from the so many most probable tokens (default: all)" };
    private readonly Option<double?> _minP = new("--min-p") { Description = "0 to 1: draw no token less probable than this times the most probable one" };
    private readonly Option<double?> _repetitionPenalty = new("--repetition-penalty") { Description = "0.01 to 100: above 1 makes tokens of prompt and answer less likely to come again" };
    private readonly Option<double?> _frequencyPenalty = new("--frequency-penalty") { Description = "-2 to 2, for each time that a token has come in the answer" };
    private readonly Option<double?> _presencePenalty = new("--presence-penalty") { Description = "-2 to 2, once for a token that has come in the answer" };
    private readonly Option<string[]> _logitBias = new("--logit-bias") { Description = "-100 to 100 for a token; may be given several times", HelpName = "ID=BIAS" };
    private readonly Option<long?> _maxTokens = new("--max-tokens") { Description = "Most tokens to generate" };
    private readonly Option<long?> _minTokens = new("--min-tokens") { Description = "The answer cannot end before so many tokens" };
    private readonly Option<bool> _ignoreEos = new("--ignore-eos") { Description = "Go on to --max-tokens, whatever the model says" };
    private readonly Option<ulong?> _seed = new("--seed") { Description = "The same seed gives the same tokens (default: a random one)" };
    private readonly Option<string[]> _stop = new("--stop") { Description = "Text that ends the answer; may be given several times" };
    private readonly Option<int[]> _stopTokenIds = new("--stop-token-id") { Description = "Token that ends the answer; may be given several times", HelpName = "ID" };

    public void AddTo(Command command)
    {
        Option[] all =
        [
            _temperature, _topP, _topK, _minP, _repetitionPenalty, _frequencyPenalty, _presencePenalty, _logitBias, _maxTokens, _minTokens, _ignoreEos, _seed, _stop, _stopTokenIds,
        ];
        foreach (Option option in all) command.Add(option);
    }

    /// <exception cref="ArgumentException">A bias is not a token and a number.</exception>
    public SamplingWishes Wishes(ParseResult parsed) => new()
    {
        Temperature = parsed.GetValue(_temperature),
        TopP = parsed.GetValue(_topP),
        TopK = parsed.GetValue(_topK),
        MinP = parsed.GetValue(_minP),
        RepetitionPenalty = parsed.GetValue(_repetitionPenalty),
        FrequencyPenalty = parsed.GetValue(_frequencyPenalty),
        PresencePenalty = parsed.GetValue(_presencePenalty),
        LogitBias = [.. (parsed.GetValue(_logitBias) ?? []).Select(Bias)],
        MaxTokens = parsed.GetValue(_maxTokens),
        MinTokens = parsed.GetValue(_minTokens),
        IgnoreEos = parsed.GetValue(_ignoreEos),
        Seed = parsed.GetValue(_seed),
        Stop = parsed.GetValue(_stop) ?? [],
        StopTokenIds = parsed.GetValue(_stopTokenIds) ?? [],
    };

    private static TokenBias Bias(string text) =>
        text.Split('=') is [var id, var bias]
        && int.TryParse(id, NumberStyles.None, CultureInfo.InvariantCulture, out int token)
        && float.TryParse(bias, NumberStyles.Float, CultureInfo.InvariantCulture, out float value)
            ? new TokenBias(token, value)
            : throw new ArgumentException($"--logit-bias: '{text}' must be a token id and a number, such as 42=-100");
}
