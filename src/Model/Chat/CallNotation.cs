namespace Conclave.Model.Chat;

/// <summary>How a model writes tool calls: the fixed texts around names and arguments, as the templates print them in the history.</summary>
public sealed record CallNotation
{
    /// <summary>What ends reasoning.</summary>
    public const string ReasoningEnd = Markers.ThinkEnd;

    /// <summary>What begins a parameter of v3.2, up to its name.</summary>
    public const string ParameterBegin = Markers.DsmlParameterBegin;

    /// <summary>What follows the name of a parameter whose value is raw text.</summary>
    public const string TextParameter = "\" string=\"true\">";

    /// <summary>What follows the name of a parameter whose value is JSON.</summary>
    public const string JsonParameter = "\" string=\"false\">";

    /// <summary>What ends a parameter.</summary>
    public const string ParameterEnd = Markers.DsmlParameterEnd;

    private CallNotation()
    {
    }

    /// <summary>What stands before <see cref="Opener"/> and belongs to the block.</summary>
    public string Lead { get; private init; } = "";

    /// <summary>What begins the block.</summary>
    public required string Opener { get; init; }

    /// <summary>Up to the name of a call.</summary>
    public required string CallBegin { get; init; }

    /// <summary>From the name to the arguments.</summary>
    public required string AfterName { get; init; }

    /// <summary>What ends a call.</summary>
    public required string CallEnd { get; init; }

    /// <summary>Between two calls.</summary>
    public string Between { get; private init; } = "";

    /// <summary>What ends the block.</summary>
    public required string Closer { get; init; }

    /// <summary>Arguments are one element a parameter, not a JSON object.</summary>
    public bool HasParameters { get; private init; }

    /// <summary>The notation of a family of formats.</summary>
    public static CallNotation Of(ChatFamily family) => family switch
    {
        ChatFamily.V3 => new CallNotation
        {
            Opener = Markers.CallsBegin,
            CallBegin = $"{Markers.CallBegin}function{Markers.CallSeparator}",
            AfterName = "\n```json\n",
            CallEnd = $"\n```{Markers.CallEnd}",
            Between = "\n",
            Closer = Markers.CallsEnd,
        },
        ChatFamily.V31 => new CallNotation
        {
            Opener = Markers.CallsBegin,
            CallBegin = Markers.CallBegin,
            AfterName = Markers.CallSeparator,
            CallEnd = Markers.CallEnd,
            Closer = Markers.CallsEnd,
        },
        _ => new CallNotation
        {
            Lead = "\n\n",
            Opener = Markers.DsmlCallsBegin,
            CallBegin = $"\n{Markers.DsmlInvokeBegin}",
            AfterName = "\">\n",
            CallEnd = $"\n{Markers.DsmlInvokeEnd}",
            Closer = $"\n{Markers.DsmlCallsEnd}",
            HasParameters = true,
        },
    };
}
