using Conclave.Engine;
using Conclave.Grains.Transport;
using Conclave.Model;
using Conclave.Model.Checkpoints;
using Conclave.Model.Experts;

namespace Conclave.Grains;

/// <summary>
/// A rank's way to its experts: those of its own silo are called directly, rows for others travel over the transport, once per silo. What comes back does not depend on who
/// answers, so a silo that fails, hangs or lacks an expert costs a repetition elsewhere and no more; where nobody is left the step waits for a new map. Used by
/// one step loop; <see cref="Use"/>, <see cref="Close"/> and the properties are safe from any thread.
/// </summary>
public sealed unsafe partial class ClusterExpertDispatch : IExpertDispatch, IDisposable
{
    private readonly ModelConfig _config;
    private readonly SiloExperts _experts;
    private readonly DispatchOptions _options;
    private readonly TimeProvider _clock;
    private readonly string _silo;
    private readonly TensorTransport? _transport;
    private readonly WorkerPool _workers;
    private readonly LocalExpertDispatch _local;
    private readonly RowsUnderWay[] _microBatches;
    private readonly ExpertPicker _picker;
    private readonly MicroBatchChooser _chooser = new();
    private readonly AutoResetEvent _changed = new(false);

    // Guards what a new view and the step loop both touch.
    private readonly Lock _gate = new();
    private ExpertRoutes _latest;
    private ExpertRoutes _routes;
    private bool _isInStep;
    private volatile bool _isClosed;

    // Of the step under way; the step loop's alone.
    private ExpertTable? _checkedTable;
    private ExpertRoutes? _checkedRoutes;
    private bool _allLocal;
    private bool _isDisturbed;
    private long _stepStart;
    private int _stepRows;
    private int _stepLayers;
    private DispatchStatistics _statistics;

    /// <summary>Knows no other silo until <see cref="Use"/>.</summary>
    /// <param name="checkpoint">The model.</param>
    /// <param name="experts">Experts of this silo.</param>
    /// <param name="workers">The threads of the forward pass.</param>
    /// <param name="options">How to reach experts.</param>
    /// <param name="silo">This silo, as views name it.</param>
    /// <param name="transport">The started transport; null where there are no other silos.</param>
    /// <param name="clock">The clock.</param>
    public ClusterExpertDispatch(Checkpoint checkpoint, SiloExperts experts, WorkerPool workers, DispatchOptions options, string silo, TensorTransport? transport, TimeProvider clock)
    {
        options.Validate();
        (_config, _experts, _workers, _options, _silo, _transport, _clock) = (checkpoint.Config, experts, workers, options, silo, transport, clock);
        _local = new LocalExpertDispatch(_config, experts.Table, workers);
        MicroBatches = options.MicroBatches;
        _microBatches = [new RowsUnderWay(_config, options.Type), new RowsUnderWay(_config, options.Type)];
        _latest = _routes = new ExpertRoutes(ClusterView.Empty, _ => null);
        _picker = new ExpertPicker(_config.RoutedExpertCount, StringComparer.Ordinal.GetHashCode(silo), clock);
        Counter = new ExpertCounter(_config.LayerCount + _config.NextTokenPredictLayers, _config.RoutedExpertCount);
        experts.Changed += OnChanged;
    }

    /// <summary>
    /// Nobody can answer for some experts: whoever owns the map should look at it at once. Raised on a pool thread, at most twice a second while a step waits.
    /// </summary>
    public event Action<ExpertsMissing>? Missing;

    /// <summary>Token rows that this rank has routed to each expert.</summary>
    public ExpertCounter Counter { get; }

    /// <summary>Whether steps are cut in two; set it between two steps.</summary>
    public MicroBatchMode MicroBatches { get; set; }

    /// <summary>Where the activities of steps are noted; null for nowhere. Set it between two steps, here and at the model.</summary>
    public StepTimeline? Timeline { get; set; }

