using Grpc.AspNetCore.Server;
using Grpc.Core;
using Grpc.Core.Interceptors;
using Microsoft.Extensions.DependencyInjection;

namespace Conclave.Compat.Tests.Grpc;

public sealed class InterceptorTests
{
    [Theory]
    [InlineData("Unary")]
    [InlineData("Collect")]
    [InlineData("Stream")]
    [InlineData("Talk")]
    public async Task Interceptors_run_in_order_around_every_kind_of_call(string method)
    {
        var journal = new Journal();
        await using ProbeHost host = await StartAsync(journal);
        (await host.CallAsync(method, new Ask { Text = "x" })).AssertOk();
        Assert.Equal(["outer made", "outer in", "inner made", "inner in", "inner out", "inner gone", "outer out", "outer gone"], journal.Lines);
    }

    [Fact]
    public async Task An_interceptor_may_refuse_a_call()
    {
        var journal = new Journal();
        await using ProbeHost host = await StartAsync(journal);
        host.Behavior.Unary = (_, _) => throw new InvalidOperationException("never reached");
        RawResponse response = await host.CallAsync("Unary", new Ask(), ("refuse", "inner"));
        Assert.Equal((StatusCode.Unauthenticated, "by inner"), (response.Status, response.Message));
        Assert.Equal("outer gone", journal.Lines[^1]);
    }

    [Fact]
    public async Task A_service_is_made_for_each_call_from_its_services()
    {
        await using ProbeHost host = await ProbeHost.StartAsync(services: services => services.AddScoped<Scoped>());
        var seen = new List<Scoped>();
        host.Behavior.Unary = (_, context) =>
        {
            Scoped scoped = context.GetHttpContext().RequestServices.GetRequiredService<Scoped>();
            Assert.False(scoped.Disposed.IsCompleted);
            seen.Add(scoped);
            return Task.FromResult(new Answer());
        };
        (await host.CallAsync("Unary", new Ask())).AssertOk();
        (await host.CallAsync("Unary", new Ask())).AssertOk();
        Assert.NotSame(seen[0], seen[1]);
        // The server disposes what belongs to a request once its response has been sent.
        await Task.WhenAll(seen.Select(scoped => scoped.Disposed)).WaitAsync(TimeSpan.FromMinutes(2));
    }

    [Fact]
    public void Only_interceptors_can_be_added()
        => Assert.Throws<ArgumentException>(() => new InterceptorCollection { typeof(string) });

    private static Task<ProbeHost> StartAsync(Journal journal) => ProbeHost.StartAsync(
        options =>
        {
            options.Interceptors.Add<Recorder>("outer");
            options.Interceptors.Add(typeof(Recorder), "inner");
        },
        services => services.AddSingleton(journal));

    internal sealed class Journal
    {
        public List<string> Lines { get; } = [];
    }

    private sealed class Scoped : IDisposable
    {
        private readonly TaskCompletionSource _disposed = new();

        public Task Disposed => _disposed.Task;

        public void Dispose() => _disposed.SetResult();
    }

    internal sealed class Recorder : Interceptor, IDisposable
    {
        private readonly Journal _journal;
        private readonly string _name;

        public Recorder(Journal journal, string name)
        {
            (_journal, _name) = (journal, name);
            _journal.Lines.Add($"{name} made");
        }

        public override Task<TResponse> UnaryServerHandler<TRequest, TResponse>(
            TRequest request, ServerCallContext context, UnaryServerMethod<TRequest, TResponse> continuation)
            => AroundAsync(context, () => continuation(request, context));

        public override Task<TResponse> ClientStreamingServerHandler<TRequest, TResponse>(
            IAsyncStreamReader<TRequest> requestStream, ServerCallContext context, ClientStreamingServerMethod<TRequest, TResponse> continuation)
            => AroundAsync(context, () => continuation(requestStream, context));

        public override Task ServerStreamingServerHandler<TRequest, TResponse>(
            TRequest request, IServerStreamWriter<TResponse> responseStream, ServerCallContext context,
            ServerStreamingServerMethod<TRequest, TResponse> continuation)
            => AroundAsync(context, async () =>
            {
                await continuation(request, responseStream, context);
                return 0;
            });

        public override Task DuplexStreamingServerHandler<TRequest, TResponse>(
            IAsyncStreamReader<TRequest> requestStream, IServerStreamWriter<TResponse> responseStream, ServerCallContext context,
            DuplexStreamingServerMethod<TRequest, TResponse> continuation)
            => AroundAsync(context, async () =>
            {
                await continuation(requestStream, responseStream, context);
                return 0;
            });

        public void Dispose() => _journal.Lines.Add($"{_name} gone");

        private async Task<T> AroundAsync<T>(ServerCallContext context, Func<Task<T>> inner)
        {
            _journal.Lines.Add($"{_name} in");
            if (context.RequestHeaders.GetValue("refuse") == _name)
                throw new RpcException(new Status(StatusCode.Unauthenticated, $"by {_name}"));
            T result = await inner();
            _journal.Lines.Add($"{_name} out");
            return result;
        }
    }
}
