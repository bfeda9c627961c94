using System.CommandLine;
using Conclave.Model;
using Conclave.Model.Checkpoints;
using Spectre.Console;

namespace Conclave.Cli.Commands;

/// <summary><c>conclave inspect MODEL</c>: what a checkpoint is and what it costs to serve.</summary>
internal static class InspectCommand
{
    private static readonly Argument<string?> Model = new("MODEL")
    {
        Description = "Checkpoint directory, or a config.json whose BF16 checkpoint is described (default: the bundled demo model)",
        Arity = ArgumentArity.ZeroOrOne,
    };

    public static Command Create()
    {
        var command = new Command("inspect", "Architecture, tensors by kind, bytes, active parameters and KV bytes a token") { Model };
        command.SetAction(Run);
        return command;
    }

    private static int Run(ParseResult parsed)
    {
        string path = parsed.GetValue(Model) ?? DemoModel.Find();
        if (File.Exists(path))
        {
            ModelConfig config = ModelConfig.LoadFile(path);
            Show(CheckpointSummary.Of(config, config.QuantizationBlockSize is null ? DType.BF16 : DType.F8E4M3));
            return CommandLine.Done;
        }

        using var checkpoint = Checkpoint.Open(path);
        Show(CheckpointSummary.Of(checkpoint));
        if (checkpoint.MissingPredictLayers > 0) AnsiConsole.MarkupLine($"[yellow]{checkpoint.MissingPredictLayers} configured MTP layers are not in the files and are not used[/]");
        return CommandLine.Done;
    }

    private static void Show(CheckpointSummary summary)
    {
        ModelConfig c = summary.Config;
        var facts = new Grid().AddColumn().AddColumn();
        void Fact(string name, string value) => facts.AddRow(new Text(name), new Text(value));
        Fact("architecture", c.ModelTypeName);
        Fact("layers", $"{c.LayerCount} ({Math.Min(c.FirstDenseLayers, c.LayerCount)} dense first), {c.NextTokenPredictLayers} MTP");
        Fact("hidden, vocabulary", $"{c.HiddenSize}, {c.VocabularySize}");
        Fact("attention", $"{c.HeadCount} heads of {c.QkNopeHeadDim}+{c.QkRopeHeadDim}, values of {c.VHeadDim}; q_lora {(c.QLoraRank == 0 ? "none" : c.QLoraRank)}, kv_lora {c.KvLoraRank}");
        if (c.RoutedExpertCount > 0)
            Fact("experts", $"{c.RoutedExpertCount} of width {c.MoeIntermediateSize}, {c.ExpertsPerToken} a token, {c.SharedExpertCount} shared; {c.GroupCount} groups, {c.GroupsKept} kept; {c.ScoringFunction}, {c.TopKMethod}");
        if (c.IndexHeadCount > 0) Fact("sparse attention", $"{c.IndexHeadCount} index heads of {c.IndexHeadDim}, {c.IndexTopK} keys kept");
        Fact("context", $"{c.MaxPositions} tokens{(c.RopeScaling is { } yarn ? $" (YaRN {yarn.Factor} x {yarn.OriginalMaxPositions})" : "")}");
        Fact("parameters", $"{summary.MainParameterCount:N0} main, {summary.MtpParameterCount:N0} MTP");
        Fact("active a token", $"{summary.ActiveParameterCount:N0}");
        Fact("KV cache a token", $"{summary.KvSizeBytesPerToken:N0} bytes");
        Fact("tensors", $"{summary.SizeBytes:N0} bytes{(summary.UnusedTensorCount > 0 ? $", {summary.UnusedTensorCount} in the files not used" : "")}");
        AnsiConsole.Write(facts);

        var table = new Table().AddColumns("kind", "tensors", "parameters", "bytes", "types");
        foreach (int column in new[] { 1, 2, 3 }) table.Columns[column].RightAligned();
        foreach (KindSummary kind in summary.Kinds)
            table.AddRow(kind.Kind.ToString(), $"{kind.TensorCount:N0}", $"{kind.ParameterCount:N0}", $"{kind.SizeBytes:N0}", string.Join(", ", kind.TensorCountByType.Select(t => $"{t.Count:N0} {t.Type}")));
        AnsiConsole.Write(table);
    }
}
