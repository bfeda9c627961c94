using System.Diagnostics;
using System.Net;
using System.Text.Json;
using System.Text.Json.Serialization;
using Conclave.Engine;
using Conclave.Gateway.Ranks;
using Conclave.Gateway.Tests.Support;
using Conclave.Grains;
using Conclave.Grains.Transport;
using Conclave.Silo;
using Conclave.Tests.Support;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Orleans.Runtime;

namespace Conclave.Gateway.Tests.Failover;

/// <summary>Silos and a gateway that is their client, in one process over real sockets: one silo holds the experts, the others are ranks.</summary>
internal sealed class SiloCluster : IAsyncDisposable
{
    private static readonly JsonSerializerOptions WithoutNulls = new() { DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull };

    private readonly string _model;
    private readonly EngineOptions _engine;
    private readonly RankOptions _ranks;
    private readonly string _id = $"failover-{Guid.NewGuid():N}";
    private readonly int[] _ports = FreePorts.Next(3);
    private readonly List<Member> _members = [];
    private readonly List<Member> _dead = [];
    private WebApplication _gateway = null!;

    private SiloCluster(string model, EngineOptions engine, RankOptions ranks) => (_model, _engine, _ranks) = (model, engine, ranks);

    /// <summary>The silos that serve sequences.</summary>
    public IEnumerable<Member> Ranks => _members.Skip(1);

    /// <summary>All that were started and not drained, dead ones too.</summary>
    public IEnumerable<Member> Members => _members.Concat(_dead);

    public HttpClient Client { get; private set; } = null!;

    /// <summary>What silos and gateway logged as errors.</summary>
    public ErrorLog Log { get; } = new();

    /// <summary>Starts the gateway, then the silos; returns when the gateway knows all ranks.</summary>
    public static async Task<SiloCluster> StartAsync(string model, int ranks, EngineOptions? engine = null, RankOptions? rankOptions = null, FailoverOptions? failover = null)
    {
        var cluster = new SiloCluster(model, engine ?? new EngineOptions { MaxBatch = 16, MaxStepRows = 64, KvMemorySizeBytes = 64 << 20 }, rankOptions ?? PatientSilo.Ranks);
        // First, so that it has to wait for the others.
        Task gateway = cluster.StartGatewayAsync(failover ?? PatientGateway.Failover);
        await cluster.AddAsync(SiloRoles.Expert);
        for (int i = 0; i < ranks; i++) await cluster.AddAsync(SiloRoles.Attention);
        await gateway;
        var directory = cluster._gateway.Services.GetRequiredService<RankDirectory>();
        await WaitAsync(() => directory.UsableCount == ranks, () => $"the gateway knows {ranks} ranks, not {directory.UsableCount}; last trouble: {directory.Trouble}");
        return cluster;
    }

    public async Task<Member> AddAsync(SiloRoles roles)
    {
        int[] ports = FreePorts.Next(2);
        bool isFirst = _members.Count == 0;
        var steps = new StepGate();
        var options = new SiloOptions
        {
            ModelDirectory = _model,
            Roles = roles,
            Threads = 1,
            ExpertThreads = 1,
            SiloPort = isFirst ? _ports[0] : ports[0],
            GatewayPort = isFirst ? _ports[1] : ports[1],
            Primary = new IPEndPoint(IPAddress.Loopback, _ports[0]),
            ClusterId = _id,
            // A silo that finds itself declared dead ends its process, and here that is the test's.
            EvictionDelayMs = 600_000,
            DrainGraceSeconds = 300,
            Transport = new TransportOptions { ClusterSecret = "between us", SuspectMs = PatientSilo.LongMs },
            // Steps that wait for rows must not be given up before their rank is.
            Dispatch = new DispatchOptions { RequestTimeoutMs = int.MaxValue, MissingTimeoutMs = PatientSilo.LongMs },
            Engine = _engine with { BeforeStep = steps.Pass },
        };
        HostApplicationBuilder builder = Host.CreateApplicationBuilder();
        builder.Logging.ClearProviders().AddProvider(Log);
        builder.Services.AddPatience(_ranks);
        builder.Services.AddSingleton<IFatalErrorHandler, FatalErrors>();
        builder.AddConclaveSilo(options);
        IHost host = builder.Build();
        var member = new Member(host, options.Transport, steps);
        _members.Add(member);
        // The experts' silo waits for nobody, and the ranks for it.
        await host.StartAsync();
        return member;
    }

