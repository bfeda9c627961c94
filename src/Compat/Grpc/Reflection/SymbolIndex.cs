using Google.Protobuf.Reflection;

namespace Grpc.Reflection;

/// <summary>Files by name and by the symbols that they define, for some services and all that their files import.</summary>
internal sealed class SymbolIndex
{
    private readonly Dictionary<string, FileDescriptor> _files = new(StringComparer.Ordinal);
    private readonly Dictionary<string, FileDescriptor> _symbols = new(StringComparer.Ordinal);

    public SymbolIndex(IEnumerable<ServiceDescriptor> services)
    {
        foreach (ServiceDescriptor service in services)
            Add(service.File);
    }

    public FileDescriptor? FindFile(string name) => _files.GetValueOrDefault(name);

    public FileDescriptor? FindSymbol(string fullName) => _symbols.GetValueOrDefault(fullName);

    /// <summary>A file and everything that it imports, itself first.</summary>
    public static IReadOnlyCollection<FileDescriptor> WithImports(FileDescriptor file)
    {
        var found = new OrderedDictionary<string, FileDescriptor>();
        Collect(file);
        return found.Values;

        void Collect(FileDescriptor next)
        {
            if (!found.TryAdd(next.Name, next))
                return;
            foreach (FileDescriptor import in next.Dependencies)
                Collect(import);
        }
    }

    private void Add(FileDescriptor file)
    {
        if (!_files.TryAdd(file.Name, file))
            return;
        foreach (FileDescriptor import in file.Dependencies)
            Add(import);
        foreach (ServiceDescriptor service in file.Services)
        {
            AddSymbol(service);
            foreach (MethodDescriptor method in service.Methods)
                AddSymbol(method);
        }
        foreach (MessageDescriptor message in file.MessageTypes)
            AddMessage(message);
        foreach (EnumDescriptor enumeration in file.EnumTypes)
            AddEnum(enumeration);
        foreach (FieldDescriptor extension in file.Extensions.UnorderedExtensions)
            AddSymbol(extension);
    }

    private void AddMessage(MessageDescriptor message)
    {
        AddSymbol(message);
        foreach (FieldDescriptor field in message.Fields.InDeclarationOrder())
            AddSymbol(field);
        foreach (OneofDescriptor oneof in message.Oneofs)
            AddSymbol(oneof);
        foreach (MessageDescriptor nested in message.NestedTypes)
            AddMessage(nested);
        foreach (EnumDescriptor enumeration in message.EnumTypes)
            AddEnum(enumeration);
    }

    private void AddEnum(EnumDescriptor enumeration)
    {
        AddSymbol(enumeration);
        foreach (EnumValueDescriptor value in enumeration.Values)
            AddSymbol(value);
    }

    private void AddSymbol(IDescriptor symbol) => _symbols[symbol.FullName] = symbol.File;
}