    /// <summary>Names of the lanes of <see cref="Timeline"/>: the step's thread, then two for each other silo of the map in use, one a micro-batch.</summary>
    public IReadOnlyList<string> TimelineLanes
    {
        get
        {
            lock (_gate) return ["compute", .. _routes.Silos.SelectMany(silo => new[] { $"rows at {silo}, micro-batch 0", $"rows at {silo}, micro-batch 1" })];
        }
    }

    /// <summary>What the last finished step exchanged with other silos. Read it on the step loop's thread.</summary>
    public DispatchStatistics LastStep { get; private set; }

    /// <summary>Version of the map that steps use from now on; every step that used an older one has ended.</summary>
    public long MapVersion
    {
        get
        {
            lock (_gate) return (_isInStep ? _routes : _latest).View.Map.Version;
        }
    }

    /// <summary>Takes a newer view: steps use it from the next one on, or at once where one waits for a silo. Views out of date are ignored.</summary>
    public void Use(ClusterView view)
    {
        lock (_gate)
        {
            if (_latest.View.Epoch > view.Epoch || _isClosed) return;
            _latest = new ExpertRoutes(view, silo => PeerOf(view, silo));
        }

        _changed.Set();
    }

    /// <summary>The way to <paramref name="silo"/> by the latest view; null to this silo itself, or if the view knows none.</summary>
    public TransportPeer? FindPeer(string silo)
    {
        lock (_gate) return PeerOf(_latest.View, silo);
    }

    /// <summary>Ends waiting: from now on steps that need other silos fail as unavailable. Call it before the engine is disposed.</summary>
    public void Close()
    {
        _isClosed = true;
        _changed.Set();
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        Close();
        _experts.Changed -= OnChanged;
        foreach (RowsUnderWay rows in _microBatches) rows.Dispose();
        _local.Dispose();
        _changed.Dispose();
    }

    /// <inheritdoc/>
    /// <remarks>Rounded rows are for the chosen experts only.</remarks>
    public bool TakesSharedExperts => _allLocal && _options.Type == DispatchType.F32;

    /// <inheritdoc/>
    public int BeginStep(int rowCount, int layerCount)
    {
        lock (_gate)
        {
            _isInStep = true;
            _routes = _latest;
        }

        _local.Table = _experts.Table;
        _allLocal = AllLocal();
        _isDisturbed = false;
        (_stepRows, _stepLayers, _stepStart) = (rowCount, layerCount, _clock.GetTimestamp());
        Timeline?.Clear();
        int microBatches = _allLocal || rowCount < 2 || MicroBatches == MicroBatchMode.One ? 1
            : MicroBatches == MicroBatchMode.Two ? 2
            : _chooser.Choose(rowCount, layerCount);
        _statistics = new DispatchStatistics { MicroBatches = microBatches };
        return microBatches;
    }

    /// <inheritdoc/>
    public void Begin(int layer, in RoutedRows rows)
    {
        int pairCount = rows.RowCount * rows.ExpertsPerToken;
        Counter.Add(layer, new ReadOnlySpan<int>(rows.ExpertIds, pairCount));
        if (_allLocal && _options.Type == DispatchType.F32) return;
        RowsUnderWay underWay = _microBatches[rows.MicroBatch];
        underWay.Take(layer, rows);
        if (_options.Type != DispatchType.F32) Round(underWay, rows);
        if (_allLocal) return;
        Timeline?.Mark(StepActivity.Dispatch, layer, rows.MicroBatch);
        int placed = Place(underWay, 0, pairCount);
        if (placed < pairCount) underWay.Calls.Add(new RowsCall(null, null, placed, pairCount - placed, 0));
    }

    /// <inheritdoc/>
    /// <exception cref="OperatingException">Nobody answered for some experts until the deadline, or the rank closes.</exception>
    public void Complete(int layer, in RoutedRows rows)
    {
        RowsUnderWay underWay = _microBatches[rows.MicroBatch];
        if (_allLocal)
        {
            Timeline?.Mark(StepActivity.RoutedExperts, layer, rows.MicroBatch);
            _local.Complete(layer, _options.Type == DispatchType.F32 ? rows : underWay.Rows);
            return;
        }

        _longestRoundTrip = 0;
        // Requests that fail put new ones behind themselves.
        for (int i = 0; i < underWay.Calls.Count; i++)
        {
            RowsCall call = underWay.Calls[i];
            if (!Receive(underWay, call)) PlaceAll(underWay, call.First, call.Count);
        }

        underWay.Abandon();
        _statistics = _statistics with { RoundTrips = _statistics.RoundTrips + _clock.GetElapsedTime(0, _longestRoundTrip / _statistics.MicroBatches) };
    }

