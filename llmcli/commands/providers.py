"""
`llmcli providers`: what there is, where it is, and whether it has its key. Layer 3.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from llmcli import registry
from llmcli.commands.setup import Ready, make_ready, read_config
from llmcli.commands.table import as_table
from llmcli.config import Config, provider_table
from llmcli.errors import ConfigurationError, LlmError
from llmcli.output import json_text, one_line
from llmcli.provider import HTTPProvider
from llmcli.world import World


def run(
    world: World, *, config: str | None, no_config: bool, load: bool, configured: bool = False,
    capability: Sequence[str] = (), as_json: bool,
) -> None:  # fmt: skip
    """
    List every provider; plugins by what their metadata says, or with `load` by what they say themselves. A corrupt
    configuration is said on stderr and does not stop the list.
    """
    settings = _config_or_none(world, config, no_config=no_config)
    rows = [
        _from_metadata(listed) if listed.guest and not load else _describe(listed, settings, world)
        for listed in registry.every(settings)
    ]
    if as_json:
        text = json_text(rows) + "\n"
    else:
        columns = ("id", "name", "origin", "base_url", "key", "capabilities", "default_model")
        text = as_table(rows, columns, width=world.table_width(), spare=("capabilities", "origin", "name", "base_url"))
    world.print(text)


def show(provider_id: str, world: World, *, config: str | None, no_config: bool, as_json: bool) -> None:
    """All of one provider."""
    settings = read_config(world, config, no_config=no_config)
    cls = registry.load(provider_id, settings, world.env, world.fence_stdout)
    row = _describe(registry.listed(provider_id, settings), settings, world)
    row["settings"] = {
        name: {
            field: value
            for field in ("min", "max", "default", "step")
            if (value := getattr(setting, field)) is not None
        }
        for name, setting in cls.settings.items()
    }
    row["options"] = None if cls.options is None else {name: option.help for name, option in cls.options.items()}
    row["key_sources"] = list(cls.api_key.env)
    row["key_hint"] = cls.api_key.hint
    row["configuration_keys"] = {name: key.help for name, key in cls.config_keys.items()}
    row["quirks"] = list(cls.quirks)
    own = provider_table(settings, provider_id)
    row["tables"] = {name: own[name] for name in cls.config_keys if isinstance(own.get(name), dict)}
    world.print(json_text(row) + "\n" if as_json else _lines(row))


def _config_or_none(world: World, file: str | None, *, no_config: bool) -> Config:
    try:
        return read_config(world, file, no_config=no_config)
    except ConfigurationError as exc:
        world.note(f"{exc.message}; going on without it")
        return Config()


def _from_metadata(listed: registry.Listed) -> dict[str, Any]:
    row: dict[str, Any] = {"id": listed.id, "name": listed.name, "origin": listed.origin, "base_url": None, "key": None,
                           "capabilities": None, "default_model": None}  # fmt: skip
    return {**row, "problem": listed.problem} if listed.problem else row


def _describe(listed: registry.Listed, config: Config, world: World) -> dict[str, Any]:
    """All that is in a list; of a provider that cannot be loaded, what is wrong with it."""
    row = _from_metadata(listed)
    try:
        cls = registry.load(listed.id, config, world.env, world.fence_stdout)
    except ConfigurationError as exc:
        return {**row, "problem": exc.message}
    row["name"] = cls.name
    row["capabilities"] = list(cls.capabilities.names())
    row["key"] = "needed" if cls.api_key.required else "optional"
    if listed.id not in config.providers and any(key.required for key in cls.config_keys.values()):
        return row  # an adapter for tables, and without one nothing to be wrong
    try:
        ready = make_ready(listed.id, config, world, need_key=False, run_command=False)
    except LlmError as exc:
        return {**row, "problem": exc.message}
    row["capabilities"] = list(ready.provider.capabilities.names())  # those of a table depend on what is in it
    row["base_url"] = ready.url
    row["default_model"] = ready.provider.default_model
    row["key"] = _key(ready)
    return row


def _key(ready: Ready) -> str:
    """Where the key comes from. A key command is named and not run: it may ask for a finger, or take its time."""
    if "command" in ready.setup.api_key and (ready.secret is None or ready.secret.path is not None):
        return "from api_key.command"  # which comes before any file
    if ready.secret is not None:
        return f"from {ready.secret.source}"
    if ready.provider.api_key.required:
        return "missing"
    return "not needed" if isinstance(ready.provider, HTTPProvider) else "none"


def _lines(row: dict[str, Any]) -> str:
    lines = []
    for name, value in row.items():
        if isinstance(value, dict):
            lines.append(f"{name}:")
            lines += [f"  {inner}: {_plain(shown)}" for inner, shown in _flat(value) if shown not in ({}, None)]
        elif isinstance(value, list) and name == "quirks":
            lines += [f"{name}:", *(f"  - {item}" for item in value)] if value else []
        else:
            lines.append(f"{name}: {_plain(value)}")
    return "\n".join(lines) + "\n"


def _flat(table: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """The values of a table; those of the tables of a provider by their dotted keys."""
    for name, value in table.items():
        if isinstance(value, dict) and any(isinstance(inner, str) for inner in value.values()):
            yield from ((f"{name}.{key}", inner) for key, inner in value.items())
        else:
            yield name, value


def _plain(value: Any) -> str:
    if value in (None, ""):
        return "-"
    if isinstance(value, list):
        return ", ".join(str(item) for item in value) or "-"
    if isinstance(value, dict):
        return ", ".join(f"{name} {inner:g}" for name, inner in value.items()) or "any"
    return one_line(str(value))
