using System.CommandLine;
using System.CommandLine.Parsing;
using Conclave.Cli.Commands;
using Conclave.Cli.Commands.Bench;
using Conclave.Engine;
using ClusterException = Conclave.Grains.ClusterException;

namespace Conclave.Cli;

/// <summary>The command tree, exit codes (0 done, 1 the work failed, 2 bad usage) and how errors are shown: one readable line on stderr.</summary>
internal static class CommandLine
{
    public const int Done = 0, Failed = 1, BadUsage = 2;

    private static readonly Option<bool> Verbose = new("--verbose") { Description = "Show the stack of an error", Recursive = true };

    public static async Task<int> Run(string[] args)
    {
        ParseResult parsed = Root().Parse(args);
        if (parsed.Errors.Count > 0)
        {
            foreach (var error in parsed.Errors) await Console.Error.WriteLineAsync($"conclave: {error.Message}");
            await Console.Error.WriteLineAsync($"conclave: see 'conclave {PathOf(parsed.CommandResult)}--help'");
            return BadUsage;
        }

        try
        {
            var configuration = new InvocationConfiguration { EnableDefaultExceptionHandler = false };
            // A server's host takes signals itself: to end well may take it a while.
            if (parsed.CommandResult.Command.Name is "serve" or "silo" or "gateway") configuration.ProcessTerminationTimeout = null;
            return await parsed.InvokeAsync(configuration);
        }
        catch (OperationCanceledException)
        {
            return Failed;
        }
        catch (Exception e)
        {
            await Console.Error.WriteLineAsync(parsed.GetValue(Verbose) ? $"conclave: {e}" : $"conclave: {e.Message.ReplaceLineEndings(" ")}");
            return IsUsage(e) ? BadUsage : Failed;
        }
    }

    private static RootCommand Root() => new("Serves DeepSeek-V3-family models from a cluster.")
    {
        ServeCommand.Create(),
        SiloCommand.Create(),
        GatewayCommand.Create(),
        StatusCommand.Create(),
        DrainCommand.Create(),
        ClusterCommands.Create(),
        ChaosCommand.Create(),
        ChatCommand.Create(),
        GenerateCommand.Create(),
        EvalCommand.Create(),
        InspectCommand.Create(),
        LogitsCommand.Create(),
        TokenizerCommands.Tokenize(),
        TokenizerCommands.Detokenize(),
        FormatCommands.Render(),
        FormatCommands.Parse(),
        SynthCommand.Create(),
        BenchCommand.Create(),
        PlacementCommands.Create(),
        Verbose,
    };

    /// <summary>The names of a command and those above it, each with a space behind it; nothing of the root.</summary>
    private static string PathOf(CommandResult command) => command.Parent is CommandResult parent ? $"{PathOf(parent)}{command.Command.Name} " : "";

    /// <summary>What the user typed is wrong, rather than the work.</summary>
    private static bool IsUsage(Exception e) => e is ArgumentException and not ArgumentNullException or OperatingException { Error: OperatingError.InvalidRequest } or ClusterException { Error: OperatingError.InvalidRequest };
}
