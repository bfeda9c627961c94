using System.Diagnostics;
using System.Net;
using Conclave.Cli.Chaos;
using Conclave.Model.Tokenization;

namespace Conclave.Cli.Commands.Bench;

/// <summary>What one rate of arrivals came to.</summary>
/// <param name="Rate">Requests a second that were meant to arrive.</param>
/// <param name="Requests">Requests sent.</param>
/// <param name="Completed">Those answered to the end.</param>
/// <param name="Rejected">Those told to come back (429).</param>
/// <param name="Failed">Those that failed otherwise.</param>
/// <param name="OfferedTokensPerSecond">Tokens that the requests sent were to generate.</param>
/// <param name="TokensPerSecond">Tokens that arrived while requests were being sent.</param>
/// <param name="FirstTokenMs">Time from sending to the first token.</param>
/// <param name="BetweenTokensMs">Time between two pieces of a stream.</param>
internal sealed record ServeFigures(
    double Rate, int Requests, int Completed, int Rejected, int Failed, double OfferedTokensPerSecond, double TokensPerSecond, Percentiles FirstTokenMs, Percentiles BetweenTokensMs)
{
    /// <summary>What arrives cannot be served: it is refused, or tokens come at less than three quarters of the rate they are asked for.</summary>
    public bool IsSaturated => Rejected + Failed > 0 || TokensPerSecond < 0.75 * OfferedTokensPerSecond;
}

/// <summary>Median and 99th percentile; null where nothing was measured.</summary>
internal sealed record Percentiles(double? P50, double? P99)
{
    /// <summary>Those of <paramref name="values"/>, in the same unit.</summary>
    public static Percentiles Of(IEnumerable<double> values)
    {
        double[] sorted = [.. values.Order()];
        return sorted.Length == 0 ? new(null, null) : new(At(0.5), At(0.99));

        double At(double share) => sorted[(int)Math.Min(sorted.Length - 1, share * sorted.Length)];
    }
}

/// <summary>
/// Open-loop load: requests arrive as a Poisson process whether or not those before them were answered, as the requests of many independent users do. Arrivals and
/// prompts are drawn from the seed.
/// </summary>
internal sealed class ServeLoad(Uri gateway, Tokenizer tokenizer, int promptTokens, int outputTokens, int seed) : IDisposable
{
    private readonly LoadClient _client = new();

    /// <summary>Sends requests at <paramref name="rate"/> a second for <paramref name="duration"/> and waits until all have ended.</summary>
    public async Task<ServeFigures> Run(double rate, TimeSpan duration, CancellationToken cancellationToken)
    {
        // The same in every process, unlike HashCode.Combine.
        var random = new Random(unchecked((seed * 397) ^ rate.GetHashCode()));
        List<Task<Exchange?>> requests = [];
        int rejected = 0, failed = 0;
        long began = Stopwatch.GetTimestamp();
        for (double due = Gap(random, rate); due < duration.TotalSeconds; due += Gap(random, rate))
        {
            ChaosCase @case = Case(random, requests.Count);
            TimeSpan wait = TimeSpan.FromSeconds(due) - Stopwatch.GetElapsedTime(began);
            if (wait > TimeSpan.Zero) await Task.Delay(wait, cancellationToken);
            requests.Add(Send(@case));
        }

        Exchange[] exchanges = [.. (await Task.WhenAll(requests)).OfType<Exchange>()];
        long end = began + (long)(duration.TotalSeconds * Stopwatch.Frequency);
        double tokens = exchanges.Sum(e => e.Arrivals.Count == 0 ? 0 : (double)e.Answer.CompletionTokens * e.Arrivals.Count(arrival => arrival <= end) / e.Arrivals.Count);
        return new ServeFigures(
            rate,
            requests.Count,
            exchanges.Length,
            rejected,
            failed,
            requests.Count * outputTokens / duration.TotalSeconds,
            tokens / duration.TotalSeconds,
            Percentiles.Of(exchanges.Where(e => e.Arrivals.Count > 0).Select(e => Ms(e.Arrivals[0] - e.Began))),
            Percentiles.Of(exchanges.SelectMany(e => e.Arrivals.Zip(e.Arrivals.Skip(1), (first, second) => Ms(second - first)))));

        async Task<Exchange?> Send(ChaosCase @case)
        {
            try
            {
                return await _client.Run(gateway, @case, cancellationToken);
            }
            catch (HttpRequestException e) when (e.StatusCode == HttpStatusCode.TooManyRequests)
            {
                Interlocked.Increment(ref rejected);
                return null;
            }
            catch (Exception e) when (e is HttpRequestException or IOException or TimeoutException)
            {
                if (Interlocked.Increment(ref failed) == 1) await Console.Error.WriteLineAsync($"conclave: a request failed: {e.Message}");
                return null;
            }
        }
    }

    public void Dispose() => _client.Dispose();

    /// <summary>Time to the next arrival of a Poisson process, in s.</summary>
    private static double Gap(Random random, double rate) => -Math.Log(1 - random.NextDouble()) / rate;

    private static double Ms(long ticks) => ticks * 1000.0 / Stopwatch.Frequency;

    /// <summary>A prompt like no other, so that no prefix is found.</summary>
    private ChaosCase Case(Random random, int number) => new(number, BenchRequest.Body(BenchRequest.Prompt(tokenizer, random, promptTokens), outputTokens, random.Next()), Streams: true);
}
