using System.CommandLine;
using Conclave.Model;
using Conclave.Model.Checkpoints;
using Spectre.Console;

namespace Conclave.Cli.Commands;

/// <summary><c>conclave synth</c>: a random-weight checkpoint of any configuration, for load tests.</summary>
internal static class SynthCommand
{
    private static readonly Option<string> Config = new("--config") { Description = "config.json of the architecture", Required = true, HelpName = "config.json" };
    private static readonly Option<ulong> Seed = new("--seed") { Description = "Seed of the weights" };
    private static readonly Option<string> Type = new Option<string>("--dtype") { Description = "Type of the large matrices", DefaultValueFactory = _ => "bf16" }.AcceptOnlyFromAmong("bf16", "fp8");
    private static readonly Option<string> Output = new("--output") { Description = "Directory to create", Required = true, HelpName = "DIR" };

    public static Command Create()
    {
        var command = new Command("synth", "Write a random-weight checkpoint with a trivial tokenizer") { Config, Seed, Type, Output };
        command.SetAction(Run);
        return command;
    }

    private static async Task<int> Run(ParseResult parsed, CancellationToken cancellationToken)
    {
        string config = parsed.GetValue(Config)!, output = parsed.GetValue(Output)!;
        DType type = parsed.GetValue(Type) == "fp8" ? DType.F8E4M3 : DType.BF16;
        long total = Synthesizer.SizeBytes(ModelConfig.LoadFile(config), type);
        await Console.Error.WriteLineAsync($"conclave: writing {total / 1e9:F2} GB to {output}");
        await Progress().StartAsync(async context =>
        {
            ProgressTask task = context.AddTask("weights", maxValue: total);
            await Task.Run(() => Synthesizer.Write(config, parsed.GetValue(Seed), type, output, new Report(task), cancellationToken), cancellationToken);
            task.Value = total;
        });
        return CommandLine.Done;
    }

    private static Progress Progress() =>
        AnsiConsole.Create(new AnsiConsoleSettings { Out = new AnsiConsoleOutput(Console.Error) }).Progress()
            .Columns(new TaskDescriptionColumn(), new ProgressBarColumn(), new PercentageColumn(), new TransferSpeedColumn(), new RemainingTimeColumn());

    /// <summary>Straight to the bar: no synchronization context to go through, as the ready-made one would.</summary>
    private sealed class Report(ProgressTask task) : IProgress<long>
    {
        void IProgress<long>.Report(long value) => task.Value = value;
    }
}
