namespace Orleans.Runtime;

/// <summary>Values that travel along with grain calls.</summary>
public static class RequestContext
{
    private static readonly AsyncLocal<Dictionary<string, object>?> Values = new();

    /// <summary>Names of the values.</summary>
    public static IEnumerable<string> Keys => Values.Value?.Keys.ToArray() ?? [];

    /// <summary>All values.</summary>
    public static IEnumerable<KeyValuePair<string, object>> Entries => Values.Value?.ToArray() ?? [];

    /// <summary>A value; null if it is not set.</summary>
    public static object? Get(string key) => Values.Value?.GetValueOrDefault(key);

    /// <summary>Sets a value for the calls made from here on. It has to be serializable.</summary>
    public static void Set(string key, object value)
    {
        // A copy: the dictionary may be shared with flows that branched off earlier.
        var copy = Values.Value is { } old ? new Dictionary<string, object>(old) : [];
        copy[key] = value;
        Values.Value = copy;
    }

    /// <summary>Removes a value; false if it was not set.</summary>
    public static bool Remove(string key)
    {
        if (Values.Value is not { } old || !old.ContainsKey(key)) return false;
        var copy = new Dictionary<string, object>(old);
        copy.Remove(key);
        Values.Value = copy.Count == 0 ? null : copy;
        return true;
    }

    /// <summary>Removes all values.</summary>
    public static void Clear() => Values.Value = null;

    /// <summary>The current values; never changed after they are handed out.</summary>
    internal static Dictionary<string, object>? Export() => Values.Value;

    internal static void Import(Dictionary<string, object>? values)
    {
        // Writing an AsyncLocal copies the execution context, so it is avoided for the usual empty case.
        if (values is not null || Values.Value is not null) Values.Value = values;
    }
}