    /// <inheritdoc/>
    public void EndStep()
    {
        // Requests are left only where the step has failed.
        bool isWhole = _microBatches[0].Calls.Count == 0 && _microBatches[1].Calls.Count == 0;
        foreach (RowsUnderWay rows in _microBatches) rows.Abandon();
        Timeline?.Mark(StepActivity.Done, _stepLayers, 0);
        TimeSpan time = _clock.GetElapsedTime(_stepStart);
        if (isWhole && !_allLocal && !_isDisturbed) _chooser.Record(_stepRows, _stepLayers, _statistics.MicroBatches, time);
        LastStep = _statistics with { Time = time };
        lock (_gate) _isInStep = false;
    }

    private void OnChanged() => _changed.Set();

    private TransportPeer? PeerOf(ClusterView view, string silo)
    {
        string? address = Array.Find(view.Silos, offer => offer.Silo == silo)?.TransportAddress;
        if (silo == _silo || string.IsNullOrEmpty(address)) return null;
        try
        {
            return _transport?.Connect(address);
        }
        catch (FormatException)
        {
            // A silo without a usable address, as its offer's reader has logged: its experts count as out of reach.
            return null;
        }
    }

    /// <summary>Whether this silo holds every expert there is.</summary>
    private bool AllLocal()
    {
        if (ReferenceEquals(_checkedTable, _local.Table) && ReferenceEquals(_checkedRoutes, _routes)) return _allLocal;
        (_checkedTable, _checkedRoutes) = (_local.Table, _routes);
        _picker.Use(_routes);
        return _local.Table.HoldsAll;
    }

    private void Round(RowsUnderWay underWay, in RoutedRows rows)
    {
        var loop = new RoundLoop { UnderWay = underWay, Input = rows.Input };
        _workers.Run(ref loop, rows.RowCount, 4);
    }

    private struct RoundLoop : IParallelLoop
    {
        public RowsUnderWay UnderWay;
        public float* Input;

        public readonly void Run(int start, int end, int worker)
        {
            for (int row = start; row < end; row++) UnderWay.Round(Input, row);
        }
    }
}

/// <summary>What a step exchanged with other silos.</summary>
public readonly record struct DispatchStatistics
{
    /// <summary>Micro-batches that the step was cut into.</summary>
    public int MicroBatches { get; init; }

    /// <summary>From the first layer's start to the last one's end.</summary>
    public TimeSpan Time { get; init; }

    /// <summary>Time in which the step's thread could do nothing but wait for other silos.</summary>
    public TimeSpan Waiting { get; init; }

    /// <summary>
    /// Time in which a micro-batch's rows were at other silos, one layer after the other (in each the longest request), computing there included; the mean of the micro-batches. No schedule makes
    /// the step shorter than this.
    /// </summary>
    public TimeSpan RoundTrips { get; init; }

    /// <summary>Requests sent.</summary>
    public int Requests { get; init; }

    /// <summary>Bytes sent and received, headers not counted.</summary>
    public long Bytes { get; init; }

    /// <summary>(row, expert) pairs that had to be asked for again.</summary>
    public int Repeated { get; init; }
}

/// <summary>Experts that nobody can answer for.</summary>
/// <param name="MapVersion">Version of the map in use.</param>
/// <param name="Layer">Layer.</param>
/// <param name="Experts">Experts, ascending.</param>
/// <param name="Waited">How long the step has waited.</param>
public sealed record ExpertsMissing(long MapVersion, int Layer, IReadOnlyList<int> Experts, TimeSpan Waited);
