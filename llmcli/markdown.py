"""
Markdown on a terminal: cut into blocks, rendered, and drawn while it grows. Layer 0: knows nobody.

What is finished is written once and never touched again. Only the block that is still open is drawn anew, in its place;
it never reaches above the top of the screen, so that nothing that has scrolled away was not final.
"""

import re
from collections.abc import Callable, Sequence
from itertools import islice, takewhile
from typing import Any, NamedTuple

_FENCE = re.compile(r" {0,3}(`{3,}(?=[^`]*$)|~{3,})")
_AN_ITEM = re.compile(r"[ \t]*(?:[-+*]|\d{1,9}[.)])(?:\s|$)")
_INDENTED = re.compile(r" {4}| {0,3}\t")
_PERHAPS_MARKUP = re.compile(r"[\s`~*_#>|=+:-]*")  # a line of which nobody knows yet what it says
_COLOR = r"\x1b\[[0-9;]*m"  # the escape sequences that rich writes

_LEAST_ROOM = 6  # columns for a text in lists and quotes; less than that would show it by the letter, or not at all
_MOST_OPEN = 40  # lines; what is open is rendered for every piece that comes
_MOST_CODE = 12  # which takes several times as long


class Blocks:
    """
    Cuts growing Markdown text into complete blocks, which say by themselves what they say in the whole: at blank lines,
    except inside code and lists, and around fenced code. A list goes on until a line shows that it does not belong to
    it; what does, only the parser knows.
    """

    def __init__(self) -> None:
        self._line: list[str] = []  # the pieces of a line whose end has not come
        self._block: list[str] = []
        self._fence = ""  # of the code that the block is
        self._goes_on = False  # perhaps after blank lines, because it may be a list, or code that is indented

    def feed(self, text: str) -> list[str]:
        """Take the next piece of the text and return the blocks that the lines in it show to be complete."""
        first, *rest = text.split("\n")
        self._line.append(first)
        blocks: list[str] = []
        for start in rest:
            blocks += self._take("".join(self._line) + "\n")
            self._line = [start]
        return blocks

    def end(self) -> list[str]:
        """The text has ended, and so has the block that it was in."""
        blocks = self._take("".join(self._line)) if any(self._line) else []
        self._line = []
        return [*blocks, *self._complete()]

    @property
    def open(self) -> str:
        """The block that is not complete, without the beginning of a line that may still become anything."""
        return "".join([*self._block, self._begun()])

    def _begun(self) -> str:
        line = "".join(self._line)
        return "" if _PERHAPS_MARKUP.fullmatch(line) else line

    @property
    def is_code(self) -> bool:
        """Whether the open block is code, and nothing else."""
        return bool(self._fence)

    def cuts(self) -> list[int]:
        """The lines of the open block before which it may be cut if that changes nothing of what is to be seen."""
        if self.is_code:
            return [at for at, line in enumerate(self._block) if at > 1 and line.strip()]
        items = [at for at, line in enumerate(self._block) if _AN_ITEM.match(line)]
        if not self._goes_on or not items:
            return []
        outer = min(_indent(self._block[at]) for at in items)
        return [at for at in items[1:] if _indent(self._block[at]) == outer]

    def after(self, at: int) -> str:
        """The open block from its line `at` on, as a block of its own."""
        return "".join([*self._opening(), *self._block[at:], self._begun()])

    def cut(self, at: int) -> None:
        """Forget what stands before the line `at`."""
        self._block = [*self._opening(), *self._block[at:]]

    def _opening(self) -> list[str]:
        """The line that makes code of those that follow it."""
        return self._block[:1] if self.is_code else []

    def _take(self, line: str) -> list[str]:
        """A line is complete: it goes on with the open block, or ends it, or begins another."""
        if self._fence:
            self._block.append(line)
            is_end = re.fullmatch(rf" {{0,3}}{self._fence}{self._fence[0]}*[ \t]*\n?", line)
            return self._complete() if is_end else []
        if not line.strip():
            if self._goes_on:
                self._block.append(line)
                return []
            return self._complete()
        fence = _FENCE.match(line)
        blocks = self._complete() if self._is_past(line, fence is not None) else []
        if fence and not self._block:
            self._fence = fence[1]
        self._goes_on = bool(self._goes_on or _AN_ITEM.match(line) or _INDENTED.match(line))
        self._block.append(line)
        return blocks

    def _is_past(self, line: str, is_fence: bool) -> bool:
        """Whether a line does not belong to the open block."""
        if not self._goes_on:
            return is_fence
        after_blank = not self._block[-1].strip()
        if not is_fence and (not after_blank or line.startswith(("  ", "\t")) or _AN_ITEM.match(line)):
            return False
        from llmcli.markdown_rules import begins_block

        return begins_block("".join(self._block), line)

    def _complete(self) -> list[str]:
        """The open block is complete, if there is one."""
        block, self._block = "".join(self._block), []
        self._goes_on, self._fence = False, ""
        return [block] if block.strip() else []


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())