    /// <summary>A silo leaves in good order: all that it has is handed over.</summary>
    public async Task DrainAsync(Member member)
    {
        _members.Remove(member);
        await member.Host.StopAsync();
        member.Host.Dispose();
    }

    /// <summary>A silo is gone without a word, as far as that is possible within a process.</summary>
    public async Task KillAsync(Member member)
    {
        _members.Remove(member);
        _dead.Add(member);
        member.Transport.Link.Cut = true;
        var now = new CancellationToken(canceled: true);
        foreach (IHostedService service in member.Host.Services.GetServices<IHostedService>().Reverse())
            if (service.GetType().Assembly != typeof(SiloOptions).Assembly) await service.StopAsync(now).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
    }

    public Task<HttpResponseMessage> PostAsync(object request) => Client.PostAsync("v1/chat/completions", new StringContent(JsonSerializer.Serialize(request, WithoutNulls)));

    /// <summary>Streams all <paramref name="requests"/> at once; what each was answered, with everything that must not change.</summary>
    public Task<string[]> StreamAsync(IEnumerable<object> requests) => Task.WhenAll(requests.Select(async request =>
    {
        using HttpResponseMessage response = await PostAsync(request);
        string body = await response.Content.ReadAsStringAsync();
        Assert.True(response.IsSuccessStatusCode, body);
        StreamedAnswer answer = StreamedAnswer.Parse(body);
        IEnumerable<string> calls = answer.ToolCalls.Select(call => call.GetProperty("function").GetRawText());
        IEnumerable<string> logprobs =
            from choice in answer.Choices
            let all = choice.TryGetProperty("logprobs", out JsonElement found) ? found : default
            where all.ValueKind == JsonValueKind.Object
            from token in all.GetProperty("content").EnumerateArray()
            select token.GetRawText();
        // Not what the cache saved: a prompt that comes again has hits, and what it says is the same.
        string usage = $"{answer.Usage.GetProperty("prompt_tokens")}+{answer.Usage.GetProperty("completion_tokens")}";
        return $"{answer.Reasoning}|{answer.Content}|{string.Join(' ', calls)}|{answer.FinishReason}|{usage}|{string.Join(' ', logprobs)}";
    }));

    public static Task WaitAsync(Func<bool> holds, string what) => WaitAsync(holds, () => what);

    public static async Task WaitAsync(Func<bool> holds, Func<string> what)
    {
        bool held = holds();
        for (long start = Stopwatch.GetTimestamp(); !held && Stopwatch.GetElapsedTime(start) < TimeSpan.FromMinutes(4); held = holds()) await Task.Delay(10);
        Assert.True(held, $"waited too long for: {what()}");
    }

    public async ValueTask DisposeAsync()
    {
        foreach (Member member in Members) member.Steps.Release();
        Client.Dispose();
        await _gateway.StopAsync();
        await _gateway.DisposeAsync();
        // The first silo keeps the membership and the experts.
        foreach (Member member in _members.AsEnumerable().Reverse())
        {
            await member.Host.StopAsync();
            member.Host.Dispose();
        }

        foreach (Member member in _dead) member.Host.Dispose();
    }

    private async Task StartGatewayAsync(FailoverOptions failover)
    {
        WebApplicationBuilder builder = WebApplication.CreateSlimBuilder();
        builder.Logging.ClearProviders().AddProvider(Log);
        builder.Services.AddPatience();
        builder.WebHost.ConfigureKestrel(PatientGateway.Wait);
        builder.AddConclaveGateway(new GatewayOptions
        {
            ModelDirectory = _model,
            Listen = new IPEndPoint(IPAddress.Loopback, _ports[2]),
            Cluster = new ClusterConnection { ClusterId = _id, GatewayPorts = [_ports[1]] },
            Failover = failover,
        });
        _gateway = builder.Build();
        _gateway.MapConclaveGateway();
        Client = new HttpClient { BaseAddress = new Uri($"http://127.0.0.1:{_ports[2]}/"), Timeout = TestServer.Patience };
        await _gateway.StartAsync();
    }

    /// <summary>One silo.</summary>
    internal sealed class Member(IHost host, TransportOptions transport, StepGate steps)
    {
        public IHost Host { get; } = host;

        /// <summary>Before the steps of its rank.</summary>
        public StepGate Steps { get; } = steps;

        public TransportOptions Transport { get; } = transport;

        public Rank Rank { get; } = host.Services.GetRequiredService<Rank>();

        public string Address { get; } = host.Services.GetRequiredService<ILocalSiloDetails>().SiloAddress.ToParsableString();
    }
}
