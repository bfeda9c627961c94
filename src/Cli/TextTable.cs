namespace Conclave.Cli;

/// <summary>
/// Figures as plain text, the same in a terminal, a pipe and a file: every column as wide as its widest cell, two spaces between them, nothing wrapped and nothing cut. A heading may take several lines.
/// </summary>
/// <param name="labelColumns">How many columns, from the left, hold words: they stand to the left, numbers to the right.</param>
/// <param name="headings">One a column; '\n' begins a new line of it.</param>
internal sealed class TextTable(int labelColumns, params string[] headings)
{
    private readonly List<string[]> _rows = [];

    /// <summary>Adds a row; cells that are not given are empty.</summary>
    /// <exception cref="ArgumentException">More cells than columns.</exception>
    public void AddRow(params string[] cells)
    {
        if (cells.Length > headings.Length) throw new ArgumentException($"{cells.Length} cells for {headings.Length} columns", nameof(cells));
        _rows.Add([.. cells, .. Enumerable.Repeat("", headings.Length - cells.Length)]);
    }

    /// <summary>Prints it.</summary>
    public void Write() => Console.Write(ToString());

    /// <summary>Its lines, each ended by a line feed.</summary>
    public override string ToString()
    {
        string[][] titles = [.. headings.Select(heading => heading.Split('\n'))];
        int titleLines = titles.Max(title => title.Length);

        // Short headings stand on the line next to the figures.
        string[][] above = [.. Enumerable.Range(0, titleLines).Select(line => titles.Select(title => title.ElementAtOrDefault(line - titleLines + title.Length) ?? "").ToArray())];
        string[][] lines = [.. above, .. _rows];
        int[] widths = [.. headings.Select((_, column) => lines.Max(cells => cells[column].Length))];
        string rule = string.Join("  ", widths.Select(width => new string('-', width)));
        IEnumerable<string> text = lines.Select(cells => string.Join("  ", cells.Select((cell, column) => column < labelColumns ? cell.PadRight(widths[column]) : cell.PadLeft(widths[column]))).TrimEnd());
        return string.Concat(text.Take(titleLines).Append(rule).Concat(text.Skip(titleLines)).Select(line => line + "\n"));
    }
}
