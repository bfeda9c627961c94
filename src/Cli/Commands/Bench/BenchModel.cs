using Conclave.Model;
using Conclave.Model.Checkpoints;

namespace Conclave.Cli.Commands.Bench;

/// <summary>The checkpoint of a measurement: an existing one, or random weights of a configuration in a temporary directory.</summary>
internal sealed class BenchModel : IDisposable
{
    private readonly string? _temporary;

    private BenchModel(string directory, string? temporary) => (Directory, _temporary) = (directory, temporary);

    /// <summary>The checkpoint's directory.</summary>
    public string Directory { get; }

    /// <summary>Takes <paramref name="model"/> if given, else writes BF16 weights for <paramref name="config"/>.</summary>
    /// <param name="model">A checkpoint directory.</param>
    /// <param name="config">A config.json, or the name of one of the folder <c>bench</c> without its ending.</param>
    /// <param name="cancellationToken">Stops writing.</param>
    public static async Task<BenchModel> Open(string? model, string config, CancellationToken cancellationToken)
    {
        if (model is not null) return new BenchModel(Existing(model), null);
        string file = ConfigFile(config);
        string directory = System.IO.Directory.CreateTempSubdirectory("conclave-bench-").FullName;
        var made = new BenchModel(Path.Combine(directory, "model"), directory);
        try
        {
            await Console.Error.WriteLineAsync($"conclave: writing random weights of {file} to {directory}");
            await Task.Run(() => Synthesizer.Write(file, 1, DType.BF16, made.Directory, null, cancellationToken), cancellationToken);
            return made;
        }
        catch
        {
            made.Dispose();
            throw;
        }
    }

    /// <summary><paramref name="model"/>, if it is a checkpoint directory.</summary>
    /// <exception cref="ArgumentException">It is none.</exception>
    public static string Existing(string model) =>
        File.Exists(Path.Combine(model, "config.json")) && model.Length > 0 ? model : throw new ArgumentException($"--model: '{model}' is not a checkpoint directory (it has no config.json)");

    /// <summary>The configuration of <paramref name="model"/> if given, else of <paramref name="config"/>.</summary>
    /// <exception cref="ArgumentException">There is none.</exception>
    public static ModelConfig Configuration(string? model, string config) => ModelConfig.LoadFile(model is null ? ConfigFile(config) : Path.Combine(Existing(model), "config.json"));

    /// <summary>A config.json by its path, or by its name in the folder <c>bench</c>.</summary>
    public static string ConfigFile(string name)
    {
        if (File.Exists(name)) return name;
        foreach (string? start in new[] { Environment.CurrentDirectory, AppContext.BaseDirectory })
        {
            for (string? folder = start; folder is not null; folder = Path.GetDirectoryName(folder))
            {
                string file = Path.Combine(folder, "bench", $"{name}.config.json");
                if (File.Exists(file)) return file;
            }
        }

        throw new ArgumentException($"--config: '{name}' is neither a file nor a configuration of the folder bench");
    }

    public void Dispose()
    {
        if (_temporary is not null) System.IO.Directory.Delete(_temporary, recursive: true);
    }
}
