using System.Collections.Immutable;
using System.Net;
using Orleans;
using Orleans.Runtime;
using Orleans.Serialization;

namespace Conclave.Compat.Tests.Orleans;

/// <summary>The codec: what goes in comes out, what has no serializer is refused, hostile bytes do no harm.</summary>
public sealed class SerializationTests
{
    private static readonly CodecProvider Codecs = new(new GrainCatalog().TypeNames, (_, _) => throw new SerializerException("no references here"));

    [GenerateSerializer]
    public sealed class Node
    {
        [Id(0)] public string? Name { get; set; }

        [Id(1)] public Node? Next { get; set; }

        [Id(2)] public List<Node?> Children { get; set; } = [];

        public int NotSent { get; set; } = 5;
    }

    [GenerateSerializer]
    public record Shape([property: Id(0)] string Label)
    {
        [Id(1)] private readonly int _hidden = 1;

        public int Hidden { get => _hidden; init => _hidden = value; }
    }

    [GenerateSerializer, Alias("tests.circle")]
    public sealed record Circle(string Label, double Radius) : Shape(Label);

    [GenerateSerializer]
    public readonly record struct Point(int X, [property: Id(1)] int Y);

    [GenerateSerializer, Immutable]
    public sealed record Frozen([property: Id(0)] int[] Values);

    public enum Color : short
    {
        Red = -3,
        Blue = 700,
    }

    [Fact]
    public void Values_come_back()
    {
        Check(-5);
        Check(ulong.MaxValue);
        Check(double.NaN);
        Check((Half)1.5);
        Check(123.456m);
        Check('x');
        Check((string?)null);
        Check("grüße \U0001F600");
        Check("broken \uD83D half");
        Check(Guid.NewGuid());
        Check(new DateTime(2026, 1, 2, 3, 4, 5, DateTimeKind.Utc));
        Check(new DateTimeOffset(2026, 1, 2, 3, 4, 5, TimeSpan.FromHours(2)));
        Check((TimeSpan?)TimeSpan.FromSeconds(2));
        Check((int?)null);
        Check(Color.Blue);
        Check(new Uri("http://a/b?c"));
        Check(new IPEndPoint(IPAddress.IPv6Loopback, 80));
        Check(SiloAddress.New(IPAddress.Loopback, 1, -2));
        Check(GrainId.Create("a", "b/c"));
        Check((1, "two", 3.0, (4, new Point(5, 6))));
        Check(Tuple.Create("a", 2));
        Check(new KeyValuePair<string, int>("k", 1));
        Check<object>(42);
        Check<object>("text");
        Check<object>(Color.Red);
        Check<object>(new Point(1, 2));
    }

    [Fact]
    public void Collections_come_back()
    {
        Same(new byte[] { 1, 2, 3 });
        Same(new[] { true, false });
        Same(new[] { "a", null });
        Same(new List<int?> { 1, null });
        Same(new HashSet<string> { "x", "y" });
        Same(new Queue<int>([3, 2, 1]));
        Same(new Dictionary<int, List<string>> { [3] = ["x", "y"], [1] = [] }.OrderBy(pair => pair.Key).Select(pair => (pair.Key, pair.Value.Count)).ToArray());
        Same(new SortedDictionary<string, double> { ["b"] = 1, ["a"] = 2 });
        Same(ImmutableArray.Create(1, 2));
        Same(ImmutableList.Create("a"));
        Same(ImmutableDictionary<string, int>.Empty.Add("k", 1));
        Assert.True(RoundTrip(default(ImmutableArray<int>)).IsDefault);
        IReadOnlyDictionary<string, double> scores = new Dictionary<string, double> { ["p"] = 0.5 };
        Assert.Equal(scores, RoundTrip(scores));
        Assert.Equal([1, 2], RoundTrip<IReadOnlyList<int>>(new[] { 1, 2 }));
        Assert.Equal([1, 2, 3], RoundTrip<ReadOnlyMemory<byte>>(new byte[] { 1, 2, 3 }).ToArray());
    }

    [Fact]
    public void Derived_records_keep_their_type_and_hidden_members()
    {
        var circle = Assert.IsType<Circle>(RoundTrip<Shape>(new Circle("c", 2.5) { Hidden = 9 }));
        Assert.Equal(("c", 2.5, 9), (circle.Label, circle.Radius, circle.Hidden));
        Assert.Equal("tests.circle", Codecs.Types.NameOf(typeof(Circle)));
    }

