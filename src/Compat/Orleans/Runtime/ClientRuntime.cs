using System.Net;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Options;
using Orleans.Configuration;

namespace Orleans.Runtime;

/// <summary>
/// A client of a cluster outside of its silos. It is connected to all gateways that it knows; they tell it which silos come and go, and by
/// which silo a grain's calls go without a detour.
/// </summary>
internal sealed partial class ClientRuntime : RuntimeClient
{
    private readonly GatewayOptions _options;
    private readonly ILogger _logger;
    private readonly Gateways _gateways = new();
    private readonly LocationCache _locations = new();
    private readonly CancellationTokenSource _stop = new();
    private readonly SemaphoreSlim _connecting = new(1);
    private IGatewayList? _list;
    private volatile MembershipData _members = MembershipData.Empty;

    public ClientRuntime(
        GrainCatalog catalog, IOptions<ClientMessagingOptions> messaging, IOptions<ClusterOptions> cluster, IOptions<GatewayOptions> options,
        IOptions<ConnectionOptions> connections, TimeProvider clock, ILogger<ClientRuntime> logger)
        : base(SiloAddress.New(IPAddress.Loopback, 0, -Random.Shared.Next(1, int.MaxValue)), cluster.Value.ClusterId, catalog, messaging.Value, connections.Value, clock, logger) =>
        (_options, _logger) = (options.Value, logger);

    /// <summary>Connects to at least one gateway.</summary>
    /// <exception cref="SiloUnavailableException">None can be reached.</exception>
    public async Task ConnectAsync(IGatewayList list, IClientConnectionRetryFilter? retry, CancellationToken token)
    {
        _list = list;
        while (true)
        {
            try
            {
                await ConnectToAllAsync(token);
                break;
            }
            catch (Exception e) when (!token.IsCancellationRequested)
            {
                if (retry is null || !await retry.ShouldRetryConnectionAttempt(e, token)) throw;
            }
        }
        _ = Task.Run(RefreshNowAndThenAsync, CancellationToken.None);
    }

    public async Task DisconnectAsync()
    {
        Stop();
        if (_list is IAsyncDisposable list) await list.DisposeAsync();
    }

    public override void Dispose()
    {
        base.Dispose();
        Stop();
    }

    protected override void Send(Message request)
    {
        request.Pack(Codecs);
        if (_gateways.Pick(request.Target, _locations.Find(request.Target)) is { } connection) SendBy(connection, request);
        else _ = SendLaterAsync(request);
    }

    protected override void SendAgain(PendingCall? call, Message request)
    {
        try
        {
            Send(request);
        }
        catch (Exception e)
        {
            if (call is not null) Fail(call, e);
        }
    }

    protected override bool IsLeaving(SiloAddress silo) => _gateways.IsLeaving(silo);

    protected override void SendCancel(PendingCall call) =>
        call.Connection?.Send(MessageCodec.Write(new Message { Kind = MessageKind.Cancel, CallId = call.CallId, Target = call.Request.Target }, Codecs));

    protected override void OnFrame(Connection connection, ReadOnlyMemory<byte> frame)
    {
        try
        {
            switch (MessageCodec.Read(frame, Codecs, Catalog, FindRequest))
            {
                case { Kind: MessageKind.Response } response:
                    if (response.Location is { } location) _locations.Set(response.Request!.Target, location);
                    else if (response.Failure is OrleansMessageRejectionException) _locations.Remove(response.Request!.Target);
                    Complete(response);
                    break;
                case { Kind: MessageKind.Members } members:
                    OnMembers(Codecs.Deserialize<MembershipData>(members.Body));
                    break;
                case { Kind: MessageKind.Leaving } leaving:
                    OnMembers(Codecs.Deserialize<MembershipData>(leaving.Body));
                    connection.EndRequests(MessageCodec.Write(new Message { Kind = MessageKind.Silent }, Codecs));
                    break;
            }
        }
        catch (Exception e)
        {
            Logger.BadFrame(connection.Peer, e);
        }
    }

    protected override void OnClosed(Connection connection, string reason)
    {
        _gateways.Remove(connection);
        base.OnClosed(connection, reason);
        if (_stop.IsCancellationRequested) return;
        LogGatewayLost(connection.Peer, reason);
        _ = Task.Run(() => ConnectInBackgroundAsync(TimeSpan.FromMilliseconds(200)));
    }