class Rendering:
    """
    Markdown to the lines that show it. HTML and images are shown as they are written, because a terminal can do nothing
    with them and nothing of an answer may get lost; so are the targets of references, which stand in other blocks, and
    what is struck out where no style can show it. So is a whole block in which lists and quotes stand in one another
    so deep that no room is left for what they say. `harmless` maps characters that a terminal would obey.
    """

    def __init__(self, *, color: bool, harmless: dict[int, str]) -> None:
        from llmcli import markdown_elements, markdown_rules

        self._rules, self._elements = markdown_rules, markdown_elements
        self._color = color
        self._harmless = harmless
        self._console: Any = None
        self._document = markdown_elements.WholeMarkdown("", hyperlinks=False)  # made once, because it takes long

    def lines(self, block: str, width: int) -> list[str]:
        """
        The lines of a block: none wider than `width`, none with blanks at its end, the first and last not blank unless
        they are code.
        """
        from rich.console import Console

        if self._console is None or self._console.width != width:
            self._console = Console(
                file=None, width=width, force_terminal=self._color, no_color=not self._color, highlight=False,
                color_system="auto" if self._color else None, legacy_windows=False,
            )  # fmt: skip
        tokens = self._rules.parser(strikethrough=self._color).parse(block)
        self._document.parsed = tokens
        document: Any = self._document
        if self._rules.is_too_deep(tokens) or width - self._elements.indentation(tokens) < _LEAST_ROOM:
            document, tokens = self._elements.as_written(block), []
        with self._console.capture() as capture:
            self._console.print(document)
        return _trimmed(capture.get().translate(self._harmless), *(_is_code(tokens[at:][:1]) for at in (0, -1)))


def _is_code(tokens: Sequence[Any]) -> bool:
    return any(token.type in ("fence", "code_block") for token in tokens)


def _trimmed(rendered: str, code_first: bool, code_last: bool) -> list[str]:
    """
    What rich rendered, without the blanks that it pads every line with, and the blank lines around some blocks. Those
    of code are its own, but for one above and one below it, which rich adds.
    """
    lines = [re.sub(rf"[ \t]+((?:{_COLOR})*)$", r"\1", line) for line in rendered.rstrip("\n").split("\n")]
    said = [at for at, line in enumerate(lines) if re.sub(_COLOR, "", line).strip()]
    if not said:
        return []
    first, last = (1 if code_first else said[0]), (len(lines) - 1 if code_last else said[-1] + 1)
    return lines[first:last]


_BEGIN = "\x1b[?2026h\x1b[?25l"  # show what follows at once; no cursor meanwhile
_END = "\x1b[?25h\x1b[?2026l"
_CLIP, _WRAP = "\x1b[?7l", "\x1b[?7h"
_ERASE_LINE, _ERASE_BELOW = "\x1b[K", "\x1b[J"


class Screen(NamedTuple):
    """
    What lines are drawn on: the columns and rows of a terminal, and how often the process has gone on after it was
    stopped, while others wrote to it.
    """

    columns: int
    rows: int
    stops: int = 0


