"""
`llmcli health`: every provider examined at once, stage by stage; or what would work, where nothing is configured.
Layer 3.
"""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from math import isfinite
from queue import Empty, SimpleQueue
from typing import NoReturn

from llmcli import registry
from llmcli.commands import health_view
from llmcli.commands.chosen import configured_ids
from llmcli.commands.discover import look_around
from llmcli.commands.health_stages import Checkup, Limit, check
from llmcli.commands.models import common_error
from llmcli.commands.setup import read_config
from llmcli.commands.table import as_table
from llmcli.config import Config
from llmcli.errors import ConfigurationError, LlmError, TimedOut, UsageError
from llmcli.output import json_text, visible
from llmcli.world import World

_SECONDS = 10.0  # for each, which is for all, since all are examined at once
_ALWAYS = frozenset({"echo"})  # needs nothing, and is no sign of a set-up
_LATE = 0.05  # seconds that a provider has to say by itself that its time is over


def run(
    names: Sequence[str], world: World, *, config: str | None, no_config: bool, chat: bool = False,
    timeout: float | None = None, color: str = "auto", as_json: bool,
) -> None:  # fmt: skip
    """
    Examine the named providers, or every one that is set up, all at once. Each has 10 s; with `timeout` all of it has
    that many, counted from the start of the process (0: as long as the configuration allows). With `chat` each is asked
    for a few tokens too.

    Raises nothing when all are well; else their common error, or `ProviderFailed` when they differ. Where nothing is
    set up it prints what would work, and raises `ConfigurationError`.
    """
    limit = _limit(timeout, world)
    settings = read_config(world, config, no_config=no_config)
    chosen = list(dict.fromkeys(names)) or configured_ids(settings, world, limit.seconds / 2)
    limit = limit if timeout is not None else _limit(None, world)  # which has not begun before all are known
    if not names and _nothing_is_set_up(chosen, settings):
        _tell_what_would_work(settings, world, as_json=as_json)
    listener = _Listener(world)
    queue: SimpleQueue[None] = SimpleQueue()
    checkups = [Checkup(each, chat=chat, changed=lambda: queue.put(None)) for each in chosen]
    animated = not as_json and world.is_tty(world.stdout) and world.env.get("TERM") != "dumb"
    with _shown(checkups, world, color=color) if animated else _unseen() as show:
        for checkup in checkups:  # not before what shows them is loaded, which would make them slow
            _start(checkup, settings, listener, chat=chat, limit=limit)
        _wait(checkups, queue, limit, show)
    for line in [*listener.notes, *_warnings(checkups, animated=animated)]:
        world.note(line)
    read = not as_json and world.is_tty(world.stdout) and world.is_tty(world.stderr)  # before stdout is closed
    if not animated:
        world.print(_printed(checkups, world, color=color, as_json=as_json))
    if errors := [checkup.error for checkup in checkups if checkup.error is not None]:
        raise _counted(errors) if read else common_error(errors)


def _limit(timeout: float | None, world: World) -> Limit:
    if timeout is None:
        return Limit(time.monotonic() + _SECONDS, _SECONDS)
    if not isfinite(timeout):
        raise UsageError("--timeout should be a number of seconds", hint="0 means none")
    return Limit(world.started + timeout, timeout) if timeout else Limit(None, _SECONDS)


class _Listener(World):
    """The same world, but what is noted in it is kept for later: a line of stderr would tear a live table."""

    def __init__(self, world: World) -> None:
        super().__init__(world.env, world.directory, stdin=world.stdin, started=world.started)
        self.stdout = world.stdout
        self.redactor = world.redactor
        self.notes: list[str] = []

    def note(self, line: str) -> None:
        """See `World`."""
        self.notes.append(line)


# --- all at once ----------------------------------------------------------------------------------


def _start(checkup: Checkup, settings: Config, world: World, *, chat: bool, limit: Limit) -> None:
    """Examine one in a thread, which may be left behind."""

    def examine() -> None:
        check(checkup, settings, world, chat=chat, limit=limit)

    threading.Thread(target=examine, daemon=True).start()


def _wait(checkups: Sequence[Checkup], queue: "SimpleQueue[None]", limit: Limit, show: Callable[[], None]) -> None:
    """Wait until all are done, and show each change; what is not done in time has failed."""
    while not all(checkup.done for checkup in checkups):
        try:
            queue.get(timeout=None if limit.at is None else max(0.0, limit.at + _LATE - time.monotonic()))
        except Empty:
            for checkup in checkups:
                checkup.fail(TimedOut("not done in time"), limit)
        while not queue.empty():
            queue.get()
        show()
    show()  # the last change may have come before anybody waited for it
    for checkup in checkups:
        if checkup.crash is not None:
            raise checkup.crash


# --- what is shown --------------------------------------------------------------------------------


@contextmanager
def _unseen() -> Iterator[Callable[[], None]]:
    yield lambda: None


def _shown(checkups: Sequence[Checkup], world: World, *, color: str) -> AbstractContextManager[Callable[[], None]]:
    width = world.columns()
    return health_view.live(
        lambda: health_view.table(checkups, width, world.redactor.clean), world, color=world.color(color, world.stdout)
    )


def _warnings(checkups: Sequence[Checkup], *, animated: bool) -> list[str]:
    """What the table would say; a person who does not see it is told in other words."""
    return [] if animated else [checkup.warning for checkup in checkups if checkup.warning]


def _counted(errors: Sequence[LlmError]) -> LlmError:
    """The error that stands for all, for a person who has just read on the same terminal what is wrong."""
    error = common_error(errors)
    return error if len(errors) > 1 else type(error)("1 provider failed")


def _printed(checkups: Sequence[Checkup], world: World, *, color: str, as_json: bool) -> str:
    if as_json:
        return json_text([checkup.row() for checkup in checkups]) + "\n"
    if world.is_tty(world.stdout):
        return health_view.plain(checkups, world.columns())
    return health_view.piped(checkups, color=world.color(color, world.stdout))


# --- nothing is set up ----------------------------------------------------------------------------


def _nothing_is_set_up(chosen: Sequence[str], config: Config) -> bool:
    """Whether all that is left is what is always there."""
    return config.default is None and not set(registry.in_files(config)) and set(chosen) <= _ALWAYS


def _tell_what_would_work(config: Config, world: World, *, as_json: bool) -> NoReturn:
    """Print what was found, each with the command that makes it the default, and raise the error that says so."""
    looked = look_around(config, world)
    rows = [{"id": each.provider_id, "why": each.why, "command": each.command} for each in looked.found]
    width = world.table_width()
    if as_json:
        world.print("[]\n")
    elif width is None:
        world.print(as_table(rows, ("id", "why", "command"), width=None))
    else:
        lines = (f"{row['id']}: {row['why']}\n  {row['command']}\n" for row in rows)
        world.print(visible("".join(lines)))
    first = next(iter(looked.found), None)
    login = "" if first is None or first.works else f"`llmcli providers login {first.provider_id}`, then "
    raise ConfigurationError(
        f"nothing is configured yet; looked for {' and '.join(looked.looked_for)}",
        hint=f"{login}`{first.command}`"
        if first
        else '`llmcli providers login openai`; or try `llmcli chat -m echo "hi"`',
    )
