using Conclave.Engine;
using Conclave.Grains.Transport;
using Conclave.Model;
using Conclave.Model.Experts;

namespace Conclave.Grains;

/// <content>Placing pairs on silos, receiving their rows, and what happens when a silo fails.</content>
public sealed unsafe partial class ClusterExpertDispatch
{
    // A silo that dropped off is asked again soon, since only its state at the transport counts then; one that hangs or fails in itself is left alone for longer.
    private static readonly TimeSpan AvoidLost = TimeSpan.FromMilliseconds(50), AvoidFaulty = TimeSpan.FromSeconds(2);
    private static readonly TimeSpan WaitSlice = TimeSpan.FromMilliseconds(250), RetryPeriod = TimeSpan.FromMilliseconds(5), SignalPeriod = TimeSpan.FromMilliseconds(500);
    private long _longestRoundTrip;
    private int[] _targets = [];
    private int[] _targetCounts = [];

    /// <summary>
    /// Finds somebody for the pairs <paramref name="first"/> to <paramref name="first"/> + <paramref name="count"/> of the order: sends requests, computes what is held here, and leaves the
    /// rest behind the others. Returns how many were placed.
    /// </summary>
    private int Place(RowsUnderWay underWay, int first, int count)
    {
        int nobody = _routes.Peers.Length + 1;
        if (_targetCounts.Length != nobody + 2) _targetCounts = new int[nobody + 2];
        PickTargets(underWay, first, count, nobody);
        SortByTarget(underWay, first, count);
        for (int peer = 0; peer < nobody - 1; peer++) Send(underWay, peer, first + _targetCounts[peer], _targetCounts[peer + 1] - _targetCounts[peer]);
        ComputeHere(underWay, first + _targetCounts[nobody - 1], _targetCounts[nobody] - _targetCounts[nobody - 1]);
        return _targetCounts[nobody];
    }

    /// <summary>As <see cref="Place"/>, and waits until nothing is left.</summary>
    /// <exception cref="OperatingException">Not in time, or the rank closes.</exception>
    private void PlaceAll(RowsUnderWay underWay, int first, int count)
    {
        _isDisturbed = true;
        long start = _clock.GetTimestamp();
        TimeSpan signalAt = TimeSpan.Zero;
        while (true)
        {
            Refresh();
            int placed = Place(underWay, first, count);
            first += placed;
            count -= placed;
            if (count == 0) return;
            TimeSpan waited = _clock.GetElapsedTime(start);
            if (_isClosed) ThrowClosed();
            if (waited.TotalMilliseconds >= _options.MissingTimeoutMs) ThrowMissing(underWay, first, waited);
            if (waited >= signalAt)
            {
                signalAt = waited + SignalPeriod;
                Signal(underWay, first, count, waited);
            }

            _changed.WaitOne(RetryPeriod);
        }
    }

    /// <summary>Takes the newest view and table in the middle of a step.</summary>
    private void Refresh()
    {
        lock (_gate) _routes = _latest;
        _local.Table = _experts.Table;
        _picker.Use(_routes);
    }

    private void PickTargets(RowsUnderWay underWay, int first, int count, int nobody)
    {
        if (_targets.Length < underWay.PairCount) _targets = new int[underWay.PairCount];
        Array.Clear(_targetCounts);
        _picker.Begin();
        for (int i = first; i < first + count; i++)
        {
            int pair = underWay.Order[i], expert = underWay.Rows.ExpertIds[pair];
            int pick = _picker.Pick(underWay.Layer, expert, _local.Table.Holds(underWay.Layer, expert));
            int target = pick == ExpertPicker.Nobody ? nobody : pick == ExpertPicker.Here ? nobody - 1 : pick;
            _targets[pair] = target;
            _targetCounts[target + 1]++;
        }
    }

    /// <summary>Counting sort; afterwards <c>_targetCounts[t]</c> is where target t begins, from the first pair.</summary>
    private void SortByTarget(RowsUnderWay underWay, int first, int count)
    {
        for (int target = 1; target < _targetCounts.Length; target++) _targetCounts[target] += _targetCounts[target - 1];
        for (int i = first; i < first + count; i++)
        {
            int pair = underWay.Order[i];
            underWay.Sorted[_targetCounts[_targets[pair]]++] = pair;
        }

        new ReadOnlySpan<int>(underWay.Sorted, count).CopyTo(new Span<int>(underWay.Order + first, count));
        // Filling moved every beginning to the next target's.
        for (int target = _targetCounts.Length - 1; target > 0; target--) _targetCounts[target] = _targetCounts[target - 1];
        _targetCounts[0] = 0;
    }

    private void Send(RowsUnderWay underWay, int peer, int first, int count)
    {
        // A reply is larger than its request: it decides how many pairs go into one.
        int most = Math.Max(_transport is null ? 1 : _transport.Options.MaxPayloadBytes / ((_config.HiddenSize * sizeof(float)) + 128), 1);
        for (; count > 0; first += most, count -= most) SendOne(underWay, peer, first, Math.Min(count, most));
    }

