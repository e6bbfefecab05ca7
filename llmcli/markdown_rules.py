"""
Markdown read so that nothing of it gets lost: markdown-it's rules, and what they would drop. Layer 0: knows nobody.

It is imported where Markdown is shown: markdown-it takes its time to load.
"""

from collections.abc import Iterable, Iterator, Sequence
from functools import cache

from markdown_it import MarkdownIt
from markdown_it.rules_block import StateBlock, table
from markdown_it.rules_block.table import escapedSplit
from markdown_it.rules_inline import StateInline, image, link
from markdown_it.token import Token

_DEEPEST = 100  # lists and quotes in one another; what stands deeper, markdown-it leaves out


@cache
def parser(*, strikethrough: bool) -> MarkdownIt:
    """
    Reads Markdown for a terminal. HTML and images stay as they are written, because a terminal can do nothing with
    them; so do the targets of references, which stand in other blocks.
    """
    rules = MarkdownIt("commonmark", {"html": False, "maxNesting": _DEEPEST})
    rules.enable(["strikethrough", "table"] if strikethrough else "table").disable(["autolink", "reference"])
    rules.block.ruler.at("table", _whole_table, {"alt": ["paragraph", "reference"]})
    rules.inline.ruler.at("image", _image_as_written)
    rules.inline.ruler.at("link", _link_with_title)
    return rules


def is_too_deep(tokens: Iterable[Token]) -> bool:
    """Whether something may stand so deep that it was left out."""
    return any(token.nesting == 1 and token.level >= _DEEPEST - 1 for token in tokens)


def begins_block(before: str, line: str) -> bool:
    """Whether a line is the beginning of something that does not belong to what stands before it."""
    rules = parser(strikethrough=False)
    tokens: list[Token] = []
    rules.block.parse(before + line, rules, {}, tokens)
    outermost = [token.map for token in tokens if token.level == 0 and token.map]
    return bool(outermost) and outermost[-1][:1] == [before.count("\n")]


def _whole_table(state: StateBlock, start: int, end: int, silent: bool) -> bool:
    """A table with all the cells of its rows, also those for which its heading has no column."""
    before = len(state.tokens)
    if not table(state, start, end, silent):
        return False
    if not silent:
        state.tokens[before:] = _with_all_cells(state, state.tokens[before:])
    return True


def _with_all_cells(state: StateBlock, tokens: Sequence[Token]) -> Iterator[Token]:
    columns = sum(token.type == "th_open" for token in tokens)
    row = 0
    for token in tokens:
        if token.type == "tr_open" and token.map:
            row = token.map[0]
        elif token.type == "tr_close":
            for cell in _cells(state.src[state.bMarks[row] + state.tShift[row] : state.eMarks[row]])[columns:]:
                yield Token("td_open", "td", 1)
                yield Token("inline", "", 0, content=cell, children=[], map=[row, row + 1])
                yield Token("td_close", "td", -1)
        yield token


def _cells(line: str) -> list[str]:
    """The cells of a row, without empty ones at its end."""
    cells = [cell.strip() for cell in escapedSplit(line.strip())]
    while cells and not cells[-1]:
        cells.pop()
    return cells[1:] if cells and not cells[0] else cells


def _image_as_written(state: StateInline, silent: bool) -> bool:
    start = state.pos
    if not image(state, silent):
        return False
    if not silent:
        state.tokens.pop()
        state.push("text", "", 0).content = state.src[start : state.pos]
    return True


def _link_with_title(state: StateInline, silent: bool) -> bool:
    """A link, of which everybody shows the address: its title stands behind it, as it is written."""
    before = len(state.tokens)
    if not link(state, silent):
        return False
    for token in state.tokens[before:]:
        if token.type == "link_open" and token.attrs.get("title"):
            token.attrs["href"] = f'{token.attrs["href"]} "{token.attrs["title"]}"'
    return True
