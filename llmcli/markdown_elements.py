"""
Markdown drawn so that nothing of it gets lost: rich's elements, and what they would drop. Layer 0: knows nobody.

It is imported where Markdown is shown: rich takes its time to load.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import zip_longest
from typing import ClassVar

from markdown_it.token import Token
from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.markdown import CodeBlock, Markdown, MarkdownElement, TableElement
from rich.syntax import Syntax
from rich.table import Column, Table
from rich.text import Text

_NARROW = 8  # columns of a terminal; in less than that long words of a table would be cut to pieces
_ENDLESS = 10_000  # columns of a terminal that has room for everything
_QUOTE, _BULLET = 4, 3  # columns that rich takes from what stands in a quote, or in an item


class WholeMarkdown(Markdown):
    """rich's Markdown, drawn by the elements below."""

    elements: ClassVar[dict[str, type[MarkdownElement]]]


def as_written(block: str) -> Text:
    """Markdown as the model wrote it."""
    return Text(block.strip("\n"), overflow="fold")


def indentation(tokens: Sequence[Token]) -> int:
    """The columns, at the most, that stand before something in lists and quotes."""
    items = sum(token.type == "list_item_open" for token in tokens)
    before = [0]
    most = 0
    for token in tokens:
        if token.nesting == 1:
            before.append(before[-1] + _indent(token, items))
            most = max(most, before[-1])
        elif token.nesting == -1:
            before.pop()
    return most


def _indent(token: Token, items: int) -> int:
    if token.type == "ordered_list_open":
        return len(str(int(token.attrs.get("start", 1)) + items)) + 2
    return {"blockquote_open": _QUOTE, "bullet_list_open": _BULLET}.get(token.type, 0)


class _WholeCode(CodeBlock):
    """Code with the blank lines at its beginning and its end."""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        code = str(self.text).removesuffix("\n")
        yield Syntax(code, self.lexer_name, theme=self.theme, word_wrap=True, padding=1)


class _WholeTable(TableElement):
    """
    A table that folds what has no room in a cell. Where not even the words of its columns have room beside one another,
    each row is a paragraph, a line for each cell, with the heading of its column.
    """

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        for table in super().__rich_console__(console, options):
            if isinstance(table, Table):
                yield from [table] if _fits(table, console, options) else _records(table)


def _fits(table: Table, console: Console, options: ConsoleOptions) -> bool:
    """Give the columns their widths, if there is room for them."""
    least = [_least(column) for column in table.columns]
    for column, width in zip(table.columns, least, strict=True):
        column.overflow, column.width = "fold", width
    between = console.measure(table, options=options.update(width=_ENDLESS)).maximum - sum(least)
    room = options.max_width - between
    if sum(least) > room:
        return False
    wanted = [max(map(_width, _texts(column))) for column in table.columns]
    for column, width in zip(table.columns, _shared(room, least, wanted), strict=True):
        column.width = width
    return True


def _texts(column: Column) -> Iterator[Text]:
    for text in (column.header, *column.cells):
        yield text if isinstance(text, Text) else Text(str(text))


def _width(text: Text) -> int:
    return max(map(cell_len, text.plain.split("\n")))


def _least(column: Column) -> int:
    """How narrow a column may be: a wide sign that has no room would not be shown at all."""
    words = (word for text in _texts(column) for word in text.plain.split())
    longest = max(map(cell_len, words), default=1)
    return min(longest, _NARROW)


def _shared(room: int, least: Sequence[int], wanted: Sequence[int]) -> Iterable[int]:
    """The widths of columns: what they want, but that the widest give way until all have room."""
    most, widths = max(wanted), list(wanted)
    if sum(wanted) > room:
        most = room
    while sum(widths) > room:
        widths = [max(low, min(high, most)) for low, high in zip(least, wanted, strict=True)]
        most -= 1
    for at, high in enumerate(wanted):
        if widths[at] < high and sum(widths) < room:
            widths[at] += 1
    return widths


def _records(table: Table) -> Iterator[Text]:
    """A paragraph for each row; the headings alone where there is none."""
    headings, *rows = zip_longest(*map(_texts, table.columns), fillvalue=Text())
    yield Text()
    for heading in [] if rows else headings:
        yield Text(heading.plain, heading.style, overflow="fold")
    for row in rows:
        for heading, cell in zip(headings, row, strict=True):
            if heading.plain or cell.plain:
                yield Text.assemble(heading, ": " if heading.plain else "", cell, overflow="fold")
        yield Text()


WholeMarkdown.elements = {
    **Markdown.elements,
    "table_open": _WholeTable,
    "fence": _WholeCode,
    "code_block": _WholeCode,
}
