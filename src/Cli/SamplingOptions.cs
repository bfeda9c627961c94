using System.CommandLine;
using Conclave.Gateway.Completions;

namespace Conclave.Cli;

/// <summary>The options of commands that sample.</summary>
internal sealed class SamplingOptions
{
    private readonly Option<double?> _temperature = new("--temperature") { Description = "0 (greedy) to 2 (default: the model's)" };
    private readonly Option<double?> _topP = new("--top-p") { Description = "Above 0 to 1 (default: the model's)" };
    private readonly Option<long?> _maxTokens = new("--max-tokens") { Description = "Most tokens to generate" };
    private readonly Option<ulong?> _seed = new("--seed") { Description = "The same seed gives the same tokens (default: a random one)" };
    private readonly Option<string[]> _stop = new("--stop") { Description = "Text that ends the answer; may be given several times" };

    public void AddTo(Command command)
    {
        command.Add(_temperature);
        command.Add(_topP);
        command.Add(_maxTokens);
        command.Add(_seed);
        command.Add(_stop);
    }

    public SamplingWishes Wishes(ParseResult parsed) => new()
    {
        Temperature = parsed.GetValue(_temperature),
        TopP = parsed.GetValue(_topP),
        MaxTokens = parsed.GetValue(_maxTokens),
        Seed = parsed.GetValue(_seed),
        Stop = parsed.GetValue(_stop) ?? [],
    };
}
