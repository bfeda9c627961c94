using System.CommandLine;
using System.Net;
using Conclave.Cli.Chat;
using Conclave.Gateway;
using Microsoft.AspNetCore.Builder;
using Microsoft.Extensions.Logging;

namespace Conclave.Cli.Commands;

/// <summary><c>conclave chat</c>: a conversation in the terminal, with a server or with one started here.</summary>
internal static class ChatCommand
{
    private static readonly ModelOptions Model = new();
    private static readonly SamplingOptions Sampling = new();
    private static readonly Option<Uri?> Server = new("--server") { Description = "Attach to a server such as http://127.0.0.1:8080 (default: start one in this process)", HelpName = "URL" };
    private static readonly Option<string?> ApiKey = new("--api-key") { Description = "Key for --server", HelpName = "KEY" };
    private static readonly Option<string?> System = new("--system") { Description = "System message", HelpName = "TEXT" };
    private static readonly Option<bool> Think = new("--think") { Description = "Begin with thinking on" };

    public static Command Create()
    {
        var command = new Command("chat", "Chat in the terminal; /help lists what can be typed") { Server, ApiKey, System, Think };
        Model.AddTo(command);
        Sampling.AddTo(command);
        command.SetAction(Run);
        return command;
    }

    private static async Task<int> Run(ParseResult parsed, CancellationToken cancellationToken)
    {
        if (parsed.GetValue(Server) is { } server) return await Talk(parsed, server, cancellationToken);
        var listen = new IPEndPoint(IPAddress.Loopback, ServeHost.FreePort());
        var gateway = new GatewayOptions { ModelDirectory = Model.Directory(parsed), Listen = listen, ChatVariant = Model.Variant(parsed) };
        await using WebApplication app = ServeHost.Build(Model.Silo(parsed), gateway, LogLevel.Warning);
        await app.StartAsync(cancellationToken);
        int code = await Talk(parsed, new Uri($"http://{listen}"), cancellationToken);
        await app.StopAsync(CancellationToken.None);
        return code;
    }

    private static async Task<int> Talk(ParseResult parsed, Uri server, CancellationToken cancellationToken)
    {
        using var client = new ChatClient(server, parsed.GetValue(ApiKey));
        await new Conversation(client, Sampling.Wishes(parsed), parsed.GetValue(System), parsed.GetValue(Think)).Run(cancellationToken);
        return CommandLine.Done;
    }
}
