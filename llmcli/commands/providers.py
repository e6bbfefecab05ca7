"""
`llmcli providers`: what there is, where it is, and whether it has its key; and all of one. Layer 3.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

from llmcli import registry
from llmcli.commands.chosen import configured_ids
from llmcli.commands.provider_page import as_page, configured, declared, whereabouts
from llmcli.commands.setup import Ready, make_ready, read_config
from llmcli.commands.table import as_table, cut
from llmcli.config import Config, nearest
from llmcli.errors import ConfigurationError, LlmError, UsageError
from llmcli.keys import Source, sources
from llmcli.output import json_text, one_line
from llmcli.provider import Capabilities, HTTPProvider, Provider
from llmcli.world import World

_COLUMNS = ("id", "name", "origin", "base_url", "key", "capabilities", "default_model")
# The first is left out first where a terminal is narrow.
_SPARE = ("base_url", "capabilities", "origin", "name", "default_model")
_ASKED = {"command": "api_key.command", "keyring": "api_key.keyring"}


def run(
    world: World, *, config: str | None, no_config: bool, load: bool, configured: bool = False,
    capability: Sequence[str] = (), as_json: bool,
) -> None:  # fmt: skip
    """
    List every provider, or those that are `configured` and have each `capability`. Plugins are listed by what their
    metadata and their source show; with `load`, or to tell one of these two, by what they say themselves.

    Raises `UsageError` for a capability that there is not.
    """
    _check_capabilities(capability)
    settings = _read(world, config, no_config=no_config)
    chosen = configured_ids(settings, world) if configured else None
    load = load or configured or bool(capability)
    rows = [
        _from_outside(listed) if listed.guest and not load else _row(listed, _look(listed, settings, world))
        for listed in registry.every(settings)
        if chosen is None or listed.id in chosen
    ]
    rows = [row for row in rows if set(capability) <= set(row["capabilities"] or ())]
    world.print(json_text(rows) + "\n" if as_json else _as_list(rows, world.table_width()))


def _as_list(rows: Sequence[dict[str, Any]], width: int | None) -> str:
    """The rows as a table. On a terminal a name has its share of the columns: a plugin's is a whole sentence."""
    if width is not None:
        rows = [{**row, "name": cut(one_line(row["name"] or "-"), max(width // 4, 8))} for row in rows]
    return as_table(rows, _COLUMNS, width=width, spare=_SPARE)


def show(provider_id: str, world: World, *, config: str | None, no_config: bool, as_json: bool) -> None:
    """
    Show all of one provider. Of a broken one, what is known is shown, and then what is wrong with it is raised.
    """
    settings = _read(world, config, no_config=no_config)
    listed = registry.listed(provider_id, settings)
    seen = _look(listed, settings, world)
    if seen.error is not None and listed.origin == "unknown":
        raise seen.error
    row = _row(listed, seen) | whereabouts(listed, settings)
    if seen.cls is not None:
        row |= declared(seen.cls)
    if seen.cls is not None and seen.ready is not None:
        row |= configured(seen.cls, seen.ready, seen.places, settings, world.env)
    world.print(json_text(row) + "\n" if as_json else as_page(row, width=world.table_width()))
    if seen.error is not None:
        raise seen.error


def _check_capabilities(wanted: Sequence[str]) -> None:
    for name in wanted:
        if name not in Capabilities._fields:
            near = nearest(name, Capabilities._fields)
            known = ", ".join(Capabilities._fields)
            raise UsageError(
                f"there is no capability {name!r}", hint=f"did you mean {near}?" if near else f"there are {known}"
            )


def _read(world: World, file: str | None, *, no_config: bool) -> Config:
    """The configuration without what is corrupt, which is said on stderr."""
    settings = read_config(world, file, no_config=no_config, lenient=True)
    for problem in settings.problems:
        world.note(f"{problem.message}; going on without it")
    return settings


# --- a row ----------------------------------------------------------------------------------------


class _Seen(NamedTuple):
    """
    A provider's class, the provider when it could be made, where its key may come from, and what is wrong with it.
    """

    cls: type[Provider] | None = None
    ready: Ready | None = None
    places: Sequence[Source] = ()
    error: LlmError | None = None


def _look(listed: registry.Listed, config: Config, world: World) -> _Seen:
    """A provider, loaded and configured as far as that goes. No key command is run: it may take its time, or ask."""
    try:
        cls = registry.load(listed.id, config, world.env, world.fence_stdout)
    except ConfigurationError as exc:
        return _Seen(error=exc)
    if listed.id not in config.providers and any(key.required for key in cls.config_keys.values()):
        return _Seen(cls)  # an adapter for tables, and without one nothing to be wrong
    try:
        ready = make_ready(listed.id, config, world, need_key=False, run_command=False)
    except LlmError as exc:
        return _Seen(cls, error=exc)
    declared = ready.provider.api_key._replace(required=False)  # a variable that is set and empty is no key
    return _Seen(cls, ready, sources(ready.setup, declared, cls.id, world.env, config.directory))


def _from_outside(listed: registry.Listed) -> dict[str, Any]:
    """A plugin that is not imported."""
    return _with_problem(_facts(listed), registry.seen_problem(listed))


def _row(listed: registry.Listed, seen: _Seen) -> dict[str, Any]:
    row = _facts(listed)
    if seen.cls is not None:
        row["name"] = seen.cls.name
        row["capabilities"] = list(seen.cls.capabilities.names())
        row["key"] = "needed" if seen.cls.api_key.required else "optional"
    if seen.ready is not None:
        row["capabilities"] = list(seen.ready.provider.capabilities.names())  # those of a table depend on what it holds
        row["base_url"] = seen.ready.url
        row["default_model"] = seen.ready.provider.default_model
        row["key"] = _key(seen.ready, seen.places)
    return _with_problem(row, seen.error.message if seen.error else None)


def _facts(listed: registry.Listed) -> dict[str, Any]:
    return {"id": listed.id, "name": listed.name, "origin": listed.origin, "base_url": None, "key": None,
            "capabilities": None, "default_model": None}  # fmt: skip


def _with_problem(row: dict[str, Any], problem: str | None) -> dict[str, Any]:
    return {**row, "problem": problem} if problem else row


def _key(ready: Ready, places: Sequence[Source]) -> str:
    """Where the key comes from. What would have to be asked is named and not asked."""
    held = next((place for place in places if place.present is not False), None)
    if held is not None:
        return f"from {_ASKED.get(held.kind, held.name)}"
    if ready.provider.api_key.required:
        return "missing"
    return "not needed" if isinstance(ready.provider, HTTPProvider) else "none"
