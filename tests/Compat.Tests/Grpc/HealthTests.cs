using Grpc.AspNetCore.HealthChecks;
using Grpc.Core;
using Grpc.Health.V1;
using Microsoft.AspNetCore.Builder;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Diagnostics.HealthChecks;
using ServingStatus = Grpc.Health.V1.HealthCheckResponse.Types.ServingStatus;

namespace Conclave.Compat.Tests.Grpc;

public sealed class HealthTests
{
    private static readonly TimeSpan Patience = TimeSpan.FromMinutes(2);

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Check_tells_each_service_by_its_own_checks(bool cached)
    {
        var disk = new Switch { Status = HealthStatus.Degraded };
        await using ProbeHost host = await StartAsync(disk, options => options.UseHealthChecksCache = cached);
        await EventuallyAsync(async () => await CheckAsync(host, "model") == ServingStatus.Serving);
        Assert.Equal(ServingStatus.Serving, await CheckAsync(host, ""));
        Assert.Equal(ServingStatus.Serving, await CheckAsync(host, "disk"));
        Assert.Equal(ServingStatus.Unknown, await CheckAsync(host, "none"));
        disk.Status = HealthStatus.Unhealthy;
        await EventuallyAsync(async () => await CheckAsync(host, "disk") == ServingStatus.NotServing);
        Assert.Equal(ServingStatus.NotServing, await CheckAsync(host, ""));
        Assert.Equal(ServingStatus.Serving, await CheckAsync(host, "model"));
        Assert.Null(await CheckAsync(host, "other"));
    }

    [Fact]
    public async Task Watch_tells_the_state_and_its_changes()
    {
        var disk = new Switch { Status = HealthStatus.Healthy };
        await using ProbeHost host = await StartAsync(disk);
        using HttpResponseMessage response = await WatchAsync(host, "disk");
        await using Stream body = await response.Content.ReadAsStreamAsync();
        Assert.Equal(ServingStatus.Serving, await NextAsync(body));
        disk.Status = HealthStatus.Unhealthy;
        Assert.Equal(ServingStatus.NotServing, await NextAsync(body));
        disk.Status = HealthStatus.Healthy;
        Assert.Equal(ServingStatus.Serving, await NextAsync(body));
    }

    [Fact]
    public async Task Watch_of_an_unknown_service_says_so_and_waits()
    {
        await using ProbeHost host = await StartAsync(new Switch());
        using HttpResponseMessage response = await WatchAsync(host, "other");
        await using Stream body = await response.Content.ReadAsStreamAsync();
        Assert.Equal(ServingStatus.ServiceUnknown, await NextAsync(body));
        Assert.False(body.ReadAsync(new byte[1]).AsTask().IsCompleted);
    }

    [Fact]
    public async Task Watch_ends_when_the_server_stops()
    {
        ProbeHost host = await StartAsync(new Switch { Status = HealthStatus.Healthy });
        using HttpResponseMessage response = await WatchAsync(host, "");
        await using Stream body = await response.Content.ReadAsStreamAsync();
        Assert.Equal(ServingStatus.Serving, await NextAsync(body));
        Task stopping = host.StopAsync();
        Assert.Equal(ServingStatus.NotServing, await NextAsync(body));
        Assert.Equal(0, await body.ReadAsync(new byte[1]).AsTask().WaitAsync(Patience));
        await stopping.WaitAsync(Patience);
        await host.DisposeAsync();
    }

    private static Task<ProbeHost> StartAsync(Switch disk, Action<GrpcHealthChecksOptions>? configure = null) => ProbeHost.StartAsync(
        services: services =>
        {
            services.AddGrpcHealthChecks(options =>
                {
                    options.Services.Map("model", check => check.Name == "model");
                    options.Services.Map("disk", check => check.Tags.Contains("storage"));
                    options.Services.Map("none", _ => false);
                    configure?.Invoke(options);
                })
                .AddCheck("model", () => HealthCheckResult.Healthy())
                .AddCheck("disk", () => new HealthCheckResult(disk.Status), tags: ["storage"]);
            services.Configure<HealthCheckPublisherOptions>(options => (options.Delay, options.Period) = (TimeSpan.Zero, TimeSpan.FromSeconds(1)));
        },
        map: app => app.MapGrpcHealthChecksService());

    private static async Task<ServingStatus?> CheckAsync(ProbeHost host, string service)
    {
        var content = new ByteArrayContent(ProbeHost.Frame(new HealthCheckRequest { Service = service }));
        RawResponse response = await host.CallPathAsync("/grpc.health.v1.Health/Check", content);
        if (response.Status == StatusCode.NotFound)
            return null;
        response.AssertOk();
        return response.Messages(HealthCheckResponse.Parser).Single().Status;
    }

    private static Task<HttpResponseMessage> WatchAsync(ProbeHost host, string service)
        => host.SendAsync("/grpc.health.v1.Health/Watch", new ByteArrayContent(ProbeHost.Frame(new HealthCheckRequest { Service = service })));

    private static async Task<ServingStatus> NextAsync(Stream body)
    {
        byte[] header = new byte[5];
        await body.ReadExactlyAsync(header).AsTask().WaitAsync(Patience);
        byte[] message = new byte[header[4]];
        await body.ReadExactlyAsync(message).AsTask().WaitAsync(Patience);
        return HealthCheckResponse.Parser.ParseFrom(message).Status;
    }

    private static async Task EventuallyAsync(Func<Task<bool>> condition)
    {
        using var limit = new CancellationTokenSource(Patience);
        while (!await condition())
            await Task.Delay(50, limit.Token);
    }

    private sealed class Switch
    {
        public HealthStatus Status { get; set; }
    }
}
