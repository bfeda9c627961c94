using System.CommandLine;

namespace Conclave.Cli.Commands;

/// <summary><c>conclave placement</c>: where experts are and where they should be.</summary>
internal static class PlacementCommands
{
    public static Command Create() => new("placement", "Place experts on slots and GPUs")
    {
        PlacementBalanceCommand.Create(),
    };
}
