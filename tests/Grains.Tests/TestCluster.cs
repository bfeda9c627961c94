using System.Diagnostics;
using System.Net;
using Conclave.Engine;
using Conclave.Grains.Transport;
using Conclave.Silo;
using Conclave.Tests.Support;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Orleans;
using Orleans.Runtime;

namespace Conclave.Grains.Tests;

/// <summary>Silos in this process that serve one model together: Orleans on localhost, rows over real sockets.</summary>
public sealed class TestCluster(string model, Func<SiloOptions, SiloOptions>? configure = null) : IAsyncDisposable
{
    private static readonly TimeSpan Limit = TimeSpan.FromMinutes(4);

    private readonly string _id = $"test-{Guid.NewGuid():N}";
    private readonly List<Member> _members = [];
    private IPEndPoint? _primary;

    /// <summary>Silos that run, in the order of their start.</summary>
    public IReadOnlyList<Member> Members => _members;

    /// <summary>The map grain, as the last silo reaches it.</summary>
    public IExpertMapGrain Map => _members[^1].Map;

    /// <summary>Starts silos one after the other; each serves when it has started, unless its options say otherwise.</summary>
    public async Task<Member> StartAsync(int count = 1, Func<SiloOptions, SiloOptions>? adjust = null)
    {
        for (int i = 0; i < count; i++)
        {
            int[] ports = FreePorts.Next(2);
            _primary ??= new IPEndPoint(IPAddress.Loopback, ports[0]);
            var link = new LinkConditions();
            var options = new SiloOptions
            {
                ModelDirectory = model,
                Threads = 1,
                ExpertThreads = 1,
                Slots = 2,
                SiloPort = ports[0],
                GatewayPort = ports[1],
                Primary = _primary,
                ClusterId = _id,
                DrainGraceSeconds = 300,
                // A silo that finds itself declared dead ends its process, and here that is the test's.
                EvictionDelayMs = 600_000,
                Transport = new TransportOptions { ClusterSecret = "between us", Link = link, SuspectMs = 10_000 },
                Dispatch = new DispatchOptions { RequestTimeoutMs = PatientSilo.LongMs, MissingTimeoutMs = PatientSilo.LongMs },
                Engine = new EngineOptions { MaxBatch = 8, MaxStepRows = 32, KvMemorySizeBytes = 4 << 20 },
            };
            options = configure?.Invoke(options) ?? options;
            _members.Add(await Member.StartAsync(adjust?.Invoke(options) ?? options, link));
        }

        return _members[^1];
    }

    /// <summary>Stops a silo in good order.</summary>
    public async Task StopAsync(Member member)
    {
        _members.Remove(member);
        await member.StopAsync();
    }

    /// <summary>Ends a silo as abruptly as one process allows: it hears and says nothing any more, and Orleans leaves without a word to the map.</summary>
    public async Task KillAsync(Member member)
    {
        _members.Remove(member);
        await member.KillAsync();
        // It may have been too slow to say so itself, and this process too slow for its transport to find out.
        SiloAddress dead = SiloAddress.FromParsableString(member.Address);
        var membership = _members[0].Services.GetRequiredService<IClusterMembershipService>();
        await UntilAsync(async () => membership.CurrentSnapshot.GetSiloStatus(dead) == SiloStatus.Dead || await membership.TryKill(dead), () => $"{dead} does not count as dead");
    }

    /// <summary>Waits for a view, as the map grain has it.</summary>
    public async Task<ClusterView> UntilAsync(Func<ClusterView, bool> condition)
    {
        ClusterView view = ClusterView.Empty;
        await UntilAsync(async () => condition(view = await Map.Current()), () => $"epoch {view.Epoch}, map version {view.Map.Version}, silos {string.Join(' ', view.Silos.Select(o => o.Silo))}, {view.MissingExperts} missing");
        return view;
    }

