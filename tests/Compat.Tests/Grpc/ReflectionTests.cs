using Google.Protobuf;
using Google.Protobuf.Reflection;
using Grpc.Core;
using Grpc.Reflection.V1;
using Microsoft.AspNetCore.Builder;
using Microsoft.Extensions.DependencyInjection;

namespace Conclave.Compat.Tests.Grpc;

public sealed class ReflectionTests
{
    [Theory]
    [InlineData("v1")]
    [InlineData("v1alpha")]
    public async Task Services_are_listed_under_both_names(string version)
    {
        ServerReflectionResponse answer = (await AskAsync(version, new ServerReflectionRequest { Host = "here", ListServices = "*" })).Single();
        Assert.Equal(
            ["grpc.reflection.v1.ServerReflection", "grpc.reflection.v1alpha.ServerReflection", "probe.v1.Probe"],
            answer.ListServicesResponse.Service.Select(service => service.Name).Order(StringComparer.Ordinal));
        Assert.Equal(("here", "*"), (answer.ValidHost, answer.OriginalRequest.ListServices));
    }

    [Theory]
    [InlineData("probe.v1.Probe")]
    [InlineData("probe.v1.Probe.Talk")]
    [InlineData("probe.v1.Ask")]
    [InlineData("probe.v1.Answer.Part")]
    [InlineData("probe.v1.Ask.text")]
    public async Task A_symbol_leads_to_its_file_and_all_that_it_imports(string symbol)
    {
        ServerReflectionResponse answer = (await AskAsync("v1", new ServerReflectionRequest { FileContainingSymbol = symbol })).Single();
        AssertIsProbeFile(answer);
    }

    [Fact]
    public async Task Several_questions_are_answered_in_order()
    {
        IReadOnlyList<ServerReflectionResponse> answers = await AskAsync(
            "v1alpha",
            new ServerReflectionRequest { FileByFilename = "probe.proto" },
            new ServerReflectionRequest { FileByFilename = "google/protobuf/timestamp.proto" },
            new ServerReflectionRequest { FileByFilename = "nowhere.proto" },
            new ServerReflectionRequest { FileContainingSymbol = "probe.v1.Nothing" },
            new ServerReflectionRequest { FileContainingExtension = new ExtensionRequest { ContainingType = "probe.v1.Ask", ExtensionNumber = 7 } },
            new ServerReflectionRequest { AllExtensionNumbersOfType = "probe.v1.Ask" },
            new ServerReflectionRequest { AllExtensionNumbersOfType = "probe.v1.Nothing" },
            new ServerReflectionRequest());
        Assert.Equal(8, answers.Count);
        AssertIsProbeFile(answers[0]);
        Assert.Single(answers[1].FileDescriptorResponse.FileDescriptorProto);
        Assert.Equal((int)StatusCode.NotFound, answers[2].ErrorResponse.ErrorCode);
        Assert.Equal((int)StatusCode.NotFound, answers[3].ErrorResponse.ErrorCode);
        Assert.Equal((int)StatusCode.NotFound, answers[4].ErrorResponse.ErrorCode);
        Assert.Equal("probe.v1.Ask", answers[5].AllExtensionNumbersResponse.BaseTypeName);
        Assert.Equal((int)StatusCode.NotFound, answers[6].ErrorResponse.ErrorCode);
        Assert.Equal((int)StatusCode.InvalidArgument, answers[7].ErrorResponse.ErrorCode);
    }

    private static void AssertIsProbeFile(ServerReflectionResponse answer)
    {
        FileDescriptorProto[] files = [.. answer.FileDescriptorResponse.FileDescriptorProto.Select(FileDescriptorProto.Parser.ParseFrom)];
        Assert.Equal(["probe.proto", "google/protobuf/timestamp.proto"], files.Select(file => file.Name));
        Assert.Equal(["Unary", "Collect", "Stream", "Talk"], files[0].Service.Single().Method.Select(method => method.Name));
    }

    private static async Task<IReadOnlyList<ServerReflectionResponse>> AskAsync(string version, params ServerReflectionRequest[] questions)
    {
        await using ProbeHost host = await ProbeHost.StartAsync(
            services: services => services.AddGrpcReflection(), map: app => app.MapGrpcReflectionService());
        byte[] body = [.. questions.SelectMany(question => ProbeHost.Frame(question.ToByteArray()))];
        RawResponse response = await host.CallPathAsync($"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo", new ByteArrayContent(body));
        response.AssertOk();
        return [.. response.Messages(ServerReflectionResponse.Parser)];
    }
}
