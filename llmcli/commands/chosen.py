"""
Which providers are meant where none is named: those that somebody has set up. Layer 3.
"""

import time
from collections.abc import Iterator, Mapping

from llmcli import registry
from llmcli.config import Config, provider_setup
from llmcli.errors import BrokenPlugin, LlmError
from llmcli.keys import sources
from llmcli.provider import NativeProvider, Provider
from llmcli.world import World


def configured_ids(config: Config, world: World, seconds: float = 20.0) -> list[str]:
    """
    The providers that have a table of their own (or a file that is broken), whose key is in the environment or kept by
    `providers login`, or that the default or an alias is of; and the built-in ones that need neither key nor network.
    No key is read and no command run.

    Plugins are imported, since only they know where their key is; together they have so many `seconds`. One that is
    broken and that nobody has configured is said on stderr and left out.
    """
    until = time.monotonic() + seconds
    named = {*registry.in_files(config), *_chosen(config)}
    return [
        listed.id for listed in registry.every(config) if listed.id in named or _is_set_up(listed, config, world, until)
    ]


def _chosen(config: Config) -> Iterator[str]:
    """The providers of the default and of the aliases, as far as those mean something."""
    for name in (None, *config.aliases):
        try:
            yield registry.resolve(name, None, config).provider
        except LlmError:  # which is said when it is used
            continue


def _is_set_up(listed: registry.Listed, config: Config, world: World, until: float) -> bool:
    """Whether a provider without a table can be asked all the same."""
    if listed.problem:
        world.note(f"{listed.id}: {listed.problem}")
        return False
    try:
        cls = registry.load(listed.id, config, _hurried(world.env, until), world.fence_stdout)
        if listed.guest:
            _try_to_make(listed.id, cls, config, world)
    except LlmError as exc:
        if isinstance(exc, BrokenPlugin):
            world.note(exc.message)
        return False
    if issubclass(cls, NativeProvider) and not listed.guest:
        return True
    return has_key(listed.id, cls, config, world)


def _hurried(env: Mapping[str, str], until: float) -> Mapping[str, str]:
    """The environment with less time for the import of a plugin, unless somebody has said how much there is."""
    left = min(20.0, max(0.1, until - time.monotonic()))
    return {"LLMCLI_PLUGIN_TIMEOUT": f"{left:.3f}", **env}


def _try_to_make(provider_id: str, cls: type[Provider], config: Config, world: World) -> None:
    """Raise what only its making shows to be broken in a plugin. What it refuses by itself is said when it is used."""
    try:
        cls(provider_setup(config, provider_id, cls, world.env).config)
    except BrokenPlugin:
        raise
    except LlmError:
        return


def has_key(provider_id: str, cls: type[Provider], config: Config, world: World) -> bool:
    """Whether a key is there for a provider, as far as that can be told without taking it."""
    try:
        setup = provider_setup(config, provider_id, cls, world.env)
    except LlmError:  # which is said when it is used
        return any(world.env.get(name, "").strip() for name in cls.api_key.env)
    # A variable that is set and empty is no key.
    declared = cls.api_key._replace(required=False)
    return any(source.present is not False for source in sources(setup, declared, cls.id, world.env, config.directory))