    private void Stop()
    {
        if (_stop.IsCancellationRequested) return;
        _stop.Cancel();
        FailAll(_ => new OrleansException("The client was stopped."));
        Outgoing.Stop("the client was stopped");
    }

    private void SendBy(Connection connection, Message request)
    {
        PendingCall? call = FindCall(request.CallId);
        if (call is not null) call.TargetSilo = connection.Peer;
        Transmit(call, request, connection);
    }

    /// <summary>Without any gateway a call waits for the attempt to find one.</summary>
    private async Task SendLaterAsync(Message request)
    {
        try
        {
            if (_list is null) throw new InvalidOperationException("The client has not been started; grain calls work once the host runs.");
            await Task.Run(() => ConnectToAllAsync(_stop.Token)).ConfigureAwait(false);
            SendBy(_gateways.Pick(request.Target, null) ?? throw new SiloUnavailableException("None of the known gateways can be reached."), request);
        }
        catch (Exception e)
        {
            if (FindCall(request.CallId) is { } call) Fail(call, e as SiloUnavailableException ?? new SiloUnavailableException($"No gateway of the cluster can be reached: {e.Message}", e));
        }
    }

    private void OnMembers(MembershipData data)
    {
        lock (_gateways)
        {
            if (data.Version <= _members.Version) return;
            _members = data;
        }
        SiloAddress[] dead = [.. data.Rows.Where(row => row.Status == SiloStatus.Dead && _gateways.Contains(row.Silo)).Select(row => row.Silo)];
        SiloAddress[] leftInOrder = [.. dead.Where(_gateways.IsLeaving)];
        _gateways.Learn(data);
        foreach (SiloAddress silo in dead.Except(leftInOrder)) Close(silo);
        foreach (SiloAddress silo in leftInOrder) AfterLastAnswers(() => Close(silo));
        _ = Task.Run(() => ConnectInBackgroundAsync(TimeSpan.Zero));
    }

    private void Close(SiloAddress silo)
    {
        foreach (Connection connection in Outgoing.Open)
            if (connection.Peer.Equals(silo)) connection.Close("the silo is dead");
    }

    /// <summary>Connects to every gateway that is known and not connected yet.</summary>
    /// <exception cref="SiloUnavailableException">None can be reached.</exception>
    private async Task ConnectToAllAsync(CancellationToken token)
    {
        await _connecting.WaitAsync(token);
        try
        {
            // Silos are the better source, as long as one answers.
            MembershipData members = _members;
            IEnumerable<Gateway> known = Gateways.Of(members);
            if (_gateways.IsEmpty)
            {
                known = known.Concat(await _list!.ReadAsync(token));
                // Whoever answers now may belong to a cluster that was started anew and counts from the beginning.
                _members = MembershipData.Empty;
            }
            Exception? failure = null;
            await Task.WhenAll(known.ToArray().Select(async gateway => failure = await TryConnectAsync(gateway) ?? failure));
            if (!_gateways.IsEmpty) return;
            _members = members;
            throw failure ?? new SiloUnavailableException("The cluster has no gateway yet: no silo is active.");
        }
        finally
        {
            _connecting.Release();
        }
    }

    private async Task<Exception?> TryConnectAsync(Gateway gateway)
    {
        if (_gateways.Contains(gateway.Silo)) return null;
        try
        {
            _gateways.Add(await Outgoing.GetAsync(gateway.Silo, gateway.Endpoint));
            return null;
        }
        catch (SiloUnavailableException e)
        {
            return e;
        }
    }

    private async Task ConnectInBackgroundAsync(TimeSpan delay)
    {
        try
        {
            await Task.Delay(delay, Clock, _stop.Token);
            await ConnectToAllAsync(_stop.Token);
        }
        catch (Exception e)
        {
            if (!_stop.IsCancellationRequested) LogNotConnected(e.Message);
        }
    }

    private async Task RefreshNowAndThenAsync()
    {
        while (!_stop.IsCancellationRequested)
        {
            await ((Task)Task.Delay(_options.GatewayListRefreshPeriod, Clock, _stop.Token)).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            if (!_stop.IsCancellationRequested) await ConnectInBackgroundAsync(TimeSpan.Zero);
        }
    }

    [LoggerMessage(LogLevel.Warning, "The connection to gateway {Silo} is lost: {Reason}")]
    private partial void LogGatewayLost(SiloAddress silo, string reason);

    [LoggerMessage(LogLevel.Warning, "No gateway could be reached: {Reason}")]
    private partial void LogNotConnected(string reason);
}
