using System.Globalization;

namespace Conclave.Engine.Grammars;

/// <summary>What a number must be.</summary>
internal sealed record NumberLimits
{
    /// <summary>Lower bound; null: none.</summary>
    public decimal? Low { get; init; }

    /// <summary>The lower bound itself is no value.</summary>
    public bool IsLowExclusive { get; init; }

    /// <summary>Upper bound; null: none.</summary>
    public decimal? High { get; init; }

    /// <summary>The upper bound itself is no value.</summary>
    public bool IsHighExclusive { get; init; }

    /// <summary>Each above 0: it is a multiple of all.</summary>
    public IReadOnlyList<decimal> Multiples { get; init; } = [];

    /// <summary>Each above 0: it is a multiple of none.</summary>
    public IReadOnlyList<decimal> NoMultiples { get; init; } = [];

    /// <summary>Only whole numbers.</summary>
    public bool IsInteger { get; init; }

    /// <summary>Nothing but, possibly, whole.</summary>
    public bool IsFree => Low is null && High is null && Multiples.Count == 0 && NoMultiples.Count == 0;

    /// <summary>The bounds contradict each other.</summary>
    public bool IsEmpty => Low > High || (Low == High && Low is not null && (IsLowExclusive || IsHighExclusive));
}

/// <summary>Decimal numbers within limits, as a graph over digits. Numbers with limits are written without exponent.</summary>
internal sealed class NumberRange
{
    private static readonly Node Digit = new Node.Character(CodePoints.Of(('0', '9')));
    private static readonly Node Leading = new Node.Character(CodePoints.Of(('1', '9')));

    private const int MaxModulus = 10_000;

    private readonly Bound? _low;
    private readonly Bound? _high;
    private readonly int _wholeDigits;
    private readonly int? _fractionDigits;
    private readonly (int Step, bool IsMultiple)[] _steps;
    private readonly int _modulus;
    private readonly int _stepScale;
    private readonly Dictionary<At, int> _states = [];
    private readonly Queue<At> _open = new();
    private readonly List<GraphEdge> _edges = [];
    private readonly List<int> _accepting = [];

    /// <summary>Magnitudes from <paramref name="low"/> to <paramref name="high"/>, neither negative.</summary>
    private NumberRange(Bound? low, Bound? high, NumberLimits limits)
    {
        (_low, _high) = (low, high);
        (_steps, _modulus, _stepScale) = Steps(limits);
        _wholeDigits = Math.Max(JsonNodes.MaxDigits, Math.Max(low?.Whole.Length ?? 0, high?.Whole.Length ?? 0));
        _fractionDigits = limits.IsInteger ? 0 : limits.Multiples.Count > 0 ? limits.Multiples.Min(multiple => Split(multiple).Scale) : null;
    }

    /// <summary>Any number of <see cref="JsonNodes.MaxDigits"/> digits; unless <paramref name="isInteger"/> with fraction and exponent.</summary>
    public static Node Any(bool isInteger)
    {
        if (isInteger)
            return Node.Any(Node.Text("0"), Node.Of(Node.Maybe(Node.Text("-")), Leading, new Node.Repeat(Digit, 0, JsonNodes.MaxDigits - 1)));
        Node whole = Node.Any(Node.Text("0"), Node.Of(Leading, new Node.Repeat(Digit, 0, JsonNodes.MaxDigits - 1)));
        Node fraction = Node.Of(Node.Text("."), new Node.Repeat(Digit, 1, JsonNodes.MaxDigits));
        Node exponent = Node.Of(new Node.Character(CodePoints.OfCharacters("eE")), Node.Maybe(new Node.Character(CodePoints.OfCharacters("+-"))), new Node.Repeat(Digit, 1, 2));
        return Node.Of(Node.Maybe(Node.Text("-")), whole, Node.Maybe(fraction), Node.Maybe(exponent));
    }

    /// <summary>The numbers within <paramref name="limits"/>.</summary>
    public static Node Of(NumberLimits limits)
    {
        if (limits.IsFree)
            return Any(limits.IsInteger);
        Bound? low = limits.Low is { } l ? new Bound(Math.Abs(l), limits.IsLowExclusive) : null;
        Bound? high = limits.High is { } h ? new Bound(Math.Abs(h), limits.IsHighExclusive) : null;
        var ways = new List<Node>();
        if (limits.High is null or >= 0)
            ways.Add(new NumberRange(limits.Low > 0 || (limits.Low == 0 && limits.IsLowExclusive) ? low : null, high, limits).Build());

        // No negative zero: the magnitude of a negative number is above 0.
        if (limits.Low is null or < 0)
            ways.Add(Node.Of(Node.Text("-"), new NumberRange(limits.High < 0 ? high : new Bound(0, IsExclusive: true), low, limits).Build()));
        return Node.Any([.. ways]);
    }

    /// <summary>Whether <see cref="Of"/> can tell multiples of this: at most 1000 steps over a power of ten.</summary>
    public static bool CanStep(decimal multiple) => multiple > 0 && Split(multiple) is { Step: <= 1000, Scale: <= JsonNodes.MaxDigits };

    /// <summary>Whether <see cref="Of"/> can tell all multiples at once.</summary>
    public static bool CanStep(NumberLimits limits) => Steps(limits).Modulus <= MaxModulus;

    private static (int Step, int Scale) Split(decimal multiple)
    {
        int scale = 0;
        while (multiple != decimal.Truncate(multiple) && multiple < 1_000_000)
        {
            multiple *= 10;
            scale++;
        }

        return ((int)Math.Min(multiple, 1_000_000), scale);
    }

