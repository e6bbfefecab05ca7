"""
Rows as text: aligned columns on a terminal, tab-separated lines in a pipe. Layer 3.

What counts on a terminal are its cells: a Chinese character or an emoji fills two, an accent of its own none.
"""

import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from llmcli.output import one_line

Row = Mapping[str, Any]

_GAP = "  "
_INDENT = "  "
_WRONG = "! "
_WIDENS = "\ufe0f"  # asks for the sign before it as an emoji


def as_table(rows: Sequence[Row], columns: Sequence[str], *, width: int | None, spare: Sequence[str] = ()) -> str:
    """
    One line a row. On a terminal (`width` columns) with a heading and aligned: without as many of the `spare` columns
    as do not fit, and with the longest cells cut when that is not enough; what a row says of its `problem` stands
    below it. The few rows whose first cell is much longer than the others' have a line more, and cost no column. In a
    pipe (`None`) tab-separated without a heading and never cut, so that `cut`, `grep` and `fzf` work; a `problem` is
    the last cell.
    """
    if width is None:
        return "".join("\t".join(_shown(row, columns) + _problem(row)) + "\n" for row in rows)
    table = {column: _column(column, rows) for column in columns}
    usual = _usual(table[columns[0]], width)
    for name in spare:
        if _total([usual, *_widest_of(table)[1:]]) <= width:
            break
        table.pop(name, None)
    widths = _widest_of(table)
    if _total([usual, *widths[1:]]) > width:
        widths = _fitted(widths, width)
        table[columns[0]] = [cut(text, widths[0]) for text in table[columns[0]]]
    else:
        widths[0] = min(widths[0], width - _total([0, *widths[1:]]))
    heading, *lines = (_lines(texts, widths, width) for texts in zip(*table.values(), strict=True))
    below = (line for row, own in zip(rows, lines, strict=True) for line in (*own, *_below(row, width)))
    return "".join(f"{line}\n" for line in (*heading, *below))


def cells(text: str) -> int:
    """How many columns of a terminal a text fills."""
    return len(text) if text.isascii() else sum(map(_cells_of, text))


def cut(text: str, width: int) -> str:
    """The text, or as much of it as fits into so many columns, with `…` for the rest."""
    if cells(text) <= width:
        return text
    return text[: _fitting(text, width - 1)] + "…"


def padded(text: str, width: int) -> str:
    """The text with blanks behind it, so that it fills so many columns."""
    return text + " " * (width - cells(text))


def folded(text: str, width: int) -> Iterator[str]:
    """
    The words of a text in lines of so many columns. A word that is longer than a line is broken, and begins where the
    one before it ends: Chinese, for example, has no blanks between its words.
    """
    line = ""
    for word in text.split():
        if line and cells(line) + 1 + cells(word) > width and (cells(word) <= width or cells(line) + 3 > width):
            yield line
            line = ""
        line = f"{line} {word}" if line else word
        while cells(line) > width:
            at = max(1, _fitting(line, width))
            yield line[:at]
            line = line[at:]
    if line:
        yield line


def _cells_of(sign: str) -> int:
    if sign == _WIDENS:
        return 1
    if unicodedata.category(sign) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(sign) in "WF" else 1


def _fitting(text: str, width: int) -> int:
    """How many signs of a text fill no more than so many columns."""
    used = 0
    for at, sign in enumerate(text):
        used += _cells_of(sign)
        if used > width:
            return at
    return len(text)


# --- the parts of a table -------------------------------------------------------------------------


def _shown(row: Row, columns: Sequence[str]) -> list[str]:
    return [_cell(row.get(column)) for column in columns]


def _column(name: str, rows: Sequence[Row]) -> list[str]:
    """The heading of a column and its cells."""
    return [name.upper().replace("_", " "), *(_cell(row.get(name)) for row in rows)]


def _widest_of(table: Mapping[str, Sequence[str]]) -> list[int]:
    """How wide each column is."""
    return [max(map(cells, texts)) for texts in table.values()]


def _usual(texts: Sequence[str], width: int) -> int:
    """How wide a column is without the few texts (at most one in five) that fill more than half of the terminal."""
    widths = sorted(map(cells, texts))
    most = widths[-1 - (len(widths) - 1) // 5]
    return max(most, *(each for each in widths if each <= width // 2), cells(texts[0]))


def _total(widths: Sequence[int]) -> int:
    return sum(widths) + len(_GAP) * (len(widths) - 1)


def _fitted(widths: list[int], width: int) -> list[int]:
    """The widths of columns of which the widest give way until all fit."""
    while _total(widths) > width and max(widths) > 1:
        widths[widths.index(max(widths))] -= 1
    return widths


def _lines(texts: Sequence[str], widths: Sequence[int], width: int) -> Iterator[str]:
    """
    The cells of a row, cut to their columns. A first one that has no room in its own has a line to itself, and the
    others follow below it if they say anything.
    """
    first, *others = texts
    hangs = cells(first) > widths[0]
    if hangs:
        yield cut(first, width)
    if not hangs or not set(others) <= {"", "-"}:
        shown = ("" if hangs else first, *others)
        yield _GAP.join(padded(cut(text, most), most) for text, most in zip(shown, widths, strict=True)).rstrip()


def _below(row: Row, width: int) -> Iterator[str]:
    """The lines below a row."""
    for problem in _problem(row):
        lines = folded(problem.removeprefix(_WRONG), max(1, width - len(_INDENT + _WRONG)))
        for number, line in enumerate(lines):
            yield f"{_INDENT}{' ' * len(_WRONG) if number else _WRONG}{line}"


def _cell(value: Any) -> str:
    if value is None or value == [] or value == ():
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return one_line(",".join(str(item) for item in value))
    return one_line(str(value))


def _problem(row: Row) -> list[str]:
    return [f"{_WRONG}{one_line(str(row['problem']))}"] if row.get("problem") else []
