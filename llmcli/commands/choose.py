"""
`llmcli providers use | remove` and `llmcli models alias`: the default, short names, and a provider that goes. Layer 3.

All of it stands in `state.toml` and `providers.d`; what the user has written himself is never changed.
"""

import os
from collections.abc import Mapping
from typing import Any

from llmcli import registry, stored
from llmcli.commands.chosen import has_key
from llmcli.commands.directory import configuration_directory, state_file
from llmcli.commands.kept_key import forget
from llmcli.commands.setup import make_ready, read_config
from llmcli.commands.table import as_table
from llmcli.config import TOP_KEYS, Config, check_table, is_there, nearest, read_toml
from llmcli.errors import ConfigurationError, LlmError, UsageError
from llmcli.output import json_text, one_line
from llmcli.registry import Target
from llmcli.world import World


def use(name: str, world: World, *, config: str | None, no_config: bool) -> None:
    """
    Make a model the default: `ID`, `ID/MODEL` or an alias.

    Raises `ConfigurationError` for a name that means nothing, or a provider that has no default model of its own.
    """
    world.print(make_default(name, world, config=config, no_config=no_config))


def make_default(name: str, world: World, *, config: str | None, no_config: bool) -> str:
    """The same, and what is to be said of it."""
    path = state_file(world)
    settings = read_config(world, config, no_config=no_config)
    target = _meant(name, settings)
    ready = make_ready(target.provider, settings, world, model=target.model, need_key=False, run_command=False)
    ready.model(target.model)
    chosen = full_name(target)
    _state(path)
    stored.update(path, lambda state: {**state, "default": chosen})
    if world.env.get("LLMCLI_MODEL"):
        world.note(f"LLMCLI_MODEL is set to {world.env['LLMCLI_MODEL']} here, which comes first")
    if ready.provider.api_key.required and not has_key(target.provider, type(ready.provider), settings, world):
        world.note(f"{target.provider} has no key yet: `llmcli providers login {target.provider}`")
    return f"the default is {one_line(chosen)}\nwrote {path}\n"


def _meant(name: str, settings: Config) -> Target:
    """
    What is to be kept under a name. In a chat a bare name is a model of the default provider; here it may as well be a
    provider that is mistyped, and would be wrong from now on.
    """
    if name.endswith("/"):  # as when a variable is not set
        raise UsageError(f"{name!r} names no model")
    if "/" not in name and name not in settings.aliases and name not in registry.known_ids(settings):
        settings = settings._replace(default=None)
    return registry.resolve(name, None, settings)


def full_name(target: Target) -> str:
    """`provider/model`, or the provider's id where no model is said."""
    return f"{target.provider}/{target.model}" if target.model else target.provider


# --- a provider goes ------------------------------------------------------------------------------


def remove(provider_id: str, world: World, *, config: str | None, no_config: bool) -> None:
    """
    Remove the file that `providers add` or `login` has written for a provider, its key, and from `state.toml` what
    refers to it.

    Raises `UsageError` for a table that the user has written, `ConfigurationError` for a provider that has none.
    """
    folder = configuration_directory(world)
    settings = read_config(world, config, no_config=no_config)
    path = f"{folder}/providers.d/{provider_id}.toml"
    if "/" in provider_id or not os.path.lexists(path):
        raise _nothing_to_remove(provider_id, settings)
    _state(f"{folder}/state.toml")  # what is wrong there is said before anything is removed
    # Its key goes with it, which is for the address that its table says, and no other.
    done = forget(provider_id, world) if provider_id not in settings.broken else []
    if stored.remove(path):
        done.append(f"removed {path}")
    if provider_id not in registry.BUILT_IN:
        done += _forget(provider_id, f"{folder}/state.toml")
    world.print("".join(f"{line}\n" for line in done))


def _nothing_to_remove(provider_id: str, settings: Config) -> LlmError:
    if provider_id in settings.sources:
        return UsageError(
            f"the table of {provider_id} stands in {settings.sources[provider_id]}", hint="it is yours to change"
        )
    if provider_id in registry.BUILT_IN:
        return UsageError(f"{provider_id} is built in", hint="there is nothing to remove")
    near = nearest(provider_id, [*settings.providers, *settings.broken])
    return ConfigurationError(f"no provider {provider_id!r} was added", hint=f"did you mean {near}?" if near else None)


