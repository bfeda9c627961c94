using Grpc.Core;

namespace Conclave.Compat.Tests.Grpc;

public sealed class ApiTests
{
    private static readonly ApiSurface Real = ApiSurface.Parse(File.ReadLines(Path.Combine(AppContext.BaseDirectory, "Grpc", "api.txt")));

    [Fact]
    public void The_stand_in_has_nothing_that_the_real_packages_lack()
        => Assert.Empty(ApiSurface.Of(typeof(RpcException).Assembly.GetTypes()).BeyondThat(Real));

    [Fact]
    public void What_the_real_packages_lack_is_found()
    {
        ApiSurface ours = ApiSurface.Parse(
        [
            "sealed class Grpc.Core.RpcException : System.Exception, System.IDisposable   [Ours]",
            "  Grpc.Core.Metadata Trailers { get; }",
            "  Grpc.Core.Status Status { get; set; }",
            "  System.Void Retry()",
            "class Grpc.Core.Extra<T>   [Ours]",
        ]);
        Assert.Equal(
            [
                "Grpc.Core.RpcException is a sealed class, not a class",
                "Grpc.Core.RpcException : System.IDisposable",
                "Grpc.Core.RpcException: Grpc.Core.Status Status { get; set; }",
                "Grpc.Core.RpcException: System.Void Retry()",
                "type Grpc.Core.Extra<T>",
            ],
            ours.BeyondThat(Real));
    }

    [Fact]
    public void Types_are_written_as_in_the_list()
    {
        ApiSurface ours = ApiSurface.Of([typeof(Example<>), typeof(Example<>.Inner)]);
        ApiSurface expected = ApiSurface.Parse(
        [
            "abstract class Conclave.Compat.Tests.Grpc.ApiTests.Example<T> : System.IDisposable   [Ours]",
            "  protected ctor(System.Int32[] values, System.String name = x, System.Boolean flag = True)",
            "  static System.Int32 Size = 3",
            "  protected System.Nullable<System.Int32> Count { get; set; }",
            "  abstract System.Void Run(out T result, ref System.Int32 count)",
            "  static System.Collections.Generic.IEnumerable<TResult> Make<TResult>(T item)",
            "  System.Void Dispose()",
            "enum Conclave.Compat.Tests.Grpc.ApiTests.Example<T>.Inner : System.IComparable, System.IConvertible, System.IFormattable, System.ISpanFormattable   [Ours]",
            "  One = 1",
        ]);
        Assert.Empty(ours.BeyondThat(expected));
        Assert.Empty(expected.BeyondThat(ours));
    }

    public abstract class Example<T>(int[] values, string name = "x", bool flag = true) : IDisposable
    {
        public const int Size = 3;

        public enum Inner
        {
            One = 1,
        }

        protected int? Count { get; set; } = flag ? values.Length : name.Length;

        public abstract void Run(out T result, ref int count);

        public static IEnumerable<TResult> Make<TResult>(T item) => [];

        public void Dispose() => GC.SuppressFinalize(this);

        public override string ToString() => "";
    }
}
