using System.Runtime.CompilerServices;
using Conclave.Engine;
using Conclave.Gateway.Ranks;
using Conclave.Grains;
using Conclave.Model.Chat;
using Conclave.Model.Tokenization;

namespace Conclave.Gateway.Completions;

/// <summary>Runs one completion: tokens of whatever ranks become text, text becomes reasoning, content and tool calls.</summary>
public sealed class CompletionRunner(SequenceRunner sequences, ServedModel model)
{
    /// <summary>
    /// The events of one completion; the last is <see cref="CompletionEvent.Finished"/>. Ending the enumeration early frees the sequence at once.
    /// </summary>
    /// <exception cref="Exception">Whatever <see cref="ErrorMap.Explain"/> knows to explain.</exception>
    public async IAsyncEnumerable<CompletionEvent> Run(CompletionRequest request, [EnumeratorCancellation] CancellationToken cancellationToken)
    {
        var output = new OutputReader(model.Tokenizer, request);
        await foreach (RunChunk run in sequences.Run(Command(request), cancellationToken))
        {
            if (run.Tokens is not { } chunk)
            {
                yield return new CompletionEvent.Placed(!run.IsWaiting);
                continue;
            }

            bool ended = chunk.FinishReason != FinishReason.None;
            yield return output.Read(chunk, ended);
            if (!ended && !output.IsComplete) continue;
            yield return new CompletionEvent.Finished(output.End(chunk.FinishReason), output.Usage(chunk.CachedTokens));
            yield break;
        }
    }

    private static GenerateCommand Command(CompletionRequest request) => new()
    {
        SequenceId = Guid.NewGuid(),
        PromptIds = request.PromptIds,
        MaxTokens = request.MaxTokens,
        MayBeShorter = request.MayBeShorter,
        StopTokenIds = request.StopTokenIds,
        Temperature = request.Sampling.Temperature,
        TopP = request.Sampling.TopP,
        FrequencyPenalty = request.Sampling.FrequencyPenalty,
        PresencePenalty = request.Sampling.PresencePenalty,
        Seed = request.Sampling.Seed,
        TopK = request.Sampling.TopK,
        MinP = request.Sampling.MinP,
        RepetitionPenalty = request.Sampling.RepetitionPenalty,
        LogitBiasIds = [.. request.Sampling.LogitBias.Select(bias => bias.TokenId)],
        LogitBiases = [.. request.Sampling.LogitBias.Select(bias => bias.Bias)],
        MinTokens = request.MinTokens,
        GrammarText = request.Grammar?.Text,
        GrammarKind = (int)(request.Grammar?.Kind ?? default),
        Priority = request.Service.Priority,
        FairnessKey = request.Service.FairnessKey,
        CacheScope = request.Service.CacheScope,
        Deadline = request.Service.Deadline,
        TopLogprobs = request.Sampling.TopLogprobs,
    };

    /// <summary>Reads one output token by token.</summary>
    private sealed class OutputReader(Tokenizer tokenizer, CompletionRequest request)
    {
        // Raw output is read as the format without reasoning or tools: plain text up to a stop text.
        private static readonly ChatReading Raw = new(ChatFormat.Get(ChatVariant.V30324), ThinkingOpen: false, ToolsOffered: false);

        private readonly Detokenizer _detokenizer = new(tokenizer, skipSpecial: true);
        private readonly OutputParser _parser = new(
            (request.Chat ?? Raw).Format, (request.Chat ?? Raw).ThinkingOpen, (request.Chat ?? Raw).ToolsOffered, request.Stop);

        private int _reasoningTokens;

        public int TokenCount { get; private set; }

        public bool IsComplete => _parser.IsComplete;

        public CompletionEvent.Progress Read(TokenChunk chunk, bool ended)
        {
            var deltas = new List<ChatDelta>();
            int used = 0;
            while (used < chunk.Ids.Length && !_parser.IsComplete)
            {
                if (_parser.InReasoning) _reasoningTokens++;
                _parser.Push(_detokenizer.Push(chunk.Ids[used++]), deltas);
            }

            TokenCount += used;
            if (ended && !_parser.IsComplete)
            {
                _parser.Push(_detokenizer.Flush(), deltas);
                _parser.Finish(deltas);
            }

            return new CompletionEvent.Progress(deltas, chunk.Ids[..used], Logprobs(chunk, used));
        }

        public CompletionEnd End(FinishReason reason) => reason switch
        {
            FinishReason.Length when _parser.StopMatched is null => CompletionEnd.Length,
            _ => _parser.CallCount > 0 ? CompletionEnd.ToolCalls : CompletionEnd.Stop,
        };

        public CompletionUsage Usage(int cachedTokens) => new(request.PromptIds.Length, TokenCount, cachedTokens, _reasoningTokens);

        private static IReadOnlyList<TokenLogprob>? Logprobs(TokenChunk chunk, int count) => chunk.Logprobs is null
            ? null
            : [.. Enumerable.Range(0, count).Select(i => new TokenLogprob(chunk.Ids[i], chunk.Logprobs[i], [.. chunk.TopIds![i].Zip(chunk.TopIdLogprobs![i])]))];
    }
}