    /// <summary>Waits for a condition; on a busy machine that takes a while.</summary>
    public static async Task UntilAsync(Func<Task<bool>> condition, Func<string> state)
    {
        long start = Stopwatch.GetTimestamp();
        while (true)
        {
            try
            {
                if (await condition()) return;
            }
            catch (Exception e) when (Calls.MayBeRepeated(e) && Stopwatch.GetElapsedTime(start) < Limit)
            {
                await Task.Delay(100);
            }

            Assert.True(Stopwatch.GetElapsedTime(start) < Limit, state());
            await Task.Delay(20);
        }
    }

    /// <summary>A request whose tokens depend on everything that could go wrong.</summary>
    public static GenerateCommand Command(int number, int maxTokens, int vocabulary = 500) => new()
    {
        SequenceId = Guid.NewGuid(),
        PromptIds = [.. Enumerable.Range(0, 5 + (number * 3 % 11)).Select(i => ((i * 37) + (number * 101) + 7) % vocabulary)],
        MaxTokens = maxTokens,
        StopTokenIds = [],
        Temperature = number % 3 == 0 ? 0 : 0.9f,
        Seed = (ulong)number,
    };

    public async ValueTask DisposeAsync()
    {
        // The first silo keeps the membership.
        for (int i = _members.Count - 1; i >= 0; i--) await _members[i].StopAsync();
    }

    /// <summary>One silo.</summary>
    public sealed class Member
    {
        private readonly IHost _host;
        private readonly LinkConditions _link;

        private Member(IHost host, LinkConditions link)
        {
            (_host, _link) = (host, link);
            Address = host.Services.GetRequiredService<ILocalSiloDetails>().SiloAddress.ToParsableString();
            Options = host.Services.GetRequiredService<SiloOptions>();
        }

        public string Address { get; }

        public SiloOptions Options { get; }

        public IServiceProvider Services => _host.Services;

        public IGrainFactory Grains => _host.Services.GetRequiredService<IGrainFactory>();

        public IExpertMapGrain Map => Grains.GetGrain<IExpertMapGrain>(Options.ModelName);

        public Rank Rank => _host.Services.GetRequiredService<Rank>();

        public IGatewayGrain Gateway => Grains.GetGrain<IGatewayGrain>(SiloKey.Rank(Address));

        public static async Task<Member> StartAsync(SiloOptions options, LinkConditions link)
        {
            HostApplicationBuilder builder = Host.CreateApplicationBuilder();
            builder.Logging.ClearProviders();
            if (Environment.GetEnvironmentVariable("CONCLAVE_TEST_LOG") is { } level)
                builder.Logging.SetMinimumLevel(Enum.Parse<LogLevel>(level)).AddSimpleConsole(console => (console.SingleLine, console.TimestampFormat) = (true, $"HH:mm:ss.fff {options.SiloPort} "));
            builder.Services.AddPatience().AddSingleton<IFatalErrorHandler, FatalErrors>();
            builder.AddConclaveSilo(options);
            IHost host = builder.Build();
            try
            {
                await host.StartAsync();
            }
            catch
            {
                await host.StopAsync();
                host.Dispose();
                throw;
            }

            return new Member(host, link);
        }

        /// <summary>All tokens of a request, whose stream this silo's rank gives.</summary>
        public async Task<int[]> GenerateAsync(GenerateCommand command, Action<int>? progress = null)
        {
            var tokens = new List<int>();
            await foreach (TokenChunk chunk in Gateway.Generate(command, default).WithBatchSize(1))
            {
                Assert.Equal(tokens.Count, chunk.Position);
                tokens.AddRange(chunk.Ids);
                progress?.Invoke(tokens.Count);
            }

            return [.. tokens];
        }

        public async Task StopAsync()
        {
            await _host.StopAsync();
            _host.Dispose();
        }

        public async Task KillAsync()
        {
            _link.Cut = true;
            var now = new CancellationToken(canceled: true);
            foreach (IHostedService service in _host.Services.GetServices<IHostedService>().Reverse())
                if (service.GetType().Assembly != typeof(SiloOptions).Assembly) await service.StopAsync(now).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }
    }
}
