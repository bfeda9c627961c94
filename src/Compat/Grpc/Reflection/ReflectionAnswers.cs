using Google.Protobuf.Reflection;
using Grpc.AspNetCore.Server;
using Grpc.AspNetCore.Server.Internal;
using Grpc.Core;
using Grpc.Reflection.V1;
using Microsoft.AspNetCore.Routing;
using Question = Grpc.Reflection.V1.ServerReflectionRequest.MessageRequestOneofCase;

namespace Grpc.Reflection;

/// <summary>Answers questions about the services of this server. Made when the first question comes: then all endpoints are known.</summary>
internal sealed class ReflectionAnswers
{
    private readonly ServiceDescriptor[] _services;
    private readonly SymbolIndex _symbols;

    public ReflectionAnswers(EndpointDataSource endpoints)
    {
        _services =
        [
            .. endpoints.Endpoints
                .Select(endpoint => endpoint.Metadata.GetMetadata<GrpcMethodMetadata>()?.ServiceType)
                .OfType<Type>()
                .Distinct()
                .Select(ServiceBinding.FindDescriptor)
                .OfType<ServiceDescriptor>()
                .DistinctBy(service => service.FullName),
        ];
        _symbols = new SymbolIndex(_services);
    }

    public ServerReflectionResponse Answer(ServerReflectionRequest request)
    {
        ServerReflectionResponse response = request.MessageRequestCase switch
        {
            Question.ListServices => ListServices(),
            Question.FileByFilename => DescribeFile(_symbols.FindFile(request.FileByFilename), "File not found."),
            Question.FileContainingSymbol => DescribeFile(_symbols.FindSymbol(request.FileContainingSymbol), "Symbol not found."),
            Question.FileContainingExtension => Error(StatusCode.NotFound, "Extension not found."),
            Question.AllExtensionNumbersOfType => ListExtensions(request.AllExtensionNumbersOfType),
            _ => Error(StatusCode.InvalidArgument, "The request asks nothing."),
        };
        response.ValidHost = request.Host;
        response.OriginalRequest = request;
        return response;
    }

    private static ServerReflectionResponse DescribeFile(FileDescriptor? file, string notFound)
    {
        if (file is null)
            return Error(StatusCode.NotFound, notFound);
        var response = new FileDescriptorResponse();
        response.FileDescriptorProto.Add(SymbolIndex.WithImports(file).Select(one => one.SerializedData));
        return new ServerReflectionResponse { FileDescriptorResponse = response };
    }

    private static ServerReflectionResponse Error(StatusCode code, string message)
        => new() { ErrorResponse = new ErrorResponse { ErrorCode = (int)code, ErrorMessage = message } };

    private ServerReflectionResponse ListServices()
    {
        var response = new ListServiceResponse();
        response.Service.Add(_services.Select(service => new ServiceResponse { Name = service.FullName }));
        return new ServerReflectionResponse { ListServicesResponse = response };
    }

    /// <summary>No message of proto3 has extensions, so the list is empty for every message that is known.</summary>
    private ServerReflectionResponse ListExtensions(string type)
        => _symbols.FindSymbol(type) is null
            ? Error(StatusCode.NotFound, "Type not found.")
            : new ServerReflectionResponse { AllExtensionNumbersResponse = new ExtensionNumberResponse { BaseTypeName = type } };
}