    private void SendOne(RowsUnderWay underWay, int peer, int first, int count)
    {
        int k = underWay.Rows.ExpertsPerToken, rows = 0, row = -1;
        for (int i = first; i < first + count; i++)
        {
            if (underWay.Order[i] / k != row) rows++;
            row = underWay.Order[i] / k;
        }

        TensorCall call = _routes.Peers[peer].Rent(ExpertRequest.SizeBytes(_options.Type, rows, _config.HiddenSize, count));
        ExpertRequest request = ExpertRequest.In(call.RequestData, _options.Type, rows, _config.HiddenSize, count);
        byte* wire = request.Rows;
        int index = row = -1;
        for (int i = 0; i < count; i++)
        {
            int pair = underWay.Order[first + i];
            if (pair / k != row)
            {
                row = pair / k;
                index++;
                ReadOnlySpan<byte> source = underWay.WireRow(row);
                source.CopyTo(new Span<byte>(wire, source.Length));
                wire += source.Length;
            }

            request.PairRows[i] = index;
            request.PairExperts[i] = underWay.Rows.ExpertIds[pair];
        }

        call.Kind = ExpertRequest.Kind;
        call.Layer = underWay.Layer;
        call.MapVersion = _routes.View.Map.Version;
        call.Rows = rows;
        call.Columns = _config.HiddenSize;
        call.ElementType = ExpertRequest.ElementType(_options.Type);
        underWay.Calls.Add(new RowsCall(call, _routes.Peers[peer], first, count, _clock.GetTimestamp()));
        call.Send(TimeSpan.FromMilliseconds(_options.RequestTimeoutMs));
        _statistics = _statistics with { Requests = _statistics.Requests + 1, Bytes = _statistics.Bytes + call.Request.Length };
    }

    private void ComputeHere(RowsUnderWay underWay, int first, int count)
    {
        if (count == 0) return;
        Timeline?.Mark(StepActivity.RoutedExperts, underWay.Layer, underWay.Rows.MicroBatch);
        new Span<int>(underWay.LocalIds, underWay.PairCount).Fill(-1);
        for (int i = first; i < first + count; i++) underWay.LocalIds[underWay.Order[i]] = underWay.Rows.ExpertIds[underWay.Order[i]];
        _local.Complete(underWay.Layer, underWay.Rows with { ExpertIds = underWay.LocalIds });
    }

    /// <summary>Waits for a request's rows and puts them in their places; false if its pairs must be placed anew.</summary>
    private bool Receive(RowsUnderWay underWay, in RowsCall sent)
    {
        if (sent.Call is not { } call) return false;
        Timeline?.Mark(StepActivity.Wait, underWay.Layer, underWay.Rows.MicroBatch);
        long start = _clock.GetTimestamp();
        while (!call.WaitForReply(WaitSlice))
        {
            if (_isClosed) ThrowClosed();
        }

        _statistics = _statistics with { Waiting = _statistics.Waiting + _clock.GetElapsedTime(start), Bytes = _statistics.Bytes + call.Reply.Length };
        long end = (long)(call.DoneNs * (_clock.TimestampFrequency / 1e9));
        _longestRoundTrip = Math.Max(_longestRoundTrip, end - sent.Sent);
        Timeline?.Add(new StepSpan(1 + (2 * Array.IndexOf(_routes.Peers, sent.Peer)) + underWay.Rows.MicroBatch, StepActivity.RoundTrip, underWay.Layer, underWay.Rows.MicroBatch, sent.Sent, end));
        if (call.Status == CallStatus.Ok && call.Reply.Length == (long)sent.Count * _config.HiddenSize * sizeof(float))
        {
            underWay.Scatter(sent, (float*)call.ReplyData);
            return true;
        }

        bool isLost = call.Status is CallStatus.PeerFailed or CallStatus.Rejected or CallStatus.Canceled;
        _picker.Avoid(sent.Peer!, isLost ? AvoidLost : AvoidFaulty);
        _statistics = _statistics with { Repeated = _statistics.Repeated + sent.Count };
        return false;
    }

    private void Signal(RowsUnderWay underWay, int first, int count, TimeSpan waited)
    {
        if (Missing is not { } missing) return;
        ExpertsMissing what = new(_routes.View.Map.Version, underWay.Layer, Experts(underWay, first, count), waited);
        ThreadPool.QueueUserWorkItem(_ => missing(what));
    }

    private static int[] Experts(RowsUnderWay underWay, int first, int count)
    {
        var experts = new SortedSet<int>();
        for (int i = first; i < first + count; i++) experts.Add(underWay.Rows.ExpertIds[underWay.Order[i]]);
        return [.. experts];
    }

    private void ThrowMissing(RowsUnderWay underWay, int first, TimeSpan waited) => throw new OperatingException(
        OperatingError.Unavailable,
        $"expert {underWay.Rows.ExpertIds[underWay.Order[first]]} of layer {underWay.Layer} is on no silo that answers (map version {_routes.View.Map.Version}); waited {waited.TotalSeconds:F0} s. Please retry later.");

    private static void ThrowClosed() => throw new OperatingException(OperatingError.Unavailable, "The rank is shutting down.");
}
