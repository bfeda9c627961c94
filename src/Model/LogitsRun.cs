using Conclave.Model.Checkpoints;
using Conclave.Model.Experts;

namespace Conclave.Model;

/// <summary>
/// Runs a checkpoint over given tokens and writes what it computes to a safetensors file, row after row: <c>logits</c> <c>[T, V]</c>, where asked for
/// <c>greedy_tokens</c> <c>[N]</c> (I32; an end-of-sequence token does not stop it), and <c>mtp_logits</c> <c>[T - 1, V]</c> where the checkpoint has an MTP module.
/// </summary>
public sealed unsafe class LogitsRun : IDisposable
{
    private const int ChunkRows = 64;
    private readonly Arena _arena = new();
    private readonly Checkpoint _checkpoint;
    private readonly WorkerPool _workers;
    private readonly LocalExpertDispatch _experts;
    private readonly Transformer _model;
    private readonly StepBatch _batch;

    /// <summary>Binds all weights of <paramref name="checkpoint"/>, whose life must exceed this object's.</summary>
    /// <exception cref="CheckpointException">A tensor is missing or has another shape.</exception>
    public LogitsRun(Checkpoint checkpoint, int threadCount, KvOptions? kv = null)
    {
        _checkpoint = checkpoint;
        var config = checkpoint.Config;
        _workers = new WorkerPool(threadCount);
        _experts = new LocalExpertDispatch(config, new ExpertTable(config, [new ExpertShard(checkpoint, ExpertShard.AllOf(config))]), _workers);
        _model = new Transformer(checkpoint, _experts, _workers, ChunkRows, kv: kv);
        _batch = new StepBatch(config, ChunkRows, ChunkRows);
    }

    /// <summary>Computes and writes everything.</summary>
    /// <param name="inputIds">Tokens of the prompt, at least one.</param>
    /// <param name="greedyCount">Tokens to decode greedily afterwards, N; 0 for none.</param>
    /// <param name="outputPath">File to create or replace.</param>
    /// <exception cref="ArgumentException">No tokens, a token outside the vocabulary, or more than the context holds; found before any work.</exception>
    public void Write(ReadOnlySpan<int> inputIds, int greedyCount, string outputPath)
    {
        var config = _checkpoint.Config;
        Check(config, inputIds, greedyCount);
        var hasMtp = config.NextTokenPredictLayers > 0;
        List<TensorSpec> tensors = [new("logits", DType.F32, inputIds.Length, config.VocabularySize)];
        if (greedyCount > 0)
            tensors.Add(new("greedy_tokens", DType.I32, greedyCount));
        if (hasMtp)
            tensors.Add(new("mtp_logits", DType.F32, inputIds.Length - 1, config.VocabularySize));
        using var writer = new SafetensorsWriter(outputPath, tensors);

        var pages = NewSequence(inputIds.Length + greedyCount);
        var hidden = hasMtp ? _arena.Floats((long)inputIds.Length * config.HiddenSize) : null;
        var next = Prefill(pages, inputIds, hidden, writer);
        if (greedyCount > 0)
            writer.Write<int>(Decode(pages, next, greedyCount));
        if (hasMtp)
            Predict(pages, inputIds, hidden, writer);
        writer.Complete();
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        _batch.Dispose();
        _model.Dispose();
        _experts.Dispose();
        _workers.Dispose();
        _arena.Dispose();
    }

    private static void Check(ModelConfig config, ReadOnlySpan<int> inputIds, int greedyCount)
    {
        if (inputIds.IsEmpty)
            throw new ArgumentException("At least one input token is needed.", nameof(inputIds));
        ArgumentOutOfRangeException.ThrowIfNegative(greedyCount);
        if (inputIds.Length + (long)greedyCount > config.MaxPositions)
            throw new ArgumentException($"{inputIds.Length} tokens and {greedyCount} to decode exceed the context of {config.MaxPositions}.", nameof(inputIds));
        foreach (var token in inputIds)
        {
            if ((uint)token >= (uint)config.VocabularySize)
                throw new ArgumentException($"Token {token} is outside the vocabulary of {config.VocabularySize}.", nameof(inputIds));
        }
    }

    private KvPageTable NewSequence(int tokens)
    {
        var count = _model.KvLayout.PagesFor(tokens);
        var pages = new KvPageTable(count, _model.KvLayout.PageTokens);
        for (var i = 0; i < count; i++)
            pages.Add((nint)_arena.Bytes(_model.KvLayout.PageSizeBytes));
        return pages;
    }

    /// <summary>Writes the prompt's logits, keeps its hidden states if wanted, and returns the best next token.</summary>
    private int Prefill(KvPageTable pages, ReadOnlySpan<int> inputIds, float* hidden, SafetensorsWriter writer)
    {
        var width = _model.Config.HiddenSize;
        for (var start = 0; start < inputIds.Length; start += ChunkRows)
        {
            _batch.Clear();
            _batch.Add(pages, inputIds.Slice(start, Math.Min(ChunkRows, inputIds.Length - start)), LogitRows.All);
            _model.Forward(_batch);
            for (var i = 0; i < _batch.LogitRowCount; i++)
            {
                writer.Write<float>(_batch.Logits(i));
                if (hidden != null)
                    _batch.Hidden(i).CopyTo(new Span<float>(hidden + ((long)(start + i) * width), width));
            }
        }

        return BestToken(_batch.LogitRowCount - 1);
    }

    private int[] Decode(KvPageTable pages, int first, int count)
    {
        var tokens = new int[count];
        tokens[0] = first;
        for (var i = 1; i < count; i++)
        {
            _batch.Clear();
            _batch.Add(pages, tokens.AsSpan(i - 1, 1), LogitRows.Last);
            _model.Forward(_batch);
            tokens[i] = BestToken(0);
        }

        return tokens;
    }

    private void Predict(KvPageTable pages, ReadOnlySpan<int> inputIds, float* hidden, SafetensorsWriter writer)
    {
        using var module = new MtpModule(_model);
        var width = _model.Config.HiddenSize;
        for (var start = 0; start < inputIds.Length - 1; start += ChunkRows)
        {
            var count = Math.Min(ChunkRows, inputIds.Length - 1 - start);
            _batch.Clear();
            _batch.Add(pages, start, inputIds.Slice(start + 1, count), LogitRows.All);
            module.Forward(_batch, new ReadOnlySpan<float>(hidden + ((long)start * width), count * width));
            for (var i = 0; i < count; i++)
                writer.Write<float>(_batch.Logits(i));
        }
    }

    private int BestToken(int logitRow)
    {
        var logits = _batch.Logits(logitRow);
        var best = 0;
        for (var i = 1; i < logits.Length; i++)
        {
            if (logits[i] > logits[best])
                best = i;
        }

        return best;
    }
}
