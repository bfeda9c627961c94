using System.CommandLine;
using System.Text.Json;
using Conclave.Model;
using Conclave.Model.Chat;
using Conclave.Model.Checkpoints;

namespace Conclave.Cli.Commands;

/// <summary><c>conclave logits</c>: what the model computes, for checking from outside.</summary>
internal static class LogitsCommand
{
    private static readonly Option<string?> Model = new("--model") { Description = "Checkpoint directory (default: the bundled demo model)", HelpName = "DIR" };
    private static readonly Option<FileInfo> Input = new("--input") { Description = "JSON file {\"input_ids\":[...]}", Required = true, HelpName = "IDS.json" };
    private static readonly Option<string> Output = new("--output") { Description = "safetensors file to write", Required = true, HelpName = "OUT.safetensors" };
    private static readonly Option<int> Greedy = new("--greedy") { Description = "Also decode this many tokens greedily; EOS does not stop it", HelpName = "N" };
    private static readonly Option<int> Threads = new("--threads") { Description = "Threads of the forward pass", DefaultValueFactory = _ => Environment.ProcessorCount };

    private static readonly Option<string> KvType = new("--kv-dtype") { Description = "What KV pages hold: f32, bf16 or fp8", DefaultValueFactory = _ => "f32", HelpName = "TYPE" };
    private static readonly Option<string> Compute = ModelOptions.ComputeOption();

    public static Command Create()
    {
        var command = new Command("logits", "Write logits [T,V], and where asked for greedy_tokens [N] and mtp_logits [T-1,V], of given tokens") { Model, Input, Output, Greedy, Threads, KvType, Compute };
        command.SetAction(Run);
        return command;
    }

    private static int Run(ParseResult parsed)
    {
        if (parsed.GetValue(Greedy) < 0) throw new ArgumentException($"--greedy: {parsed.GetValue(Greedy)} is out of range; it must be 0 or more");
        if (parsed.GetValue(Threads) < 1) throw new ArgumentException($"--threads: {parsed.GetValue(Threads)} is out of range; it must be 1 or more");
        var kv = new KvOptions { Type = ModelOptions.ReadKvType(parsed.GetValue(KvType)!) };
        int[] ids = ReadIds(parsed.GetValue(Input)!);
        using var checkpoint = Checkpoint.Open(parsed.GetValue(Model) ?? DemoModel.Find(), ModelOptions.ReadCompute(parsed.GetValue(Compute)!));
        using var run = new LogitsRun(checkpoint, parsed.GetValue(Threads), kv);
        run.Write(ids, parsed.GetValue(Greedy), parsed.GetValue(Output)!);
        return CommandLine.Done;
    }

    private static int[] ReadIds(FileInfo file)
    {
        try
        {
            using JsonDocument document = JsonDocument.Parse(File.ReadAllBytes(file.FullName));
            return [.. new JsonField(document.RootElement, "").RequireObject().Required("input_ids").Items().Select(id => checked((int)id.Integer()))];
        }
        catch (Exception e) when (e is JsonException or ChatFormatException or OverflowException)
        {
            throw new InvalidDataException($"{file}: must hold {{\"input_ids\":[...]}}: {e.Message}", e);
        }
    }
}
