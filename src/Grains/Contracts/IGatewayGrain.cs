using Conclave.Engine;
using Conclave.Engine.Grammars;
using Orleans;
using Orleans.Concurrency;

namespace Conclave.Grains;

/// <summary>
/// One rank: the front of one attention silo's engine. Its key is <see cref="SiloKey"/> of that silo, where its placement pins it.
/// </summary>
[Alias("conclave.IGatewayGrain")]
public interface IGatewayGrain : IGrainWithStringKey
{
    /// <summary>
    /// Generates one sequence. Chunks arrive in order as steps produce them; the last one carries the finish reason. Ask for it with
    /// <c>WithBatchSize(1)</c>, since batches count elements. Disposing the enumerator frees the sequence at once. While no token is ready an
    /// empty chunk comes from time to time, so that silence means a dead rank.
    /// </summary>
    /// <exception cref="ClusterException">
    /// The request is refused or the rank failed. <see cref="OperatingError.Unavailable"/> is no fault of the request: another rank, or this one later,
    /// can take it up where it was.
    /// </exception>
    [Alias("Generate")]
    IAsyncEnumerable<TokenChunk> Generate(GenerateCommand command, CancellationToken cancellationToken);

    /// <summary>What the rank is doing.</summary>
    [AlwaysInterleave, Alias("Status")]
    Task<RankStatus> Status();
}

/// <summary>One sequence to generate: tokens in, tokens out; text, formats and tools are the gateway's business.</summary>
[GenerateSerializer, Immutable, Alias("conclave.GenerateCommand")]
public sealed record GenerateCommand
{
    /// <summary>Names the sequence in the whole cluster.</summary>
    [Id(0)] public required Guid SequenceId { get; init; }

    /// <summary>Prompt tokens, at least one, and behind them those that were generated already (<see cref="ResumedCount"/>).</summary>
    [Id(1)] public required int[] PromptIds { get; init; }

    /// <summary>Most tokens to generate, at least 1; resumed ones count.</summary>
    [Id(2)] public required int MaxTokens { get; init; }

    /// <summary>Tokens that end the sequence; they are not reported.</summary>
    [Id(3)] public required int[] StopTokenIds { get; init; }

    /// <summary>0 (greedy) to 2.</summary>
    [Id(4)] public float Temperature { get; init; } = 1;

    /// <summary>Above 0 to 1.</summary>
    [Id(5)] public float TopP { get; init; } = 1;

    /// <summary>-2 to 2.</summary>
    [Id(6)] public float FrequencyPenalty { get; init; }

    /// <summary>-2 to 2.</summary>
    [Id(7)] public float PresencePenalty { get; init; }

    /// <summary>Key of the sampler's generator.</summary>
    [Id(8)] public ulong Seed { get; init; }

    /// <summary>Alternatives with each token, 0 to 20; -1 for no log probabilities.</summary>
    [Id(9)] public int TopLogprobs { get; init; } = -1;

    /// <summary>
    /// The last so many of <see cref="PromptIds"/> are output of an earlier life of the sequence: they count for penalties and against <see cref="MaxTokens"/>, and
    /// <see cref="TokenChunk.Position"/> goes on from there. The tokens to come are bitwise those of an undisturbed run.
    /// </summary>
    [Id(10)] public int ResumedCount { get; init; }

    /// <summary>Only the so many most probable tokens are drawn; 0: all.</summary>
    [Id(11)] public int TopK { get; init; }

    /// <summary>0 to 1: tokens less probable than this times the most probable one are not drawn.</summary>
    [Id(12)] public float MinP { get; init; }

    /// <summary>0.01 to 100; 1: none.</summary>
    [Id(13)] public float RepetitionPenalty { get; init; } = 1;

    /// <summary>Tokens whose logits are changed; by <see cref="LogitBiases"/>.</summary>
    [Id(14)] public int[] LogitBiasIds { get; init; } = [];

    /// <summary>-100 to 100 for each of <see cref="LogitBiasIds"/>.</summary>
    [Id(15)] public float[] LogitBiases { get; init; } = [];

    /// <summary>Tokens before a stop token can come.</summary>
    [Id(16)] public int MinTokens { get; init; }

    /// <summary>Stop tokens do not end the sequence.</summary>
    [Id(17)] public bool IgnoreEos { get; init; }

    /// <summary><see cref="GrammarSpec.Text"/>; null: no grammar.</summary>
    [Id(18)] public string? GrammarText { get; init; }

    /// <summary><see cref="GrammarSpec.Kind"/> as a number.</summary>
    [Id(19)] public int GrammarKind { get; init; }

    /// <summary>-100 to 100; higher goes first.</summary>
    [Id(20)] public int Priority { get; init; }

