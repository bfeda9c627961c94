using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;

namespace Conclave.Engine.Sampling;

/// <summary>What changes logits before one of them is chosen, in order: mask, barred tokens, bias, penalties.</summary>
internal static class LogitEdits
{
    /// <summary>The logits after all edits: those of <paramref name="input"/> if there is nothing to change, else a copy in <paramref name="scratch"/>.</summary>
    public static ReadOnlySpan<float> Apply(in SamplingInput input, SamplingParameters parameters, SamplerScratch scratch)
    {
        bool penalizesOutput = parameters.FrequencyPenalty != 0 || parameters.PresencePenalty != 0;
        bool penalizesRepetition = parameters.RepetitionPenalty != 1;
        if (input.Allowed.IsEmpty && input.Barred.IsEmpty && parameters.LogitBias.Length == 0 && !penalizesOutput && !penalizesRepetition)
            return input.Logits;

        int vocabulary = input.Logits.Length;
        Span<float> logits = scratch.Edited.AsSpan(0, vocabulary);
        if (input.Allowed.IsEmpty)
            input.Logits.CopyTo(logits);
        else
            Mask(input.Logits, input.Allowed, scratch.Edited);
        if (!input.Barred.IsEmpty)
            Bar(logits, input.Barred);
        foreach ((int id, float bias) in parameters.LogitBias)
            logits[id] += bias;
        if (penalizesRepetition)
            PenalizeRepetition(logits, input, parameters.RepetitionPenalty, scratch.Occurrences);
        if (penalizesOutput)
            PenalizeOutput(logits, input.Output, parameters, scratch.Occurrences);
        return logits;
    }

    /// <summary>Copies the logits whose bits are set; the others become negative infinity.</summary>
    private static void Mask(ReadOnlySpan<float> logits, ReadOnlySpan<uint> allowed, Span<float> masked)
    {
        Vector512<uint> bitOfLane = Vector512.Create(1u, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384, 32768);
        Vector512<float> nothing = Vector512.Create(float.NegativeInfinity);
        for (int start = 0; start < logits.Length; start += Lanes.Width)
        {
            uint bits = (allowed[start / 32] >> (start & 31)) & 0xFFFF;
            Vector512<float> kept = nothing;
            if (bits != 0)
            {
                Vector512<float> isAllowed = Vector512.Equals(Vector512.Create(bits) & bitOfLane, bitOfLane).AsSingle();
                kept = Vector512.ConditionalSelect(isAllowed, Lanes.Load(logits, start), nothing);
            }

            kept.StoreUnsafe(ref masked[start]);
        }
    }

    /// <summary>Excludes <paramref name="barred"/> unless they are all there is: text that its grammar ends here cannot go on.</summary>
    private static void Bar(Span<float> logits, ReadOnlySpan<int> barred)
    {
        if (!HasOther(logits, barred))
            return;
        foreach (int end in barred)
        {
            // A tokenizer may know end tokens that the model cannot say.
            if ((uint)end < (uint)logits.Length)
                logits[end] = float.NegativeInfinity;
        }
    }

    private static bool HasOther(ReadOnlySpan<float> logits, ReadOnlySpan<int> barred)
    {
        // As integers, since only those are searched many at a time.
        ReadOnlySpan<int> bits = MemoryMarshal.Cast<float, int>(logits);
        int nothing = BitConverter.SingleToInt32Bits(float.NegativeInfinity);
        for (int id = 0; id < bits.Length; id++)
        {
            int next = bits[id..].IndexOfAnyExcept(nothing);
            if (next < 0)
                return false;
            id += next;
            if (!barred.Contains(id))
                return true;
        }

        return false;
    }

    /// <summary>Pulls the logit of every token that occurs in prompt or output towards less, once, however often it occurs.</summary>
    private static void PenalizeRepetition(Span<float> logits, in SamplingInput input, float penalty, Span<int> seen)
    {
        PenalizeOnce(logits, input.Prompt, penalty, seen);
        PenalizeOnce(logits, input.Output, penalty, seen);
        foreach (int id in input.Prompt)
            seen[id] = 0;
        foreach (int id in input.Output)
            seen[id] = 0;
    }

    private static void PenalizeOnce(Span<float> logits, ReadOnlySpan<int> tokens, float penalty, Span<int> seen)
    {
        foreach (int id in tokens)
        {
            if (seen[id] != 0)
                continue;
            seen[id] = 1;
            logits[id] = logits[id] > 0 ? logits[id] / penalty : logits[id] * penalty;
        }
    }

    /// <summary>Subtracts <c>occurrences * frequency + presence</c> from the logit of every token that occurs in the output.</summary>
    private static void PenalizeOutput(Span<float> logits, ReadOnlySpan<int> output, SamplingParameters parameters, Span<int> occurrences)
    {
        foreach (int id in output)
            occurrences[id]++;
        foreach (int id in output)
        {
            int count = occurrences[id];
            if (count == 0)
                continue;
            logits[id] -= (count * parameters.FrequencyPenalty) + parameters.PresencePenalty;
            occurrences[id] = 0;
        }
    }
}
