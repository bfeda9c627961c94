using Conclave.Gateway.Tests.Support;
using Conclave.V1;

namespace Conclave.Gateway.Tests;

/// <summary>gRPC by its rules, on a model that talks nonsense.</summary>
[Collection(nameof(RandomServer))]
public sealed class GrpcTests(RandomServer fixture)
{
    private readonly TestServer _server = fixture.Server;

    [Fact]
    public async Task The_client_of_npm_finds_every_rule_kept()
    {
        await ClientProcess.RunNodeAsync(
            "grpc-rules.mjs",
            $"{_server.Options.GrpcListen}",
            $"{_server.Options.TlsListen}",
            _server.Options.TlsCertificatePath!,
            Repository.PathTo("src", "Gateway", "Protos"),
            Repository.PathTo("src", "Compat", "Grpc", "Protos"));
        await _server.AssertIdleAsync();
        Assert.Empty(_server.Errors);
    }

    [Fact]
    public async Task Packed_messages_are_read_and_answers_are_packed()
    {
        using var probe = new GrpcProbe(_server);
        using GrpcProbeCall call = await probe.OpenAsync("Tokenize", new TokenizeRequest { Text = new string('a', 3000) }, gzip: true);
        List<TokenizeResponse> answers = await call.ReadAllAsync(TokenizeResponse.Parser);
        Assert.Equal(3000, Assert.Single(answers).Ids.Count);
        Assert.Equal("gzip", call.Encoding);
        Assert.Equal(1, call.CompressedFrames);
        Assert.Equal(0, call.Status);
    }

    [Fact]
    public async Task A_deadline_frees_the_sequence()
    {
        using var probe = new GrpcProbe(_server);
        var request = new GenerateRequest { Text = "long", IgnoreEos = true, Sampling = new Sampling { MaxTokens = 14_000 } };
        // However fast the machine is, it is not over by then.
        long before = _server.Status.GeneratedTokens;
        fixture.Steps.HoldWhen(() => _server.Status.GeneratedTokens > before + 20);
        try
        {
            using GrpcProbeCall call = await probe.OpenAsync("Generate", request, timeout: "500m");
            await call.ReadAllAsync(GenerateChunk.Parser);
            Assert.Equal(4, call.Status);
            await _server.WaitForAsync(_ => _server.Rank.SequenceCount == 0, "the sequence is closed");
        }
        finally
        {
            fixture.Steps.Release();
        }

        await _server.AssertIdleAsync();
    }
}
