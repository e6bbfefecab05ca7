"""
Plugins: other people's distributions, found by their metadata; nothing is imported here. Layer 2.

An entry point of the group `llmcli.providers` is named as the id of its provider, and its value is the class, or a
function that returns several classes; a distribution has one entry point for each id. One of the group
`llmcli.commands` is named as its command, and its value is `main(argv) -> exit status`; one of `llmcli.tools` as its
tool, and its value is the function. So all that can be listed is known without importing anything.
"""

import re
import sys
from collections.abc import Collection, Iterator
from functools import cache
from importlib.metadata import Distribution, distributions
from importlib.util import find_spec
from typing import NamedTuple

from llmcli.errors import ConfigurationError

PROVIDERS = "llmcli.providers"
COMMANDS = "llmcli.commands"
TOOLS = "llmcli.tools"
_GROUPS = (PROVIDERS, COMMANDS, TOOLS)
_OURSELVES = "llmcli"


class Plugin(NamedTuple):
    """An entry point of somebody's distribution, as its metadata tells it."""

    group: str
    id: str
    value: str
    distribution: str
    version: str
    summary: str

    @property
    def origin(self) -> str:
        """The distribution and its version."""
        return f"{self.distribution} {self.version}"

    @property
    def whose(self) -> str:
        """All that says whom to blame."""
        return f"{self.origin} ({self.id} = {self.value})"

    @property
    def full_id(self) -> str:
        """The id that no other distribution can have."""
        return f"{self.distribution}:{self.id}"

    @property
    def package(self) -> str:
        """The top-level module that its code stands in."""
        return re.split(r"[.:\s]", self.value.strip(), maxsplit=1)[0]


# --- what is installed ----------------------------------------------------------------------------


def installed(group: str) -> list[Plugin]:
    """The plugins of a group, by id and distribution. Nothing is imported."""
    return [plugin for plugin in _scan(tuple(sys.path)) if plugin.group == group]


def named(group: str, name: str) -> list[Plugin]:
    """Those that are meant by `id`, or by `distribution:id`: one, unless several distributions claim the id."""
    distribution, colon, own = name.rpartition(":")
    if colon:
        wanted = _normalized(distribution)
        return [each for each in installed(group) if each.id == own and _normalized(each.distribution) == wanted]
    return [each for each in installed(group) if each.id == name]


def the_one(claims: list[Plugin]) -> Plugin:
    """The plugin that an id means. Raises `ConfigurationError` where several distributions claim it."""
    if len(claims) > 1:
        raise ConfigurationError(
            f"several plugins claim {claims[0].id}: {' and '.join(plugin.whose for plugin in claims)}",
            hint=f"say which: {' or '.join(plugin.full_id for plugin in claims)}",
        )
    return claims[0]


def labels(group: str, taken: Collection[str]) -> list[tuple[str, Plugin]]:
    """Each plugin of a group with the name that means it and no other; `taken` are the names that none can have."""
    found = installed(group)
    names = [*taken, *(plugin.id for plugin in found)]
    return [(plugin.id if names.count(plugin.id) == 1 else plugin.full_id, plugin) for plugin in found]


def is_missing(plugin: Plugin) -> bool:
    """Whether the code of a plugin is not where its metadata says, as after an uninstallation that went wrong."""
    try:
        return find_spec(plugin.package) is None
    except (ImportError, ValueError):
        return True


@cache
def _scan(path: tuple[str, ...]) -> tuple[Plugin, ...]:
    """
    All plugins of the distributions on the import path. A distribution that stands there twice (an editable install
    and what a wheel left behind) counts where it stands first; one whose metadata cannot be read has no plugins.
    """
    found: dict[str, list[Plugin]] = {}
    for distribution in distributions():
        try:
            plugins = list(_plugins_of(distribution))
        except Exception:  # a stranger's file, or a stranger's finder
            continue
        for name in {_normalized(plugin.distribution) for plugin in plugins}:
            found.setdefault(name, plugins)
    found.pop(_OURSELVES, None)
    return tuple(sorted(plugin for plugins in found.values() for plugin in plugins))


def _plugins_of(distribution: Distribution) -> Iterator[Plugin]:
    if not set(_GROUPS) & set(re.findall(r"[\w.]+", distribution.read_text("entry_points.txt") or "")):
        return  # nearly every one
    headers = (distribution.read_text("METADATA") or distribution.read_text("PKG-INFO") or "").partition("\n\n")[0]
    facts = dict(re.findall(r"(?m)^(Name|Version|Summary): *(.*?)\s*$", headers))
    for entry in distribution.entry_points:
        if entry.group in _GROUPS:
            name, version = facts.get("Name", "a distribution without a name"), facts.get("Version", "?")
            yield Plugin(entry.group, entry.name, entry.value, name, version, facts.get("Summary", ""))


def _normalized(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
