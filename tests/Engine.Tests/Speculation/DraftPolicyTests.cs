using Conclave.Engine.Speculation;

namespace Conclave.Engine.Tests.Speculation;

/// <summary>The number of drafts follows what steps cost and how often drafts are right.</summary>
public sealed class DraftPolicyTests
{
    [Theory]
    [InlineData(0.95, 0.1, 0.05, 1, 3)] // rows cost little
    [InlineData(0.70, 4.0, 0.05, 1, 0)] // a row costs as much as a step
    [InlineData(0.02, 0.1, 0.05, 1, 0)] // hardly ever right
    [InlineData(0.60, 0.1, 0.35, 1, 1)] // a second one is right too seldom
    [InlineData(0.95, 0.1, 0.05, 32, 0)] // many rows at once: each costs
    public void The_best_rate_wins(double acceptance, double perRow, double perPass, int sequences, int expected)
    {
        var server = new Server(acceptance, rows => 1 + (perRow * rows) + (sequences > 8 ? rows : 0), perPass);
        server.Run(1000, sequences);
        int[] counts = server.Run(2000, sequences);
        Assert.InRange(counts[expected], 1850, 2000);
        Assert.InRange(counts.Sum() - counts[expected], 1, 150);
    }

    [Fact]
    public void It_changes_its_mind_when_the_text_or_the_load_does()
    {
        var server = new Server(0.9, rows => rows < 8 ? 2 + (0.1 * rows) : rows, 0.1);
        foreach ((int sequences, double acceptance, bool pays) in new[] { (1, 0.9, true), (16, 0.9, false), (1, 0.9, true), (1, 0.02, false), (1, 0.95, true) })
        {
            server.Acceptance = acceptance;
            server.Run(5000, sequences);
            Assert.Equal(pays, server.Run(1000, sequences)[0] < 500);
        }
    }

    /// <summary>A machine that others use as well is slow for a while, then quick, and now and then stands still: none of it has to do with drafts.</summary>
    [Theory]
    [InlineData(0.6, 0.5, 1)]
    [InlineData(0.8, 0.9, 0)]
    public void Disturbances_do_not_mislead_it(double acceptance, double perRow, int expected)
    {
        var random = new Random(5);
        int steps = 0;
        var server = new Server(acceptance, rows => (1 + (perRow * (rows - 1))) * (1 + (steps++ / 50 % 3)) * (0.9 + (0.2 * random.NextDouble())) * (random.Next(20) == 0 ? 10 : 1), 0);
        server.Run(4000, 1);
        Assert.InRange(server.Run(4000, 1)[expected], 3000, 4000);
    }

    /// <summary>What was never measured is believed to be as what is most like it, until it is measured.</summary>
    [Fact]
    public void A_load_never_seen_is_judged_by_one_like_it()
    {
        var server = new Server(0.95, rows => rows, 0.1);
        server.Run(2000, 8);
        Assert.Equal(0, server.Policy.Next(5, null));
        Assert.Equal(0, server.Policy.Next(20, null));
    }

    /// <summary>Answers of a few tokens, prompts between them: what no single answer is long enough for is learned from several.</summary>
    [Fact]
    public void Short_answers_are_learned_from_too()
    {
        var server = new Server(0.9, rows => rows, 0.3);
        for (int answer = 0; answer < 100; answer++)
        {
            server.Run(2, 1);
            server.EndAnswer();
        }

        Assert.Equal(0, server.Policy.Next(1, null));
    }

    /// <summary>Where drafts never pay and following costs something, hardly a step follows; a text that drafts suit is still found.</summary>
    [Fact]
    public void What_never_pays_is_hardly_followed()
    {
        var server = new Server(0.1, rows => rows, 0.2) { FollowingShare = 0.05 };
        server.Run(20_000, 4);
        Assert.InRange(server.Followed, 1, 1000);
        server = new Server(0.1, rows => 10 + rows, 0.2) { FollowingShare = 0.05 };
        server.Run(5000, 4);
        Assert.InRange(server.Followed, 1, 500);
        server.Acceptance = 0.9;
        server.Run(20_000, 4);
        Assert.InRange(server.Run(1000, 4)[0], 0, 200);
    }

    [Fact]
    public void Following_that_costs_next_to_nothing_never_pauses()
    {
        var server = new Server(0.1, rows => rows, 0.2) { FollowingShare = 0.005 };
        int[] counts = server.Run(5000, 4);
        Assert.Equal(5000, server.Followed);
        Assert.InRange(counts[0], 4940, 5000);
    }

    /// <summary>Sequences that cannot have drafts: their steps say nothing, and nothing is tried.</summary>
    [Fact]
    public void Steps_of_sequences_that_were_not_followed_do_not_count()
    {
        var policy = new DraftPolicy(SpeculationOptions.Auto, 8);
        for (int step = 0; step < 1000; step++)
            Assert.Equal(0, policy.Next(4, 1, isComparable: false));
        Assert.False(policy.Pauses(4));
    }

    [Fact]
    public void A_fixed_number_stays()
    {
        var policy = new DraftPolicy(SpeculationOptions.Always(2), 8);
        for (int step = 0; step < 300; step++)
        {
            Assert.Equal(2, policy.Next(step % 8, step));
            policy.RecordDrafts(0, nextWasWrong: true);
        }
    }

    /// <summary>Steps with drafts of some acceptance, in a time by their rows and passes of the module.</summary>
    private sealed class Server(double acceptance, Func<int, double> step, double perPass)
    {
        private readonly Random _random = new(1);
        private double? _lastMs;

        public DraftPolicy Policy { get; } = new(SpeculationOptions.Auto, 32);

        public double Acceptance { get; set; } = acceptance;

        public double FollowingShare { get; init; }

        public int Followed { get; private set; }

        public void EndAnswer()
        {
            Policy.Next(0, _lastMs);
            _lastMs = null;
        }

        /// <summary>How often each number of drafts was chosen.</summary>
        public int[] Run(int steps, int sequences)
        {
            int[] counts = new int[4];
            for (int i = 0; i < steps; i++)
            {
                if (Policy.Pauses(sequences))
                {
                    _lastMs = null;
                    counts[0]++;
                    continue;
                }

                Followed++;
                int drafts = Policy.Next(sequences, _lastMs);
                counts[drafts]++;
                if (drafts == 0)
                    Policy.RecordFollowing(FollowingShare);
                for (int sequence = 0; sequence < sequences; sequence++)
                {
                    int right = 0;
                    while (right < drafts && _random.NextDouble() < Acceptance)
                        right++;
                    Policy.RecordDrafts(right, right < drafts);
                }

                _lastMs = step(sequences * (1 + drafts)) + 0.01 + (drafts * perPass);
            }

            return counts;
        }
    }
}
