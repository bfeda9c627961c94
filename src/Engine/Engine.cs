using Conclave.Model;

namespace Conclave.Engine;

/// <summary>What an engine is doing, a consistent snapshot.</summary>
/// <param name="Running">Sequences in the batch.</param>
/// <param name="Waiting">Sequences that wait for room.</param>
/// <param name="PagesInUse">KV pages held by sequences.</param>
/// <param name="PagesTotal">KV pages in all.</param>
/// <param name="StepCount">Steps since the start.</param>
/// <param name="PromptTokens">Prompt tokens computed since the start.</param>
/// <param name="GeneratedTokens">Tokens generated since the start.</param>
public sealed record EngineStatus(int Running, int Waiting, int PagesInUse, int PagesTotal, long StepCount, long PromptTokens, long GeneratedTokens);

/// <summary>Serving on one machine: one thread runs step after step; sequences join and leave between steps.</summary>
public sealed class Engine : IDisposable
{
    /// <summary>Starts the step loop's thread.</summary>
    public Engine(Transformer model, EngineOptions options, TimeProvider clock) => throw new NotImplementedException();

    /// <summary>A snapshot for health, metrics and tests.</summary>
    public EngineStatus Status => throw new NotImplementedException();

    /// <summary>Queues a sequence.</summary>
    /// <exception cref="OperatingException">Invalid, too long for the context or for all KV memory, or the queue is full.</exception>
    public Sequence Submit(GenerationRequest request) => throw new NotImplementedException();

    /// <summary>Ends the loop; sequences still running fail as unavailable.</summary>
    public void Dispose() => throw new NotImplementedException();
}
