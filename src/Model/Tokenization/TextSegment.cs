namespace Conclave.Model.Tokenization;

/// <summary>
/// A piece of a prompt. Ordinary text of neighbouring pieces is encoded as one run, because merges may cross their border; the pieces differ only
/// in whether the text of an added token (such as <c>&lt;｜User｜&gt;</c>) becomes that token.
/// </summary>
/// <param name="Text">The text.</param>
/// <param name="MatchAddedTokens">True for the template's own text; false for text typed by a client, so that it cannot inject markers.</param>
public readonly record struct TextSegment(string Text, bool MatchAddedTokens);
