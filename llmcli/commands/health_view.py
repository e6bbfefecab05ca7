"""
How `llmcli health` looks: a table that fills in as stages are reached, or lines for a pipe. Layer 3.

A row for each provider, with a column for each stage where the terminal is wide enough, else with a sign for each. What
is wrong stands below the row, and what to do.
"""

import io
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

from llmcli import signals
from llmcli.commands.health_stages import Checkup, Stage
from llmcli.commands.table import cells, cut, folded, padded
from llmcli.output import Printed, Stdout, one_line
from llmcli.world import World

_HEADINGS = {"configuration": "conf"}
_TIMED = frozenset({"dns", "connect", "tls", "http", "chat"})  # the others take no time worth a word
_PASSED, _FAILED, _SKIPPED, _RUNNING, _WAITING = "✓", "✗", "–", "…", "·"
_STYLES = {_PASSED: "green", _FAILED: "red", _SKIPPED: "dim", _RUNNING: "cyan", _WAITING: "dim"}
_SGR = {"green": "32", "red": "31"}
_LEAST = 5  # columns for a time, so that nothing moves when it comes in
_LONGEST_ID = 24
_SECONDS = 8  # columns for the time that all of it took
_INDENT = "    "


class Span(NamedTuple):
    """A piece of a line, and how it looks where there is colour: a word of rich's, or nothing."""

    text: str
    style: str = ""


Line = list[Span]


def piped(checkups: Sequence[Checkup], *, color: bool) -> str:
    """A line for each provider: id, `ok` or `failed`, seconds, the stage that failed, what is wrong."""
    lines = []
    for checkup in checkups:
        word = _in_color("failed", "red", color=color) if checkup.error else _in_color("ok", "green", color=color)
        stage = checkup.failed.stage if checkup.failed else "-"
        problem = one_line(checkup.error.message) if checkup.error else "-"
        lines.append("\t".join((one_line(checkup.id), word, f"{checkup.seconds:.3f}", stage, problem)) + "\n")
    return "".join(lines)


def plain(checkups: Sequence[Checkup], width: int) -> str:
    """The table as it is in the end, without colour."""
    return "".join("".join(span.text for span in line).rstrip() + "\n" for line in table(checkups, width))


def table(checkups: Sequence[Checkup], width: int, clean: Callable[[str], str] = lambda text: text) -> list[Line]:
    """The table as it is now, no line of which is wider than `width`. `clean` redacts."""
    wide = [heading(checkups[0].names), *(_wide_cells(checkup) for checkup in checkups)] if checkups else []
    widths = [max(cells(span.text) for span in column) for column in zip(*wide, strict=True)]
    longest = min(_LONGEST_ID, max((cells(one_line(checkup.id)) for checkup in checkups), default=0))
    fits = 2 + longest + 1 + sum(widths) + len(widths) + _SECONDS <= width
    room = longest if fits else max(4, min(longest, width - 2 - 1 - len(checkups[0].names) - 1 - _SECONDS))
    lines = [[Span(" " * (room + 3)), *_spread(wide[0], widths)[:-1], wide[0][-1]]] if fits else []
    for checkup, spans in zip(checkups, wide[1:], strict=True):
        name = padded(cut(one_line(checkup.id), room), room)
        shown = _spread(spans, widths) if fits else [*_signs(checkup), Span(" ")]
        last = _time(checkup) if checkup.done or fits else f" {checkup.running}"
        lines.append([_verdict(checkup), Span(f" {name} "), *shown, Span(last, "dim")])
        lines += _below(checkup, width, clean)
    return [_clipped(line, width) for line in lines]


def heading(names: Sequence[str]) -> Line:
    """The names of the stages as columns have them."""
    texts = (_HEADINGS.get(name, name) for name in names)
    return [Span(padded(text, _LEAST if text in _TIMED else 0), "dim") for text in texts]


