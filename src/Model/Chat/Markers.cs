namespace Conclave.Model.Chat;

/// <summary>
/// The markers of the chat formats. The odd characters are U+FF5C (fullwidth vertical line) and U+2581 (lower one eighth block).
/// </summary>
internal static class Markers
{
    public const string Bos = "<｜begin▁of▁sentence｜>";
    public const string Eos = "<｜end▁of▁sentence｜>";
    public const string User = "<｜User｜>";
    public const string Assistant = "<｜Assistant｜>";
    public const string ThinkBegin = "<think>";
    public const string ThinkEnd = "</think>";

    public const string CallsBegin = "<｜tool▁calls▁begin｜>";
    public const string CallsEnd = "<｜tool▁calls▁end｜>";
    public const string CallBegin = "<｜tool▁call▁begin｜>";
    public const string CallEnd = "<｜tool▁call▁end｜>";
    public const string CallSeparator = "<｜tool▁sep｜>";
    public const string OutputsBegin = "<｜tool▁outputs▁begin｜>";
    public const string OutputsEnd = "<｜tool▁outputs▁end｜>";
    public const string OutputBegin = "<｜tool▁output▁begin｜>";
    public const string OutputEnd = "<｜tool▁output▁end｜>";

    public const string FimBegin = "<｜fim▁begin｜>";
    public const string FimHole = "<｜fim▁hole｜>";
    public const string FimEnd = "<｜fim▁end｜>";

    public const string Dsml = "｜DSML｜";
    public const string DsmlCallsBegin = "<｜DSML｜function_calls>";
    public const string DsmlCallsEnd = "</｜DSML｜function_calls>";
    public const string DsmlInvokeBegin = "<｜DSML｜invoke name=\"";
    public const string DsmlInvokeEnd = "</｜DSML｜invoke>";
    public const string DsmlParameterBegin = "<｜DSML｜parameter name=\"";
    public const string DsmlParameterEnd = "</｜DSML｜parameter>";
}