    [Fact]
    public void Shared_and_cyclic_objects_keep_their_shape()
    {
        var node = new Node { Name = "root" };
        node.Next = node;
        node.Children.AddRange([new Node { Name = "leaf" }, null]);
        node.Children.Add(node.Children[0]);
        foreach (Node copy in new[] { RoundTrip(node), Copy(node) })
        {
            Assert.NotSame(node, copy);
            Assert.Same(copy, copy.Next);
            Assert.Same(copy.Children[0], copy.Children[2]);
            Assert.Equal("leaf", copy.Children[0]!.Name);
        }
    }

    [Fact]
    public void Only_what_may_change_is_copied()
    {
        var frozen = new Frozen([1]);
        Assert.Same(frozen, Copy(frozen));
        List<Frozen> list = [frozen];
        Assert.NotSame(list, Copy(list));
        Assert.Same(frozen, Copy(list)[0]);
        int[] numbers = [1];
        Assert.NotSame(numbers, Copy(numbers));
    }

    [Fact]
    public void Types_without_serializer_are_refused()
    {
        Assert.Throws<CodecNotFoundException>(() => Codecs.Serialize(new NotMarked()));
        Assert.Throws<CodecNotFoundException>(() => Codecs.Serialize<object>(new NotMarked()));
        Assert.Throws<CodecNotFoundException>(() => Codecs.Serialize(new List<NotMarked> { new() }));
        Assert.Throws<CodecNotFoundException>(() => Codecs.Serialize<Action>(() => { }));
    }

    [Fact]
    public void Nesting_has_an_end()
    {
        Node node = new();
        for (int i = 0; i < 5000; i++) node = new Node { Next = node };
        Assert.Throws<SerializerException>(() => Codecs.Serialize(node));
        Assert.Throws<SerializerException>(() => Copy(node));
    }

    [Fact]
    public void Hostile_bytes_end_in_a_serializer_exception()
    {
        var random = new Random(12345);
        byte[][] seeds =
        [
            Codecs.Serialize(new Node { Name = "a", Next = new Node { Name = "b" }, Children = [new Node()] }),
            Codecs.Serialize<object>(new Dictionary<string, object> { ["k"] = new Circle("c", 1), ["l"] = new List<int> { 1, 2 }, ["e"] = new QuotaException("q", 1) }),
            Codecs.Serialize<Exception>(new AggregateException(new QuotaException("q", 1))),
        ];
        long before = GC.GetAllocatedBytesForCurrentThread();
        int read = 0;
        const int Rounds = 20000;
        for (int round = 0; round < Rounds; round++)
        {
            byte[] bytes = (byte[])seeds[round % seeds.Length].Clone();
            if (round % 10 == 0) random.NextBytes(bytes);
            for (int change = 0; change <= random.Next(4); change++) bytes[random.Next(bytes.Length)] = (byte)random.Next(256);
            bytes = bytes[..random.Next(1, bytes.Length + 1)];
            if (TryRead<Node>(bytes) | TryRead<object>(bytes) | TryRead<Exception>(bytes)) read++;
        }
        Assert.InRange(read, 1, Rounds - 1);
        Assert.InRange((GC.GetAllocatedBytesForCurrentThread() - before) / Rounds, 0, 200_000);
    }

    [Fact]
    public void Counts_beyond_the_data_allocate_nothing()
    {
        // Header "declared type", then a count of 2^60.
        byte[] bytes = [1, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x10];
        long before = GC.GetAllocatedBytesForCurrentThread();
        Assert.Throws<SerializerException>(() => Codecs.Deserialize<List<string>>(bytes));
        Assert.Throws<SerializerException>(() => Codecs.Deserialize<string[]>(bytes));
        Assert.InRange(GC.GetAllocatedBytesForCurrentThread() - before, 0, 1_000_000);
    }

    private static bool TryRead<T>(byte[] bytes)
    {
        try
        {
            Codecs.Deserialize<T>(bytes);
            return true;
        }
        catch (SerializerException)
        {
            return false;
        }
    }

    private static T RoundTrip<T>(T value) => Codecs.Deserialize<T>(Codecs.Serialize(value));

    private static T Copy<T>(T value) => (T)Codecs.Get(typeof(T)).CopyObject(value, new CopyContext(Codecs))!;

    private static void Check<T>(T value)
    {
        Assert.Equal(value, RoundTrip(value));
        Assert.Equal(value, Copy(value));
    }

    /// <summary>Element by element, since some collections compare by reference.</summary>
    private static void Same<T>(T value) where T : System.Collections.IEnumerable
    {
        Assert.Equal(value.Cast<object?>(), RoundTrip(value).Cast<object?>());
        Assert.Equal(value.Cast<object?>(), Copy(value).Cast<object?>());
    }
}