class Region:
    """
    The lines at the end of what was written that are drawn anew. The cursor stands at the beginning of the line below.

    They are cut rather than wrapped by the terminal, so that each is one line of it, whatever it thinks of the width of
    a sign.

    Where they stand nobody knows any more when others have written below them, or when the terminal has another size
    and shows a line of them as several. Such lines stay as they are, and what they do not say yet is drawn below.
    """

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._from_start = True  # whether they begin with the beginning of what is open
        self._left = ""  # the signs of what is open that stand above them, where nothing can be drawn
        self._screen: Screen | None = None

    def drawn_anew(self, finished: Sequence[str], view: Sequence[str], screen: Screen) -> str:
        """What makes a terminal show finished lines, and below them the open ones as far as they fit."""
        if self._screen not in (None, screen):
            self._leave(screen)
        self._screen = screen
        if self._left:
            finished, view = self._not_left(finished, view)
        self._from_start = len(view) < screen.rows
        view = view[-max(1, screen.rows - 1) :]
        same = 0
        while not finished and same < min(len(view), len(self._lines)) and view[same] == self._lines[same]:
            same += 1
        if not finished and same == len(view) == len(self._lines):
            return ""
        up = len(self._lines) - same
        start = f"\x1b[{up}A\r" if up else "\r"
        self._lines = list(view)
        columns = screen.columns
        lines = [*(_line(line, columns) for line in finished), _CLIP, *(_line(line, columns) for line in view[same:])]
        return "".join([_BEGIN, start, *lines, _WRAP, _ERASE_BELOW, _END])

    def _leave(self, screen: Screen) -> None:
        """Leave the lines of which it is not certain where they stand."""
        certain = 0
        if self._screen is not None and self._screen.stops == screen.stops:
            fit = takewhile(lambda line: _width(line) <= screen.columns, reversed(self._lines))
            certain = min(len(list(fit)), max(0, screen.rows - 1))
        lines, self._lines = self._lines, self._lines[len(self._lines) - certain :]
        if self._from_start:  # else what was shown of it is its end, which comes again behind what was not shown
            self._left += _signs(lines[: len(lines) - certain])

    def _not_left(self, finished: Sequence[str], view: Sequence[str]) -> tuple[Sequence[str], Sequence[str]]:
        """Of the lines those that do not stand above, or stand there as what they are no more."""
        first = _signs(finished)
        shown = zip(self._left, first + _signs(view), strict=False)
        said = sum(1 for _ in takewhile(lambda signs: signs[0] == signs[1], shown))
        self._left = self._left[len(first) : said]
        return _behind(finished, said), _behind(view, said - len(first))


def _signs(lines: Sequence[str]) -> str:
    """What lines say, however it is broken into lines; the rule below a heading is as long as its table is wide."""
    signs = (re.sub(rf"{_COLOR}|[\s▌]", "", line) for line in lines)
    return "".join(said for said in signs if said.strip("─━"))


def _behind(lines: Sequence[str], said: int) -> Sequence[str]:
    """The lines behind so many signs; a word that stands there by half is said again."""
    if said <= 0:
        return lines
    for at, line in enumerate(lines):
        here = len(_signs([line]))
        if said < here:
            return [_rest(line, said), *lines[at + 1 :]]
        said -= here
        if not said:
            return lines[at + 1 :]
    return []


def _rest(line: str, said: int) -> str:
    """A line without the words that are said, indented and coloured as it was; no item begins anew."""
    parts = re.split(f"({_COLOR})", line)  # the text at even places
    text = "".join(parts[::2])
    end = [at for at, sign in enumerate(text) if _signs([sign])][said]
    while end and not text[end - 1].isspace():
        end -= 1
    start = end - len(text[:end].lstrip(" ▌•"))
    if start == end:  # no word is said
        return line
    # what is left out is a sign that no terminal is sent, so that the escape sequences keep their places
    text = text[:start].replace("•", " ") + "\0" * (end - start) + text[end:]
    signs = iter(text)
    parts[::2] = ["".join(islice(signs, len(part))) for part in parts[::2]]
    return "".join(parts).replace("\0", "")


