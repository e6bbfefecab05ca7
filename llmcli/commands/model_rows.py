"""
Rows of models: which are wanted, and how they look. Layer 3.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from llmcli.commands.table import as_table
from llmcli.output import one_line

Row = dict[str, Any]

_COLUMNS = ("model", "", "name", "context_length", "capabilities", "created")
_SPARE = ("name", "capabilities", "created", "context_length")
_MARK = "*"
_NEAR = 3  # names in a hint


def matching(rows: Sequence[Row], search: str | None) -> list[Row]:
    """The rows that have all words of the search in their id or name, whatever the case."""
    words = (search or "").casefold().split()
    return [row for row in rows if all(word in _searched(row) for word in words)]


def _searched(row: Row) -> str:
    return f"{row['id']}\n{row.get('name') or ''}".casefold()


def near_names(wanted: str, names: Sequence[str]) -> list[str]:
    """The names that a mistyped one was probably meant to be: those that hold it, then those that look like it."""
    from difflib import get_close_matches

    by_folded = {name.casefold(): name for name in names}
    folded = wanted.casefold()
    holding = sorted((name for name in by_folded if folded in name), key=len) if folded else []
    alike = get_close_matches(folded, by_folded, n=_NEAR, cutoff=0.6)
    return [by_folded[name] for name in dict.fromkeys([*holding, *alike])][:_NEAR]


# --- how they look --------------------------------------------------------------------------------


def as_listing(rows: Sequence[Row], *, width: int | None) -> str:
    """
    On a terminal a table of what is known, in which what is not live is marked; in a pipe `provider/model` and nothing
    else.
    """
    if width is None:
        return "".join(f"{_full_name(row)}\n" for row in rows)
    shown = [_for_a_table(row) for row in rows]
    columns = [name for name in _COLUMNS if name == "model" or any(row.get(name) for row in shown)]
    return as_table(shown, columns, width=width, spare=_SPARE)


def legend(rows: Sequence[Row]) -> str | None:
    """What the mark in a table means, if it stands there."""
    said = {
        "named in the configuration": _providers(rows, "configuration"),
        "what llmcli knows": _providers(rows, "built-in"),
    }
    parts = [f"{what} ({', '.join(ids)})" for what, ids in said.items() if ids]
    return f"{_MARK} not from the service itself: {'; '.join(parts)}" if parts else None


def as_lines(row: Row) -> str:
    """All of one model, a line for each thing that is known."""
    return "".join(f"{name}: {one_line(value)}\n" for name, value in _facts(row))


def _facts(row: Row) -> Iterator[tuple[str, str]]:
    yield "model", _full_name(row)
    for name, value in {**row, "created": _date(row.get("created"))}.items():
        if name in ("provider", "id") or value in (None, (), []):
            continue
        yield name, ", ".join(value) if isinstance(value, list | tuple) else str(value)


def _for_a_table(row: Row) -> Mapping[str, Any]:
    mark = "" if row.get("source") == "live" else _MARK  # in a column of its own, so that it is never cut
    return {**row, "model": _full_name(row), "": mark, "created": _date(row.get("created"))}


def _full_name(row: Row) -> str:
    return one_line(f"{row['provider']}/{row['id']}")


def _providers(rows: Sequence[Row], source: str) -> list[str]:
    return list(dict.fromkeys(row["provider"] for row in rows if row.get("source") == source))


def _date(created: Any) -> str | None:
    """The day of a time in seconds, `None` for what is none."""
    try:
        return datetime.fromtimestamp(created, UTC).date().isoformat()
    except (TypeError, ValueError, OverflowError, OSError):
        return None
