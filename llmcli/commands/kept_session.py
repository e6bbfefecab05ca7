"""
The session that `chat` goes on with, where one is asked for. Layer 3.
"""

import time
from typing import NamedTuple

from llmcli.errors import UsageError
from llmcli.sessions import Sessions, checked, place
from llmcli.turns import Entry, Turn, system_prompt
from llmcli.types import Message
from llmcli.world import World


class Kept(NamedTuple):
    """A session: what was said in it, which may be nothing yet, and whom it was with at last."""

    name: str
    turns: tuple[Turn, ...] = ()
    model: str | None = None


def opened(name: str | None, *, last: bool, world: World) -> Kept | None:
    """The session of that name, or the one that was used last; `None` where none is asked for. Raises `UsageError`."""
    if name is None and not last:
        return None
    if name is not None and last:
        raise UsageError("--session and --continue exclude one another")
    with Sessions(place(world.env), world.note) as sessions:
        found = sessions.last() if name is None else sessions.find(checked(name))
        if found is not None:
            return Kept(found.name, sessions.read(found.name), found.model)
    if name is None:
        raise UsageError("there is no session to continue", hint="--session NAME begins one")
    return Kept(name)


def question(messages: tuple[Message, ...], kept: Kept) -> Turn:
    """The beginning of a turn. A system prompt is part of it where it is another than the one that holds."""
    now = time.time()
    holds = system_prompt(kept.turns)
    return tuple(Entry(each, now) for each in messages if each.role != "system" or each.text != holds)


def keep(kept: Kept, turn: Turn, model: str, world: World) -> None:
    """Add a turn to the session."""
    with Sessions(place(world.env), world.note) as sessions:
        sessions.add(kept.name, [turn], model=model, now=time.time())