def _forget(provider_id: str, path: str) -> list[str]:
    """Take out of a state file what refers to a provider, and tell of it."""
    state = _state(path)
    told = (
        [f"the default was {state['default']}; there is none now"] if _is_of(state.get("default"), provider_id) else []
    )
    told += [
        f"the alias {name} was {model}; it is gone too"
        for name, model in state.get("aliases", {}).items()
        if _is_of(model, provider_id)
    ]
    if told:
        stored.update(path, lambda state: _without_provider(state, provider_id))
    return told


def _without_provider(state: Mapping[str, Any], provider_id: str) -> dict[str, Any]:
    aliases = {name: model for name, model in state.get("aliases", {}).items() if not _is_of(model, provider_id)}
    rest = _without(state, "default") if _is_of(state.get("default"), provider_id) else state
    return _with_aliases(rest, aliases)


def _state(path: str) -> dict[str, Any]:
    """What a state file says. Raises `ConfigurationError` where it is corrupt, whatever else is not to be read."""
    state = read_toml(path) if is_there(path) else {}
    check_table(state, TOP_KEYS, path, "")
    return state


def _is_of(name: str | None, provider_id: str) -> bool:
    return name is not None and name.partition("/")[0] == provider_id


def _without(table: Mapping[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in table.items() if key != name}


# --- short names ----------------------------------------------------------------------------------


def alias(
    name: str | None, model: str | None, world: World, *, remove: bool, as_json: bool, config: str | None,
    no_config: bool,
) -> None:  # fmt: skip
    """
    Give a model a short name, forget one, or list them.

    Raises `UsageError` for a name that is a provider's id or can be none, and for forgetting one that the user has
    written; `ConfigurationError` for a model whose provider is not known.
    """
    settings = read_config(world, config, no_config=no_config)
    if name is None and remove:
        raise UsageError("which name is to be forgotten?", hint="llmcli models alias NAME --remove")
    if name is None:
        _list_aliases(settings, world, as_json=as_json)
    elif remove:
        _remove_alias(name, settings, world)
    elif model is None:
        if name not in settings.aliases:
            raise UsageError(f"{name} should stand for what?", hint=f"llmcli models alias {name} PROVIDER/MODEL")
        _list_aliases(settings._replace(aliases={name: settings.aliases[name]}), world, as_json=as_json)
    else:
        _set_alias(name, model, settings, world)


def _list_aliases(settings: Config, world: World, *, as_json: bool) -> None:
    rows = [{"alias": name, "model": model} for name, model in sorted(settings.aliases.items())]
    if not rows:
        world.note("no model has a short name; `llmcli models alias NAME PROVIDER/MODEL` gives it one")
    world.print(
        json_text(rows) + "\n" if as_json else as_table(rows, ("alias", "model"), width=world.table_width())
        if rows else ""
    )  # fmt: skip


def _set_alias(name: str, model: str, settings: Config, world: World) -> None:
    if "/" in name or not name.strip() or not name.isprintable() or name.startswith("-"):
        raise UsageError(f"{name!r} is no short name: it is a word without a slash")
    if name in registry.known_ids(settings):
        raise UsageError(f"{name} is the id of a provider", hint="an alias would send its prompts elsewhere")
    target = _meant(model, settings)
    registry.load(target.provider, settings, world.env, world.fence_stdout)
    path = state_file(world)
    chosen = full_name(target)
    _state(path)
    stored.update(path, lambda state: _with_aliases(state, {**state.get("aliases", {}), name: chosen}))
    world.print(f"{name} is {chosen}\nwrote {path}\n")


def _remove_alias(name: str, settings: Config, world: World) -> None:
    path = state_file(world)
    kept = _state(path).get("aliases", {})
    if name not in kept:
        if name in settings.aliases:
            raise UsageError(f"the alias {name} stands in config.toml", hint="it is yours to change")
        near = nearest(name, kept)
        raise ConfigurationError(f"there is no alias {name!r}", hint=f"did you mean {near}?" if near else None)
    stored.update(path, lambda state: _with_aliases(state, _without(state.get("aliases", {}), name)))
    world.print(f"{name} is forgotten\nwrote {path}\n")


def _with_aliases(state: Mapping[str, Any], aliases: Mapping[str, Any]) -> dict[str, Any]:
    """The state with these aliases, and without a table for them where there are none."""
    rest = _without(state, "aliases")
    return {**rest, "aliases": dict(aliases)} if aliases else rest
