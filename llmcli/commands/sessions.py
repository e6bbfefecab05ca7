"""
`llmcli sessions`: list what is kept, show, export and delete it. Layer 3.
"""

import time
from collections.abc import Sequence

from llmcli.commands.table import as_table
from llmcli.config import nearest
from llmcli.errors import UsageError
from llmcli.output import FORMATS, Look, Stdout, json_text, visible
from llmcli.sessions import Sessions, place
from llmcli.turns import Turn, as_markdown, entry_document
from llmcli.types import Finish, Message, Reply, TextDelta
from llmcli.world import World

EXPORT_VERSION = 1  # of the document of `sessions export`; see docs/conversation.md


def run(world: World, *, as_json: bool) -> None:
    """List them, the one that was used last first."""
    with Sessions(place(world.env), world.note) as sessions:
        listed = sessions.list()
    if as_json:
        world.print(json_text([each._asdict() for each in listed]) + "\n")
        return
    rows = [each._asdict() | {"used": _day(each.used), "created": _day(each.created)} for each in listed]
    if rows:
        columns = ("name", "turns", "model", "used", "created")
        world.print(as_table(rows, columns, width=world.table_width(), spare=("created", "used")))
    else:
        world.note("no sessions are kept; `llmcli chat --session NAME` begins one")


def show(name: str, world: World, *, color: str) -> None:
    """What was said in one: rendered on a terminal, Markdown elsewhere."""
    text = as_markdown(name, _read(name, world))
    if not world.is_tty(world.stdout) or world.env.get("TERM") == "dumb":
        world.print(_for(world, text))
        return
    sink = Stdout(world.stdout)
    look = Look(color=world.color(color, world.stdout), width=max(20, world.columns()))
    events = (TextDelta(world.redactor.clean(text)), Finish("stop"))
    FORMATS["markdown"](events, sink, look, lambda: Reply(Message("assistant", ()), "", "", Finish("stop")))
    sink.commit()


def _for(world: World, text: str) -> str:
    """The text as a terminal may have it, or as it is for a pipe."""
    return visible(text) if world.is_tty(world.stdout) else text


def export(name: str, world: World, *, form: str) -> None:
    """All of one, as `json` or `markdown`."""
    turns = _read(name, world)
    if form == "markdown":
        world.print(_for(world, as_markdown(name, turns)))
        return
    messages = [entry_document(entry) for turn in turns for entry in turn]
    world.print(json_text({"version": EXPORT_VERSION, "name": name, "messages": messages}) + "\n")


def delete(names: Sequence[str], world: World) -> None:
    """Delete them. Nothing is deleted where one of them does not exist."""
    with Sessions(place(world.env), world.note) as sessions:
        for name in names:
            _must_exist(name, sessions)
        for name in names:
            sessions.delete(name)
            world.note(f"deleted {name}")


def _read(name: str, world: World) -> tuple[Turn, ...]:
    with Sessions(place(world.env), world.note) as sessions:
        _must_exist(name, sessions)
        return sessions.read(name)


def _must_exist(name: str, sessions: Sessions) -> None:
    known = [each.name for each in sessions.list()]
    if name not in known:
        near = nearest(name, known)
        raise UsageError(
            f"there is no session {name!r}" + (f"; did you mean {near}?" if near else ""),
            hint="`llmcli sessions` lists them",
        )


def _day(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(seconds))
