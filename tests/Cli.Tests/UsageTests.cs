namespace Conclave.Cli.Tests;

/// <summary>Help, exit codes and error lines.</summary>
public sealed class UsageTests
{
    [Fact]
    public async Task Help_lists_every_command()
    {
        Outcome help = await Command.Run(["--help"]);
        Assert.Equal(0, help.Code);
        foreach (string command in new[] { "serve", "chat", "generate", "eval", "inspect", "logits", "tokenize", "detokenize", "render", "parse", "synth", "placement" })
            Assert.Contains($"\n  {command} ", help.Out);
    }

    [Theory]
    [InlineData("serve", "--listen", "nowhere")]
    [InlineData("serve", "--kv-memory", "lots")]
    [InlineData("serve", "--kv-memory", "1K")]
    [InlineData("serve", "--kv-disk", "/dev/null")]
    [InlineData("serve", "--kv-disk", "")]
    [InlineData("serve", "--listen", "127.0.0.1:65535")]
    [InlineData("serve", "--kv-disk-size", "1G")]
    [InlineData("serve", "--threads", "0")]
    [InlineData("serve", "--model", "/does/not/exist")]
    [InlineData("serve", "--max-batch", "many")]
    [InlineData("serve", "--chat-format", "v9")]
    [InlineData("serve", "--dispatch-dtype", "f16")]
    [InlineData("silo", "--role", "both")]
    [InlineData("silo", "--redis", "nowhere")]
    [InlineData("silo", "--redis", "nowhere:1:6379")]
    [InlineData("silo", "--primary", "10.0.0.1:11111")]
    [InlineData("gateway", "--primary", "nowhere")]
    [InlineData("status", "--redis", "127.0.0.1")]
    [InlineData("status", "--state", "/does/not/exist")]
    [InlineData("chaos", "--silos", "1")]
    [InlineData("chaos", "--minutes", "0")]
    [InlineData("render", "--variant", "v9")]
    [InlineData("generate", "--no-such-option", "1")]
    [InlineData("generate", "--temperature", "0")]
    public async Task Bad_usage_is_2_and_names_the_option(string command, string option, string value)
    {
        Outcome outcome = await Command.Run([command, option, value]);
        Assert.Equal(2, outcome.Code);
        Assert.StartsWith("conclave: ", outcome.Error);
        // What is missing is named where that is what is wrong.
        string named = (command, option) switch { ("generate", "--temperature") => "--prompt", ("silo", "--role") or ("status", "--state") => "--redis", _ => option };
        Assert.Contains(named, outcome.Error);
        Assert.DoesNotContain("   at ", outcome.Error);
        Assert.DoesNotContain("   at ", outcome.Out);
        Assert.DoesNotContain("(Parameter", outcome.Error);
    }

    [Fact]
    public async Task A_certificate_that_is_none_is_named_with_its_options()
    {
        string file = Command.Golden("tiny-f32/config.json");
        Outcome outcome = await Command.Run(["serve", "--tls-listen", "127.0.0.1:1", "--tls-cert", file, "--tls-key", file, "--listen", "127.0.0.1:2"]);
        Assert.Equal(2, outcome.Code);
        Assert.Contains("--tls-cert", outcome.Error);
        Assert.Single(outcome.Error.Trim().Split('\n'));
        Assert.DoesNotContain("   at ", outcome.Out);
    }

    [Fact]
    public async Task Failed_work_is_1_in_one_line_and_verbose_shows_the_stack()
    {
        string folder = Directory.CreateTempSubdirectory("conclave-broken-").FullName;
        try
        {
            File.Copy(Path.Combine(Command.Golden("tiny-f32"), "config.json"), Path.Combine(folder, "config.json"));
            await File.WriteAllBytesAsync(Path.Combine(folder, "model.safetensors"), [1, 2, 3]);
            Outcome plain = await Command.Run(["inspect", folder]);
            Assert.Equal(1, plain.Code);
            Assert.Contains("model.safetensors", plain.Error);
            Assert.Single(plain.Error.Trim().Split('\n'));
            Outcome verbose = await Command.Run(["inspect", folder, "--verbose"]);
            Assert.Equal(1, verbose.Code);
            Assert.Contains("   at ", verbose.Error);
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }

    [Fact]
    public async Task A_malformed_line_is_named()
    {
        Outcome outcome = await Command.Run(["tokenize", "--model", Command.Golden("tokenizer")], "{\"text\":\"ok\"}\n{\"text\":5}\n");
        Assert.Equal(1, outcome.Code);
        Assert.Contains("line 2", outcome.Error);
        Assert.Contains("text", outcome.Error);
        Assert.Single(outcome.Lines);
    }
}