@contextmanager
def live(draw: Callable[[], list[Line]], world: World, *, color: bool) -> Iterator[Callable[[], None]]:
    """
    Show what `draw` returns on the terminal, and again whenever the function that is handed out is called. However the
    block is left, what is there stays, and the cursor is to be seen.
    """
    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

    def drawn() -> Text:
        lines = (Text.assemble(*line, no_wrap=True, overflow="crop") for line in draw())
        return Text("\n", no_wrap=True, overflow="crop").join(lines)

    signals.care()
    file = io.TextIOWrapper(Printed(Stdout(world.stdout)), encoding="utf-8", write_through=True)  # type: ignore[type-var]  # it only writes
    console = Console(
        file=file, force_terminal=True, width=world.columns(), no_color=not color, highlight=False,
        color_system="standard" if color else None,
    )  # fmt: skip
    with Live(drawn(), console=console, auto_refresh=False, redirect_stdout=False, redirect_stderr=False) as shown:
        yield lambda: shown.update(drawn(), refresh=True)


# --- the parts of a row ---------------------------------------------------------------------------


def _wide_cells(checkup: Checkup) -> Line:
    return [_cell(name, checkup) for name in checkup.names]


def _cell(name: str, checkup: Checkup) -> Span:
    """A stage in its column: the time that it took, where that is worth a word, else its sign."""
    sign = _sign(name, checkup)
    stage = checkup.stages.get(name)
    timed = sign == _PASSED and name in _TIMED and stage and stage.seconds is not None and stage.seconds >= 0.001
    return Span(_short(stage) if timed and stage else sign, _STYLES[sign])


def _short(stage: Stage) -> str:
    seconds = stage.seconds or 0.0
    return f"{seconds * 1000:.0f}ms" if seconds < 0.9995 else f"{seconds:.1f}s"


def _signs(checkup: Checkup) -> Line:
    return [Span(sign, _STYLES[sign]) for sign in (_sign(name, checkup) for name in checkup.names)]


def _sign(name: str, checkup: Checkup) -> str:
    stage = checkup.stages.get(name)
    if stage is None:
        return _RUNNING if name == checkup.running and not checkup.done else _WAITING
    return {True: _PASSED, False: _FAILED, None: _SKIPPED}[stage.ok]


def _verdict(checkup: Checkup) -> Span:
    sign = _RUNNING if not checkup.done else _FAILED if checkup.error else _PASSED
    return Span(sign, _STYLES[sign])


def _time(checkup: Checkup) -> str:
    return f"{checkup.seconds:6.2f} s" if checkup.done else ""


def _spread(spans: Line, widths: Sequence[int]) -> Line:
    return [Span(padded(span.text, width) + " ", span.style) for span, width in zip(spans, widths, strict=True)]


def _below(checkup: Checkup, width: int, clean: Callable[[str], str]) -> Iterator[Line]:
    """What is wrong, and what to do; or what is worth a word although all is well."""
    if checkup.error is not None:
        stage = checkup.failed.stage if checkup.failed else checkup.running
        yield from _paragraph(f"{stage}: {checkup.error.message}", "red", width, clean)
        if checkup.error.hint:
            yield from _paragraph(f"hint: {checkup.error.hint}", "", width, clean)
    elif checkup.done and checkup.warning:
        yield from _paragraph(f"warning: {checkup.warning}", "yellow", width, clean)


def _paragraph(text: str, style: str, width: int, clean: Callable[[str], str]) -> Iterator[Line]:
    for line in folded(one_line(clean(text)), max(8, width - len(_INDENT))):
        yield [Span(_INDENT), Span(line, style)]


def _clipped(line: Line, width: int) -> Line:
    """The line without what a very narrow terminal has no room for."""
    clipped: Line = []
    for span in line:
        left = width - sum(cells(each.text) for each in clipped)
        clipped.append(
            span if cells(span.text) <= left else span._replace(text=cut(span.text, left) if left > 0 else "")
        )
    return clipped


def _in_color(text: str, style: str, *, color: bool) -> str:
    return f"\x1b[{_SGR[style]}m{text}\x1b[0m" if color else text
