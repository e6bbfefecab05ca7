"""
Rows as text: aligned columns on a terminal, tab-separated lines in a pipe. Layer 3.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from llmcli.output import one_line


def as_table(
    rows: Sequence[Mapping[str, Any]], columns: Sequence[str], *, width: int | None, spare: Sequence[str] = ()
) -> str:
    """
    One line a row. On a terminal (`width` columns) with a heading and aligned, without as many of the `spare` columns
    as do not fit; in a pipe (`None`) tab-separated without a heading, so that `cut`, `grep` and `fzf` work. A row's
    `problem` stands at its end.
    """
    if width is None:
        cells = [[_cell(row.get(column)) for column in columns] + _problem(row) for row in rows]
        return "".join("\t".join(line) + "\n" for line in cells)
    for dropped in range(len(spare) + 1):
        text = _aligned(rows, [column for column in columns if column not in spare[:dropped]])
        if max(map(len, text.splitlines()), default=0) <= width:
            break
    return text


def _aligned(rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> str:
    cells = [[_cell(row.get(column)) for column in columns] + _problem(row) for row in rows]
    heading = [column.upper().replace("_", " ") for column in columns]
    widths = [max(len(line[at]) for line in [heading, *cells]) for at in range(len(columns))]
    return "".join(
        "  ".join(
            [*(text.ljust(width) for text, width in zip(line, widths, strict=False)), *line[len(columns) :]]
        ).rstrip()
        + "\n"
        for line in [heading, *cells]
    )


def _cell(value: Any) -> str:
    if value is None or value == []:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return ",".join(str(item) for item in value)
    return one_line(str(value))


def _problem(row: Mapping[str, Any]) -> list[str]:
    return [f"! {one_line(str(row['problem']))}"] if row.get("problem") else []