    /// <summary>All steps as whole numbers of the finest scale, and what remainders are taken of to know those of each step; above <see cref="MaxModulus"/> if that is too much.</summary>
    private static ((int Step, bool IsMultiple)[] Steps, int Modulus, int Scale) Steps(NumberLimits limits)
    {
        (decimal Multiple, bool IsMultiple)[] all = [.. limits.Multiples.Select(multiple => (multiple, true)), .. limits.NoMultiples.Select(multiple => (multiple, false))];
        int scale = all.Select(step => Split(step.Multiple).Scale).DefaultIfEmpty(0).Max();
        long modulus = 1;
        var steps = new List<(int, bool)>();
        foreach ((decimal multiple, bool isMultiple) in all)
        {
            (long step, int own) = Split(multiple);
            for (; own < scale && step <= MaxModulus; own++)
                step *= 10;
            modulus = Math.Min(modulus / (long)System.Numerics.BigInteger.GreatestCommonDivisor(modulus, step) * step, MaxModulus + 1);
            steps.Add(((int)Math.Min(step, MaxModulus + 1), isMultiple));
        }

        return ([.. steps], (int)modulus, scale);
    }

    private Node Build()
    {
        // State 0 chooses how many digits stand before the point.
        for (int count = 1; count <= _wholeDigits; count++)
        {
            if (_low?.Whole.Length > count || _high?.Whole.Length < count)
                continue;

            // What reads numbers as floating-point ones tells those of so many digits apart: which side of a bound they are on, and whether they are whole.
            int fraction = _fractionDigits ?? Math.Max(JsonNodes.MaxDigits - count, Math.Max(_low?.Fraction.Length ?? 0, _high?.Fraction.Length ?? 0));
            AddDigits(0, new At(count, 0, _low?.Whole.Length == count, _high?.Whole.Length == count, 0, fraction), first: count > 1 ? 1 : 0);
        }

        while (_open.TryDequeue(out At at))
        {
            int state = _states[at];
            if (at.Left > 0)
            {
                AddDigits(state, at, first: 0);
                continue;
            }

            if (CanEnd(at))
                _accepting.Add(state);
            if (at.Behind >= at.Fraction)
                continue;
            if (at.Behind > 0)
                AddDigits(state, at, first: 0);
            else
                AddPoint(state, at);
        }

        return new Node.Graph(_edges, _accepting);
    }

    private void AddPoint(int state, At at)
    {
        int point = _states.Count + 1;
        _states.Add(at with { Behind = -1 }, point);
        _edges.Add(new GraphEdge(state, Node.Text("."), point));
        AddDigits(point, at, first: 0);
    }

    private void AddDigits(int from, At at, int first)
    {
        for (int digit = first; digit <= 9; digit++)
        {
            int low = at.OnLow ? DigitOf(_low!, at) : 0;
            int high = at.OnHigh ? DigitOf(_high!, at) : 9;
            if (digit < low || digit > high)
                continue;
            At next = at with
            {
                Left = Math.Max(0, at.Left - 1),
                Behind = at.Left > 0 ? 0 : at.Behind + 1,
                OnLow = at.OnLow && digit == low,
                OnHigh = at.OnHigh && digit == high,
                Remainder = at.Left > 0 || at.Behind < _stepScale ? ((at.Remainder * 10) + digit) % _modulus : at.Remainder,
                IsFiner = at.IsFiner || (at.Left == 0 && at.Behind >= _stepScale && digit > 0 && _steps.Length > 0),
            };
            if (!_states.TryGetValue(next, out int to))
            {
                _states.Add(next, to = _states.Count + 1);
                _open.Enqueue(next);
            }

            _edges.Add(new GraphEdge(from, Node.Text(digit.ToString(CultureInfo.InvariantCulture)), to));
        }
    }

    private static int DigitOf(Bound bound, At at) =>
        at.Left > 0 ? bound.Whole[^at.Left] - '0' : at.Behind < bound.Fraction.Length ? bound.Fraction[at.Behind] - '0' : 0;

    private bool CanEnd(At at)
    {
        int remainder = at.Remainder;
        for (int i = at.Behind; i < _stepScale; i++)
            remainder = remainder * 10 % _modulus;
        foreach ((int step, bool isMultiple) in _steps)
        {
            if (isMultiple != (!at.IsFiner && remainder % step == 0))
                return false;
        }

        return !(at.OnLow && (HasMore(_low!, at) || _low!.IsExclusive)) && !(at.OnHigh && !HasMore(_high!, at) && _high!.IsExclusive);
    }

    /// <summary>Whether the bound has digits other than 0 beyond those written.</summary>
    private static bool HasMore(Bound bound, At at) => at.Behind < bound.Fraction.Length && bound.Fraction.AsSpan(at.Behind).ContainsAnyExcept('0');

    /// <summary>What matters of the digits so far.</summary>
    /// <param name="Left">Digits still to come before the point.</param>
    /// <param name="Behind">Digits behind it.</param>
    /// <param name="OnLow">So far all are those of the lower bound.</param>
    /// <param name="OnHigh">So far all are those of the upper bound.</param>
    /// <param name="Remainder">Of the digits so far, as one number.</param>
    /// <param name="Fraction">Most digits behind the point.</param>
    /// <param name="IsFiner">Digits beyond the finest step are not all 0.</param>
    private readonly record struct At(int Left, int Behind, bool OnLow, bool OnHigh, int Remainder, int Fraction, bool IsFiner = false);

    /// <summary>A bound's digits.</summary>
    private sealed record Bound(decimal Value, bool IsExclusive)
    {
        private readonly string[] _parts = Value.ToString("0.############################", CultureInfo.InvariantCulture).Split('.');

        public string Whole => _parts[0];

        public string Fraction => _parts.Length > 1 ? _parts[1] : "";
    }
}