def _width(line: str) -> int:
    from rich.cells import cell_len

    return cell_len(re.sub(_COLOR, "", line))


def _line(line: str, columns: int) -> str:
    """A line and what erases the rest of the old one, which in the last column would erase the last sign."""
    full = _width(line) >= columns
    return f"{line}\n" if full else f"{line}{_ERASE_LINE}\n"


Size = Callable[[], tuple[int, int]]  # columns and lines
Stops = Callable[[], int]


class Page:
    """
    Markdown that grows, on a terminal. `size` tells the columns and lines of one on which what is open can be drawn
    anew, and `stops` how often others may have written to it meanwhile; without a size a block is written when it is
    complete, `width` columns wide.

    `draw` is to be called before what was written goes out.
    """

    def __init__(
        self, write: Callable[[bytes], None], rendering: Rendering, width: int, size: Size | None = None,
        stops: Stops = lambda: 0,
    ) -> None:  # fmt: skip
        self._write = write
        self._rendering = rendering
        self._width = width
        self._size = size
        self._stops = stops
        self._screen = self._seen()
        self._blocks = Blocks()
        self._finished: list[str] = []  # lines that are to be written
        self._apart = False  # whether the next block stands below another
        self._fed = False
        self._region = Region()
        self._tried = 0  # at how many lines the open block could not be cut

    def feed(self, text: str) -> None:
        """Take the next piece of the text."""
        self._screen = self._seen()
        for block in self._blocks.feed(text):
            self._finish(block)
        self._fed = True
        if self._size is None:
            self._put([])

    def draw(self) -> None:
        """See to it that all is to be seen that came."""
        if self._fed and self._size is not None:
            self._fed = False
            self._screen = self._seen()
            self._put(self._open(self._lines(self._blocks.open), self._screen.rows - 1))

    def close(self) -> None:
        """What came is a whole for now: somebody else writes, or the answer has ended."""
        self._screen = self._seen()
        for block in self._blocks.end():
            self._finish(block)
        self._put([])

    def _finish(self, block: str) -> None:
        lines = self._lines(block)
        self._finished += lines
        self._apart = self._apart or bool(lines)
        self._tried = 0

    def _lines(self, block: str) -> list[str]:
        """A block as lines, apart from the one above it."""
        lines = self._rendering.lines(block, self._columns()) if block else []
        return ["", *lines] if lines and self._apart else lines

    def _seen(self) -> Screen:
        """The terminal as it is now: it is looked at once for each drawing, of which all parts must fit together."""
        return Screen(self._width, 0) if self._size is None else Screen(*self._size(), self._stops())

    def _columns(self) -> int:
        return max(2, min(self._width, self._screen.columns))

    def _open(self, lines: list[str], room: int) -> list[str]:
        """The lines of the open block that may still change, where not all of them can stay open."""
        most = min(room, _MOST_CODE if self._blocks.is_code else _MOST_OPEN)
        if len(lines) <= most or len(lines) < self._tried:
            return lines
        cuts = self._blocks.cuts()
        for at in dict.fromkeys(cuts[len(cuts) * part // 6] for part in (5, 4, 3, 2, 1) if cuts):
            rest = self._rendering.lines(self._blocks.after(at), self._columns())
            if 0 < len(rest) <= room and lines[-len(rest) :] == rest:
                self._blocks.cut(at)
                self._finished += lines[: -len(rest)]
                self._apart, self._tried = False, 0
                return rest
        self._tried = len(lines) + _MOST_OPEN // 4
        return lines

    def _put(self, view: Sequence[str]) -> None:
        """Write what is finished, and below it what is open."""
        if self._size is None:
            shown = "".join(f"{line}\n" for line in self._finished)
        else:
            shown = self._region.drawn_anew(self._finished, view, self._screen)
        self._finished = []
        if shown:
            self._write(shown.encode())
