using Conclave.Engine.Pages;
using Conclave.Engine.Scheduling;
using Conclave.Model;

namespace Conclave.Engine.Tests.Scheduling;

/// <summary>
/// A scheduler with its KV memory, and in the place of a model a function of all tokens so far: what a step reads from the pages is checked to be exactly what was to be
/// there, the next token follows from it, and everything that must hold in every step is asserted. No thread, no clock, no chance.
/// </summary>
internal sealed unsafe class SimulatedEngine : IDisposable
{
    public const int StopToken = 1;

    private const int Vocabulary = 40;

    private static readonly KvLayout Layout = new(layerCount: 1, latentRank: 1, ropeWidth: 0, indexKeyWidth: 0);

    private readonly EngineOptions _options;
    private readonly List<Sequence> _retired = [];

    public SimulatedEngine(EngineOptions options, int pageCount)
    {
        _options = options;
        Memory = new KvMemory(Layout, pageCount * Layout.PageSizeBytes);
        Scheduler = new Scheduler(options, Memory);
    }

    public KvMemory Memory { get; }

    public Scheduler Scheduler { get; }

    public long NowMs { get; set; }

    /// <summary>Sequences that are neither over nor gone.</summary>
    public List<Sequence> Live { get; } = [];

    /// <summary>Rows of the last step.</summary>
    public int Rows { get; private set; }

    public Sequence Submit(GenerationRequest request)
    {
        var sequence = new Sequence(request, Layout.PageTokens, cancelled => Scheduler.RemoveWaiting(cancelled));
        Scheduler.Enqueue(sequence, NowMs);
        Live.Add(sequence);
        return sequence;
    }

    /// <summary>What the engine does in a step. <paramref name="draft"/>: how many drafts a sequence gets, and how many of them are right.</summary>
    public void Step(Func<Sequence, (int Count, int Right)>? draft = null)
    {
        Retire();
        Sequence[] before = [.. Live.Where(IsRunning)];
        StepSegment[] segments = Scheduler.Plan(NowMs).ToArray();
        CheckPlan(before, segments);
        foreach (StepSegment segment in segments)
            Compute(segment);
        foreach (Sequence sequence in Live.Where(sequence => draft is not null && sequence.IsDecoding && !sequence.IsOver))
        {
            (int count, int right) = draft!(sequence);
            Draft(sequence, Math.Min(count, sequence.DraftRoom), right);
        }

        Retire();
        Assert.Null(Memory.FindFault(Live.Select(sequence => sequence.Pages)));
    }

    /// <summary>The tokens that <paramref name="request"/> must get, whatever else happens.</summary>
    public static int[] Expected(GenerationRequest request)
    {
        uint hash = request.PromptIds.Aggregate(0u, Mix);
        List<int> output = [];
        while (output.Count < request.MaxTokens && Token(hash) is var token && (token != StopToken || !request.StopTokenIds.Contains(StopToken)))
        {
            output.Add(token);
            hash = Mix(hash, token);
        }

        return [.. output];
    }

    public void Dispose() => Memory.Dispose();

    /// <summary>It has a place in the batch: a sequence that has joined holds pages exactly then.</summary>
    public static bool IsRunning(Sequence sequence) => sequence.HasJoined && sequence.HasPages;

    private static uint Mix(uint hash, int token) => ((hash ^ (uint)token) * 0x9E3779B1u) ^ (hash >> 13) ^ 0x5bd1e995u;

    private static int Token(uint hash) => (int)((hash >> 7) % Vocabulary);

    private static ref uint Slot(Sequence sequence, int position) =>
        ref ((uint*)sequence.Pages.Page(position / Layout.PageTokens))[position % Layout.PageTokens];

    private void Retire()
    {
        Scheduler.Retire(NowMs, _retired);
        foreach (Sequence sequence in _retired)
            sequence.Complete();
        _retired.Clear();
        Live.RemoveAll(sequence => sequence.FinishReason != FinishReason.None && !IsRunning(sequence));
    }

    private void CheckPlan(Sequence[] before, StepSegment[] segments)
    {
        Rows = segments.Sum(segment => segment.RowCount);
        bool decodes = segments.Any(segment => segment.Sequence.IsDecoding);
        Assert.True(Rows <= (decodes ? Scheduler.StepTokens : _options.MaxStepRows), "the budget is kept");
        Assert.True(Scheduler.RunningCount <= _options.MaxBatch, "places are kept");
        Assert.Equal(segments.Length, segments.Select(segment => segment.Sequence).Distinct().Count());
        Sequence[] running = [.. Live.Where(IsRunning)];
        Assert.Equal(Scheduler.RunningCount, running.Length);
        Assert.Equal(running.Count(sequence => sequence.IsDecoding), segments.Count(segment => segment.Sequence.IsDecoding));
        Assert.True(segments.Length > 0 || running.Length == 0, "something is always done");
        Assert.True(running.Length > 0 || Scheduler.WaitingCount == 0, "somebody always runs");

        // Whoever ranks first goes on, unless somebody came who ranks before it.
        if (before.Length > 0)
        {
            Sequence first = First(before);
            Assert.True(IsRunning(first) || IsSenior(First(running), first), "the first in rank is not interrupted");
        }
    }

    private Sequence First(Sequence[] sequences) => sequences.Aggregate((a, b) => IsSenior(a, b) ? a : b);

    private bool IsSenior(Sequence a, Sequence b) => QueueOrder.IsSenior(a.Standing, b.Standing, _options.AgingMs);

    private static void Compute(StepSegment segment)
    {
        (Sequence sequence, int rows, bool needsLogits) = segment;
        int start = sequence.Pages.Length, known = sequence.TokenCount;
        Assert.True(start + rows <= sequence.Pages.Capacity);
        uint hash = 0;
        for (int i = 0; i < start; i++)
        {
            hash = Mix(hash, sequence.Tokens[i]);
            Assert.Equal(hash, Slot(sequence, i));
        }

        foreach (int token in sequence.NextRows(rows))
        {
            hash = Mix(hash, token);
            Slot(sequence, sequence.Pages.Length++) = hash;
        }

        if (!needsLogits)
            return;
        for (int position = known - 1; position < start + rows; position++)
        {
            int draft = position + 1 < start + rows ? sequence.DraftSpace[0] : -1, token = Token(Slot(sequence, position));
            if (!sequence.Emit(new GeneratedToken(token, 0)) || sequence.IsOver || token != draft)
                break;
        }

        sequence.Pages.Length = Math.Min(sequence.Pages.Length, Math.Max(known, sequence.TokenCount - 1));
        sequence.DraftCount = 0;
    }

    private static void Draft(Sequence sequence, int count, int right)
    {
        uint hash = sequence.Tokens.ToArray().Aggregate(0u, Mix);
        for (int i = 0; i < count; i++)
        {
            int token = Token(hash);
            sequence.DraftSpace[sequence.DraftCount++] = i < right ? token : (token + 1) % Vocabulary;
            hash = Mix(hash, token);
        }
    }
}