    /// <summary>Who asks: requests are served in turn between these.</summary>
    [Id(21)] public string FairnessKey { get; init; } = "";

    /// <summary>Only requests of the same scope share cached prefixes.</summary>
    [Id(22)] public string CacheScope { get; init; } = "";

    /// <summary>Time that is left for the sequence when the rank gets it; null: no end.</summary>
    [Id(23)] public TimeSpan? Deadline { get; init; }

    /// <summary>Fewer than <see cref="MaxTokens"/> where the KV memory holds no more.</summary>
    [Id(24)] public bool MayBeShorter { get; init; }

    /// <summary>The same as the engine takes it.</summary>
    public GenerationRequest ToRequest() => new()
    {
        PromptIds = PromptIds,
        ResumedCount = ResumedCount,
        MaxTokens = MaxTokens,
        MayBeShorter = MayBeShorter,
        MinTokens = MinTokens,
        StopTokenIds = StopTokenIds,
        IgnoreEos = IgnoreEos,
        Grammar = GrammarText is null ? null : new GrammarSpec((GrammarKind)GrammarKind, GrammarText),
        Priority = Priority,
        FairnessKey = FairnessKey,
        CacheScope = CacheScope,
        Deadline = Deadline,
        Sampling = new SamplingParameters
        {
            Temperature = Temperature,
            TopP = TopP,
            TopK = TopK,
            MinP = MinP,
            RepetitionPenalty = RepetitionPenalty,
            LogitBias = [.. LogitBiasIds.Zip(LogitBiases, (id, bias) => new TokenBias(id, bias))],
            FrequencyPenalty = FrequencyPenalty,
            PresencePenalty = PresencePenalty,
            Seed = Seed,
            TopLogprobs = TopLogprobs,
        },
    };
}

/// <summary>Consecutive tokens of one sequence: all that were ready when the rank looked.</summary>
[GenerateSerializer, Immutable, Alias("conclave.TokenChunk")]
public sealed record TokenChunk
{
    /// <summary>Index of the first token among the generated ones, resumed ones included: a gap or a repeat would be a fault.</summary>
    [Id(0)] public required int Position { get; init; }

    /// <summary>Token ids; none in the last chunk, possibly, and in those that only show that the rank is alive.</summary>
    [Id(1)] public required int[] Ids { get; init; }

    /// <summary>One natural log probability per token; null if not asked for.</summary>
    [Id(2)] public float[]? Logprobs { get; init; }

    /// <summary>Alternatives per token <c>[Ids.Length][TopLogprobs]</c>, highest first; null if not asked for.</summary>
    [Id(3)] public int[][]? TopIds { get; init; }

    /// <summary>Log probabilities of <see cref="TopIds"/>.</summary>
    [Id(4)] public float[][]? TopIdLogprobs { get; init; }

    /// <summary>Prompt tokens that came from the prefix cache; the same in every chunk with tokens.</summary>
    [Id(5)] public int CachedTokens { get; init; }

    /// <summary><see cref="FinishReason"/> as a number, 0 in all chunks but the last. Numbers, so that the engine need not know Orleans.</summary>
    [Id(6)] public int FinishCode { get; init; }

    /// <summary>With <see cref="FinishReason.Moved"/>: the silo whose rank expects the sequence, under the same id; null: any other rank may take it. Else null.</summary>
    [Id(7)] public string? MovedTo { get; init; }

    /// <summary>The step that computes takes unusually long: experts may be gone. Only in chunks without tokens.</summary>
    [Id(8)] public bool IsStalled { get; init; }

    /// <summary>Why the sequence ended; <see cref="FinishReason.None"/> in all chunks but the last.</summary>
    public FinishReason FinishReason => (FinishReason)FinishCode;
}

/// <summary>What a rank is doing.</summary>
[GenerateSerializer, Immutable, Alias("conclave.RankStatus")]
public sealed record RankStatus
{
    /// <summary>Sequences in the batch.</summary>
    [Id(0)] public int Running { get; init; }

    /// <summary>Sequences that wait for room.</summary>
    [Id(1)] public int Waiting { get; init; }

    /// <summary>KV pages held by sequences.</summary>
    [Id(2)] public int PagesInUse { get; init; }

    /// <summary>KV pages in all.</summary>
    [Id(3)] public int PagesTotal { get; init; }

    /// <summary>Prompt tokens computed since the start.</summary>
    [Id(4)] public long PromptTokens { get; init; }

    /// <summary>Tokens generated since the start.</summary>
    [Id(5)] public long GeneratedTokens { get; init; }

    /// <summary>Why the rank cannot serve; null while it can.</summary>
    [Id(6)] public string? Fault { get; init; }

    /// <summary>It takes no new sequences and hands over those it has.</summary>
    [Id(7)] public bool IsDraining { get; init; }
}
