using Conclave.Model;

namespace Conclave.Engine.Speculation;

/// <summary>Guesses tokens that sequences may go on with. A wrong guess costs time, never a token.</summary>
internal interface IDrafter : IDisposable
{
    /// <summary>Follows what the step computed, and drafts behind the last token of each sequence that decodes and goes on. Returns how many of these it cannot draft for, since it has not followed them from the beginning.</summary>
    /// <param name="step">The batch after its pass.</param>
    /// <param name="rows">What was right in it; sequences that have ended are among them.</param>
    /// <param name="count">Most drafts for each; 0 only follows, so that drafts can begin in any later step; null does not even follow.</param>
    int Draft(StepBatch step, ReadOnlySpan<StepRows> rows, int? count);
}
