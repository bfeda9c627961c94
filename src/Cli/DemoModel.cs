namespace Conclave.Cli;

/// <summary>Finds the bundled demo model.</summary>
internal static class DemoModel
{
    /// <summary><c>models/demo</c> beside the working directory's or the program's ancestors.</summary>
    /// <exception cref="ArgumentException">It is nowhere.</exception>
    public static string Find() =>
        Ancestors(Environment.CurrentDirectory).Concat(Ancestors(AppContext.BaseDirectory))
            .Select(folder => Path.Combine(folder, "models", "demo"))
            .FirstOrDefault(folder => File.Exists(Path.Combine(folder, "config.json")))
        ?? throw new ArgumentException("--model: the bundled demo model was not found; name a checkpoint directory");

    private static IEnumerable<string> Ancestors(string? folder)
    {
        for (; folder is not null; folder = Path.GetDirectoryName(folder)) yield return folder;
    }
}
