using System.Net.Sockets;
using Grpc.Core;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.Features;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;

namespace Grpc.AspNetCore.Server.Internal;

/// <summary>A call that came as an HTTP/2 request. It is ended exactly once: by its handler or by its deadline, whichever is first.</summary>
internal sealed class HttpCallContext : ServerCallContext, IAsyncDisposable
{
    private const int ErrorCodeNone = 0;
    private const int ErrorCodeCancel = 8;

    /// <summary>The longest that a timer can wait. A deadline further away is shown to the handler, and not enforced.</summary>
    private static readonly TimeSpan LongestTimer = TimeSpan.FromMilliseconds(uint.MaxValue - 1);

    private readonly ILogger _logger;
    private readonly CancellationTokenSource _cancellation;
    private readonly CancellationToken _cancellationToken;
    private readonly TaskCompletionSource _deadlineDone = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly ITimer? _timer;
    private readonly DateTime _deadline = DateTime.MaxValue;
    private Metadata? _requestHeaders;
    private Metadata? _responseTrailers;
    private int _ended;

    public HttpCallContext(HttpContext httpContext, GrpcServiceOptions options, ILogger logger)
    {
        _logger = logger;
        HttpContext = httpContext;
        _cancellation = CancellationTokenSource.CreateLinkedTokenSource(httpContext.RequestAborted);
        _cancellationToken = _cancellation.Token;
        IHeaderDictionary headers = httpContext.Request.Headers;
        string encoding = Compression.Choose(options.ResponseCompressionAlgorithm, headers[Protocol.AcceptEncodingHeader]);
        httpContext.Response.Headers[Protocol.EncodingHeader] = encoding;
        Reader = new MessageReader(httpContext.Request, options);
        Writer = new MessageWriter(httpContext.Response, options, encoding);
        if (Protocol.TryParseTimeout(headers[Protocol.TimeoutHeader], out TimeSpan timeout))
        {
            TimeProvider time = httpContext.RequestServices.GetRequiredService<TimeProvider>();
            DateTime now = time.GetUtcNow().UtcDateTime;
            _deadline = timeout < DateTime.MaxValue - now ? now + timeout : DateTime.MaxValue;
            if (timeout <= LongestTimer)
                _timer = time.CreateTimer(static state => _ = ((HttpCallContext)state!).ExceedDeadlineAsync(), this, timeout, Timeout.InfiniteTimeSpan);
        }
    }

    public HttpContext HttpContext { get; }

    public MessageReader Reader { get; }

    public MessageWriter Writer { get; }

    /// <summary>Whether the status has been decided.</summary>
    public bool HasEnded => Volatile.Read(ref _ended) == 1;

    protected override string MethodCore => HttpContext.Request.Path.Value!;

    protected override string HostCore => HttpContext.Request.Host.Value ?? "";

    protected override string PeerCore => HttpContext.Connection switch
    {
        { RemoteIpAddress: null } => "unknown",
        { RemoteIpAddress.AddressFamily: AddressFamily.InterNetworkV6 } v6 => $"ipv6:[{v6.RemoteIpAddress}]:{v6.RemotePort}",
        var v4 => $"ipv4:{v4.RemoteIpAddress}:{v4.RemotePort}",
    };

    protected override DateTime DeadlineCore => _deadline;

    protected override Metadata RequestHeadersCore => _requestHeaders ??= RequestMetadata.Read(HttpContext.Request.Headers);

    protected override CancellationToken CancellationTokenCore => _cancellationToken;

    protected override Metadata ResponseTrailersCore => _responseTrailers ??= [];

    protected override Status StatusCore { get; set; }

    protected override WriteOptions? WriteOptionsCore { get; set; }

    protected override AuthContext AuthContextCore => PeerCertificate.Read(HttpContext.Connection.ClientCertificate);

    protected override IDictionary<object, object> UserStateCore => HttpContext.Items!;

    /// <summary>Writes the only response of a call. It goes out together with the status.</summary>
    public Task RespondAsync<TResponse>(TResponse? response, Marshaller<TResponse> marshaller) where TResponse : class
        => response is null
            ? throw new RpcException(Errors.NoResponse)
            : Writer.WriteAsync(response, marshaller.ContextualSerializer, WriteOptions?.Flags ?? default, flush: false, CancellationToken);

    /// <summary>Ends the call with a status, unless its deadline has done so.</summary>
    public async Task EndAsync(Status status, Metadata? trailers)
    {
        if (!TryEnd())
        {
            await _deadlineDone.Task;
            return;
        }
        await Writer.CloseAsync();
        try
        {
            Trailers.Set(HttpContext.Response, status, [.. _responseTrailers ?? Metadata.Empty, .. trailers ?? Metadata.Empty]);
        }
        catch (InvalidOperationException exception)
        {
            Log.TrailersFailed(_logger, Method, exception);
            Trailers.SetStatus(HttpContext.Response, new Status(StatusCode.Internal, "The trailers cannot be sent: a value is not ASCII text."));
        }
    }

    /// <summary>Cancels the call on both sides.</summary>
    public void Cancel() => Reset(ErrorCodeCancel);

    public async ValueTask DisposeAsync()
    {
        if (_timer is not null)
            await _timer.DisposeAsync();
        _cancellation.Dispose();
        Writer.Dispose();
    }

    protected override async Task WriteResponseHeadersAsyncCore(Metadata responseHeaders)
    {
        ArgumentNullException.ThrowIfNull(responseHeaders);
        HttpResponse response = HttpContext.Response;
        if (response.HasStarted)
            throw new InvalidOperationException("Response headers can only be sent once per call.");
        foreach (Metadata.Entry entry in responseHeaders)
            response.Headers.Append(entry.Key, Trailers.Encode(entry));
        await MessageWriter.FlushAsync(response.BodyWriter, CancellationToken);
    }

    protected override ContextPropagationToken CreatePropagationTokenCore(ContextPropagationOptions? options)
        => throw new NotSupportedException("Propagation tokens are not supported. Pass Deadline and CancellationToken on.");

    private async Task ExceedDeadlineAsync()
    {
        if (!TryEnd())
            return;
        try
        {
            // Cancelled first: a write that waits for a slow client would hold the status back.
            Task cancelled = _cancellation.CancelAsync();
            await Writer.CloseAsync();
            Trailers.SetStatus(HttpContext.Response, Errors.DeadlineExceeded);
            await HttpContext.Response.CompleteAsync();
            if (!Reader.AtEnd)
                Reset(ErrorCodeNone);
            await cancelled;
        }
        catch (Exception exception)
        {
            Log.DeadlineFailed(_logger, Method, exception);
        }
        finally
        {
            _deadlineDone.TrySetResult();
        }
    }

    private void Reset(int errorCode)
    {
        if (HttpContext.Features.Get<IHttpResetFeature>() is { } feature)
            feature.Reset(errorCode);
        else
            HttpContext.Abort();
    }

    private bool TryEnd() => Interlocked.Exchange(ref _ended, 1) == 0;
}
