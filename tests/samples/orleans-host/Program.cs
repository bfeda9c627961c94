// One silo of the sample's grains in a process of its own, for tests that kill, stop and cut off processes.
// Usage: OrleansHost --port P --gateway G --cluster ID (--primary PORT | --redis CONNECTION) [--address IP] [--probe-ms MS]
// It prints "ready ADDRESS" when it serves, then answers lines: "kill ADDRESS" with "kill True|False", "members" with address=status pairs.
// SIGTERM or the end of its input stops it gracefully.
using System.Globalization;
using System.Net;
using System.Threading.Channels;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Orleans.Configuration;
using Orleans.Hosting;
using Orleans.Runtime;
using OrleansSample;

var options = new Dictionary<string, string>();
for (int i = 0; i + 1 < args.Length; i += 2) options[args[i]] = args[i + 1];
int Number(string name) => int.Parse(options[name], CultureInfo.InvariantCulture);
IPAddress address = IPAddress.Parse(options.GetValueOrDefault("--address", "127.0.0.1"));

var builder = Host.CreateApplicationBuilder();
builder.Logging.ClearProviders().AddSimpleConsole(console => console.SingleLine = true).SetMinimumLevel(LogLevel.Warning);
builder.Logging.Services.Configure<Microsoft.Extensions.Logging.Console.ConsoleLoggerOptions>(console => console.LogToStandardErrorThreshold = LogLevel.Trace);
// Whoever runs this may be very busy: nothing but probes that are asked for has a short limit.
TimeSpan patience = TimeSpan.FromMinutes(2);
// A test lets a silo wait with leaving while Redis is away.
builder.Services.Configure<HostOptions>(host => host.ShutdownTimeout = 3 * patience);
builder.UseOrleans(silo =>
{
    silo.Configure<SiloMessagingOptions>(messaging => messaging.ResponseTimeout = patience);
    silo.Configure<ConnectionOptions>(connections => connections.OpenConnectionTimeout = patience);
    if (options.TryGetValue("--redis", out string? redis))
    {
        silo.Configure<ClusterOptions>(cluster => (cluster.ServiceId, cluster.ClusterId) = ("host", options["--cluster"]));
        silo.ConfigureEndpoints(address, Number("--port"), Number("--gateway"));
        silo.UseRedisClustering(redis);
    }
    else
    {
        silo.UseLocalhostClustering(Number("--port"), Number("--gateway"), new IPEndPoint(IPAddress.Loopback, Number("--primary")), "host", options["--cluster"]);
    }
    silo.AddPlacementDirector<PinnedPlacement, PinnedPlacementDirector>();
    silo.AddMemoryGrainStorage("maps");
    silo.Configure<ClusterMembershipOptions>(membership =>
    {
        membership.NumMissedProbesLimit = 2;
        membership.ProbeTimeout = options.ContainsKey("--probe-ms") ? TimeSpan.FromMilliseconds(Number("--probe-ms")) : TimeSpan.FromHours(1);
    });
});
using IHost host = builder.Build();
await host.StartAsync();
var self = host.Services.GetRequiredService<ILocalSiloDetails>();
var members = host.Services.GetRequiredService<IClusterMembershipService>();
Console.WriteLine($"ready {self.SiloAddress.ToParsableString()}");

// The console blocks whoever reads it, so that is a thread of its own and none that the silo needs.
var lines = Channel.CreateUnbounded<string>();
var reader = new Thread(() =>
{
    while (Console.ReadLine() is { } line) lines.Writer.TryWrite(line);
    lines.Writer.Complete();
});
reader.IsBackground = true;
reader.Start();
_ = Task.Run(async () =>
{
    await foreach (string line in lines.Reader.ReadAllAsync())
    {
        string[] words = line.Split(' ');
        if (words is ["kill", var silo]) Console.WriteLine($"kill {await members.TryKill(SiloAddress.FromParsableString(silo))}");
        else if (words is ["members"]) Console.WriteLine($"members {string.Join(' ', members.CurrentSnapshot.Members.Values.Select(member => $"{member.SiloAddress}={member.Status}"))}");
    }
    host.Services.GetRequiredService<IHostApplicationLifetime>().StopApplication();
});
await host.WaitForShutdownAsync();
return 0;
