"""
What the pages of the documentation hold: their blocks of code, and what a page says that a command prints.

A comment before a block, which no reader sees, says what is done with it: `<!-- write FILE -->`.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
_BLOCK = re.compile(
    r"^(?P<indent> *)(?:<!-- (?P<caption>[^>]+) -->\n(?P=indent))?```(?P<kind>\w*)\n(?P<text>.*?)^(?P=indent)```$",
    re.MULTILINE | re.DOTALL,
)
_ANY_LINES = r"(?:.*\n)*?"


class Block(NamedTuple):
    """A fenced block: the line of its page at which it begins, the comment before it, its language, its text."""

    line: int
    caption: str
    kind: str
    text: str


def blocks(text: str) -> Iterator[Block]:
    """All of a page, in their order."""
    for found in _BLOCK.finditer(text):
        line = text.count("\n", 0, found.start("text")) + 1
        inside = re.sub(rf"^{found['indent']}", "", found["text"], flags=re.MULTILINE)  # a block may stand in a list
        yield Block(line, found["caption"] or "", found["kind"], inside)


def typed(console: str) -> Iterator[tuple[str, str]]:
    """What is typed in a block of a console, and what is printed then. `> ` continues a command."""
    for each in re.split(r"^\$ ", console, flags=re.MULTILINE)[1:]:
        command, _, printed = each.partition("\n")
        while printed.startswith("> "):
            line, _, printed = printed.partition("\n")
            command += f"\n{line[2:]}"
        yield command, printed


def says(page: str, printed: str) -> bool:
    """
    Whether a page says what was printed. `...` on the page stands for anything: on a line of its own for any lines,
    else for any characters of a line.
    """
    lines = page.splitlines()
    pattern = "".join(
        _ANY_LINES if line == "..." else f"{re.escape(line)}\n".replace(r"\.\.\.", ".*") for line in lines
    )
    # As a terminal leaves it: the next prompt stands on a line of its own.
    shown = printed.rstrip() + "\n" if printed.strip() else ""
    return re.fullmatch(pattern, shown) is not None
