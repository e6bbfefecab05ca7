"""
Where our commands write: the configuration directory. Layer 3.
"""

from llmcli.errors import ConfigurationError
from llmcli.world import World


def configuration_directory(world: World) -> str:
    """The directory that our commands write to. Raises `ConfigurationError` where there is none."""
    if world.directory is None:
        raise ConfigurationError("there is no configuration directory", hint="set HOME or XDG_CONFIG_HOME")
    return world.directory


def state_file(world: World) -> str:
    """Where our commands keep the default and the aliases. Raises `ConfigurationError` without a home."""
    return f"{configuration_directory(world)}/state.toml"
