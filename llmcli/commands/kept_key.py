"""
The key that `llmcli providers login` keeps, in one of three places, and `llmcli providers logout`. Layer 3.

A file of its own that nobody else may read; the system's keyring; or a command that prints the key. The last two are
said in the provider's table in `providers.d`, so that nothing is asked of a keyring that nobody uses.
"""

from collections.abc import Mapping
from typing import Any

from llmcli import keys, registry, stored
from llmcli.commands.directory import configuration_directory
from llmcli.commands.setup import declared_key, read_config
from llmcli.config import is_there, provider_setup, read_toml
from llmcli.errors import UsageError
from llmcli.keys import Secret, Source
from llmcli.world import World

_SOURCES = frozenset({"command", "keyring", "file"})  # the keys of an `api_key` table that `login` writes or replaces


def check_id(provider_id: str) -> None:
    """An id becomes the name of a file, and must stay in its folder."""
    if "/" in provider_id or provider_id.startswith("."):
        raise UsageError(f"{provider_id!r} is no id of a provider", hint="`llmcli providers` lists them")


def keep(provider_id: str, secret: Secret, world: World, *, command: str | None, keyring: bool) -> list[str]:
    """Keep a key as a command, in the keyring, or else in a file, and nowhere else. Returns what was written."""
    folder = configuration_directory(world)
    table, file = _table_file(folder, provider_id), keys.kept_file(folder, provider_id)
    before = _own_source(table, provider_id)
    source: dict[str, Any] = {}
    if command is not None:
        source = {"command": command}
    elif keyring:
        keys.keep_in_keyring(provider_id, secret.value)
        source = {"keyring": True}
    else:
        stored.keep(file, f"{secret.value}\n".encode())
    said = ["the key is in the keyring"] if keyring else [] if source else [f"wrote {file}"]
    if source or is_there(table):
        stored.update(table, lambda document: _with_source(document, provider_id, source))
        said.append(f"wrote {table}")
    if before.get("keyring") and not keyring:
        keys.forget_in_keyring(provider_id)
        said.append("removed the key from the keyring")
    if source and stored.remove(file):
        said.append(f"removed {file}")
    return said


def forget(provider_id: str, world: World) -> list[str]:
    """
    Remove what is kept of a provider's key, wherever that is. Returns what was removed.

    Raises `ConfigurationError` for a corrupt file before anything is removed.
    """
    folder = configuration_directory(world)
    table = _table_file(folder, provider_id)
    source = _own_source(table, provider_id)
    said = []
    if source.get("keyring"):
        keys.forget_in_keyring(provider_id)
        said.append("removed the key from the keyring")
    if _SOURCES & source.keys():
        stored.update(table, lambda document: _with_source(document, provider_id, {}))
        said.append(f"wrote {table}" if is_there(table) else f"removed {table}")
    file = keys.kept_file(folder, provider_id)
    return [*said, f"removed {file}"] if stored.remove(file) else said


def _table_file(folder: str, provider_id: str) -> str:
    return f"{folder}/providers.d/{provider_id}.toml"


def _own_source(table: str, provider_id: str) -> Mapping[str, Any]:
    """The `api_key` table of a provider in the file that is ours."""
    found: Any = read_toml(table) if is_there(table) else {}
    for name in ("providers", provider_id, "api_key"):
        found = found.get(name, {}) if isinstance(found, dict) else {}
    return found if isinstance(found, dict) else {}


def _with_source(document: Mapping[str, Any], provider_id: str, source: Mapping[str, Any]) -> dict[str, Any]:
    """A provider's file with another source of its key, or with none; what is empty then is left out."""
    table = dict(document.get("providers", {}).get(provider_id, {}))
    others = {name: value for name, value in table.pop("api_key", {}).items() if name not in _SOURCES}
    if others or source:
        table["api_key"] = {**others, **source}
    rest = {name: value for name, value in document.items() if name != "providers"}
    providers = {name: value for name, value in document.get("providers", {}).items() if name != provider_id}
    if table:
        providers[provider_id] = table
    return {**rest, "providers": providers} if providers else rest


def what_holds(provider_id: str, world: World, config: str | None, *, no_config: bool) -> Source | None:
    """The source that holds a provider's key, as the configuration now is."""
    settings = read_config(world, config, no_config=no_config, lenient=True)
    cls = registry.load(provider_id, settings, world.env, world.fence_stdout)
    setup = provider_setup(settings, provider_id, cls, world.env)
    found = keys.sources(setup, declared_key(cls, setup.api_key), cls.id, world.env, configuration_directory(world))
    return next((source for source in found if source.present is not False), None)


def told(source: Source) -> str:
    """A source as it may be shown: a command may hold a key, so only its first word is."""
    return f"{source.kind} {source.name.split()[0]} ..." if source.kind == "command" else f"{source.kind} {source.name}"


def logout(provider_id: str, world: World, *, config: str | None, no_config: bool) -> None:
    """
    Forget the key that `login` has kept, wherever that was. Where there is none it says so, and all is well.

    Raises `ConfigurationError` for an unknown provider for which nothing is kept.
    """
    check_id(provider_id)
    said = forget(provider_id, world)
    known = provider_id in registry.known_ids(read_config(world, config, no_config=no_config, lenient=True))
    if known or not said:
        first = what_holds(provider_id, world, config, no_config=no_config)
        if first is not None:
            world.note(f"{provider_id} still has a key: {told(first)}")
    world.print("".join(f"{line}\n" for line in said or [f"no key of {provider_id} is kept"]))
