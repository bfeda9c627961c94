namespace Conclave.Compat.Tests;

/// <summary>The public types of some assemblies with their members, from the assemblies themselves or from an api.txt list.</summary>
internal sealed class ApiSurface
{
    private readonly Dictionary<string, Entry> _types = new(StringComparer.Ordinal);

    /// <summary>The visible types among <paramref name="types"/>.</summary>
    public static ApiSurface Of(IEnumerable<Type> types)
    {
        var surface = new ApiSurface();
        foreach (Type type in types.Where(type => type.IsVisible))
        {
            Entry entry = surface.Add(ApiText.Name(type), ApiText.Kind(type), ApiText.Bases(type));
            foreach (string member in ApiText.Members(type))
                entry.Add(member);
        }
        return surface;
    }

    /// <summary>
    /// Reads a list: a line "kind Name : Base, Interface   [Assembly]" for each type, below it its members, indented. Lines that start with #
    /// are remarks. A type that two assemblies have parts of occurs twice; the parts are taken together.
    /// </summary>
    public static ApiSurface Parse(IEnumerable<string> lines)
    {
        var surface = new ApiSurface();
        Entry? current = null;
        foreach (string line in lines.Where(line => line.Length > 0 && line[0] != '#'))
        {
            if (line[0] == ' ')
                current!.Add(line.Trim());
            else
                current = surface.AddHeader(line);
        }
        return surface;
    }

    /// <summary>What this surface has and <paramref name="real"/> lacks: code that uses it compiles here and not there.</summary>
    public IEnumerable<string> BeyondThat(ApiSurface real)
    {
        foreach ((string name, Entry entry) in _types)
        {
            if (!real._types.TryGetValue(name, out Entry? match))
            {
                yield return $"type {name}";
                continue;
            }
            if (entry.Kind != match.Kind)
                yield return $"{name} is a {entry.Kind}, not a {match.Kind}";
            foreach (string one in entry.Bases.Except(match.Bases))
                yield return $"{name} : {one}";
            foreach (string member in entry.Members.Where(member => !match.Has(member)))
                yield return $"{name}: {member}";
        }
    }

    private Entry AddHeader(string line)
    {
        string declaration = line[..line.LastIndexOf('[')].TrimEnd();
        int colon = declaration.IndexOf(" : ", StringComparison.Ordinal);
        string head = colon < 0 ? declaration : declaration[..colon];
        IEnumerable<string> bases = colon < 0 ? [] : SplitOutsideBrackets(declaration[(colon + 3)..]);
        int kindEnd = head.IndexOf("class ", StringComparison.Ordinal) is >= 0 and var index ? index + 5 : head.IndexOf(' ', StringComparison.Ordinal);
        return Add(head[(kindEnd + 1)..], head[..kindEnd], bases);
    }

    private Entry Add(string name, string kind, IEnumerable<string> bases)
    {
        if (!_types.TryGetValue(name, out Entry? entry))
            _types.Add(name, entry = new Entry(kind));
        entry.Bases.UnionWith(bases);
        return entry;
    }

    private static IEnumerable<string> SplitOutsideBrackets(string list)
    {
        int depth = 0, start = 0;
        for (int i = 0; i < list.Length; i++)
        {
            depth += list[i] switch { '<' => 1, '>' => -1, _ => 0 };
            if (list[i] == ',' && depth == 0)
            {
                yield return list[start..i].Trim();
                start = i + 1;
            }
        }
        yield return list[start..].Trim();
    }

    private sealed class Entry(string kind)
    {
        private readonly Dictionary<string, string> _accessors = new(StringComparer.Ordinal);

        public string Kind => kind;

        public HashSet<string> Bases { get; } = [];

        public HashSet<string> Members { get; } = [];

        public void Add(string member)
        {
            Members.Add(member);
            if (SplitProperty(member) is var (property, accessors))
                _accessors[property] = accessors;
        }

        /// <summary>A property may have fewer accessors here. Empty braces stand for accessors that are protected internal.</summary>
        public bool Has(string member)
        {
            if (Members.Contains(member))
                return true;
            return SplitProperty(member) is var (property, accessors)
                && _accessors.TryGetValue(property, out string? real)
                && (real.Length == 0 || accessors.Split(' ').All(real.Split(' ').Contains));
        }

        private static (string Property, string Accessors)? SplitProperty(string member)
            => member.EndsWith('}') && member.IndexOf(" { ", StringComparison.Ordinal) is > 0 and var brace
                ? (member[..brace], member[(brace + 3)..^1].Trim())
                : null;
    }
}
