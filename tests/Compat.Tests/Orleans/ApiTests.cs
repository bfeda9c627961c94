using Orleans;

namespace Conclave.Compat.Tests.Orleans;

/// <summary>The stand-in offers nothing that Microsoft.Orleans does not offer under the same name.</summary>
public sealed class ApiTests
{
    private static readonly Dictionary<string, RealType> Real = ReadReal(Path.Combine(AppContext.BaseDirectory, "Orleans", "orleans-api.txt"));

    [Fact]
    public void Stand_in_is_a_subset_of_the_real_surface()
    {
        string[] differences = [.. typeof(Grain).Assembly.GetExportedTypes().SelectMany(Differences)];
        Assert.True(differences.Length == 0, string.Join(Environment.NewLine, differences));
    }

    [Fact]
    public void Checker_finds_what_is_not_in_the_real_surface()
    {
        Type[] fakes = [typeof(FakeType), typeof(FakeTimer)];
        string[] differences = [.. fakes.SelectMany(fake => Differences(fake, name => name.Replace("Conclave.Compat.Tests.Orleans.ApiTests.FakeTimer", "Orleans.Runtime.IGrainTimer", StringComparison.Ordinal)))];
        Assert.Equal(5, differences.Length);
        Assert.Contains(differences, d => d.Contains("FakeType", StringComparison.Ordinal));
        Assert.Contains(differences, d => d.Contains("System.Void Pause()", StringComparison.Ordinal));
        Assert.Contains(differences, d => d.Contains("System.Void Change(System.TimeSpan due, System.TimeSpan period)", StringComparison.Ordinal));
        Assert.Contains(differences, d => d.Contains("System.Int32 Ticks { get; }", StringComparison.Ordinal));
        Assert.Contains(differences, d => d.Contains("System.IAsyncDisposable", StringComparison.Ordinal));
    }

    private static IEnumerable<string> Differences(Type type) => Differences(type, name => name);

    private static IEnumerable<string> Differences(Type type, Func<string, string> rename)
    {
        string header = rename(ApiNotation.Header(type));
        if (!Real.TryGetValue(header, out RealType? real))
        {
            yield return $"no such type: {header}";
            yield break;
        }
        foreach (string part in ApiNotation.Bases(type))
            if (!real.Bases.Contains(part)) yield return $"{header}: does not derive from {part}";
        foreach (string member in ApiNotation.Members(type))
            if (!real.Members.Contains(rename(member))) yield return $"{header}: no such member: {member}";
    }

    private static Dictionary<string, RealType> ReadReal(string path)
    {
        var types = new Dictionary<string, RealType>();
        RealType? current = null;
        foreach (string line in File.ReadLines(path))
        {
            if (line.StartsWith('#')) continue;
            if (line.StartsWith("  ", StringComparison.Ordinal))
            {
                current!.Members.Add(line[2..]);
                continue;
            }
            string text = line[..line.IndexOf("  [", StringComparison.Ordinal)];
            int colon = text.IndexOf(" : ", StringComparison.Ordinal);
            current = new RealType(colon < 0 ? "" : text[(colon + 3)..]);
            types.Add(colon < 0 ? text : text[..colon], current);
        }
        return types;
    }

    private sealed class RealType(string bases)
    {
        public HashSet<string> Bases { get; } = [.. Split(bases)];

        public HashSet<string> Members { get; } = [];

        /// <summary>Cuts at commas outside of angle brackets.</summary>
        private static IEnumerable<string> Split(string text)
        {
            int depth = 0;
            int start = 0;
            for (int i = 0; i <= text.Length; i++)
            {
                if (i < text.Length && text[i] == '<') depth++;
                else if (i < text.Length && text[i] == '>') depth--;
                else if (i == text.Length || (text[i] == ',' && depth == 0))
                {
                    if (i > start) yield return text[start..i].Trim();
                    start = i + 1;
                }
            }
        }
    }

    public sealed class FakeType;

    public interface FakeTimer : IDisposable, IAsyncDisposable
    {
        int Ticks { get; }

        void Change(TimeSpan due, TimeSpan period);

        void Pause();
    }
}
