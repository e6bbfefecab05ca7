"""
The import of a plugin, in a thread of its own and for so many seconds; what goes wrong is blamed on it. Layer 2.

`LLMCLI_PLUGIN_TIMEOUT`: the seconds that the import of a plugin may take (20).
"""

import time
from collections.abc import Callable, Iterable, Mapping
from importlib.metadata import EntryPoint
from math import isfinite
from typing import TypeVar

from llmcli import guests, installing
from llmcli.errors import BrokenPlugin, ConfigurationError
from llmcli.plugins import PROVIDERS, Plugin
from llmcli.provider import Provider
from llmcli.signals import Interrupted

_TIMEOUT = 20.0  # seconds

_T = TypeVar("_T")


def provider_class(plugin: Plugin, env: Mapping[str, str], provider_id: str | None = None) -> type[Provider]:
    """
    The class of a plugin's provider, guarded. `provider_id` is what it was asked for by, if that is not its own id.

    Raises `BrokenPlugin` that names the distribution, its version and the entry point.
    """
    classes = _imported(plugin, env, lambda: _classes(_entry_point(plugin).load()))
    cls = _chosen(plugin, classes)
    needed = cls.api_version
    if not isinstance(needed, int) or needed > Provider.api_version:
        raise BrokenPlugin(
            f"the plugin {plugin.whose} needs contract {needed}, this llmcli has {Provider.api_version}",
            hint="upgrade llmcli",
        )
    return _imported(plugin, env, lambda: guests.guarded(cls, plugin.whose, provider_id or plugin.id))


def command(plugin: Plugin, env: Mapping[str, str]) -> Callable[[list[str]], object]:
    """The function of a plugin's command. Raises `BrokenPlugin` as above."""
    return function(plugin, env)


def function(plugin: Plugin, env: Mapping[str, str]) -> Callable[..., object]:
    """The function that a plugin's entry point names. Raises `BrokenPlugin` as above."""
    loaded: object = _imported(plugin, env, lambda: _entry_point(plugin).load())
    if not callable(loaded):
        raise BrokenPlugin(f"the plugin {plugin.whose} is no function, but {type(loaded).__name__}")
    return loaded


def _entry_point(plugin: Plugin) -> EntryPoint:
    return EntryPoint(plugin.id, plugin.value, plugin.group)


def _classes(loaded: object) -> list[object]:
    """A class, or the classes that a function returns."""
    if isinstance(loaded, type) or not callable(loaded):
        return [loaded]
    returned = loaded()
    return list(returned) if isinstance(returned, Iterable) else [returned]


def _chosen(plugin: Plugin, classes: list[object]) -> type[Provider]:
    """The class whose id is the entry point's name."""
    good = [cls for cls in classes if isinstance(cls, type) and issubclass(cls, Provider)]
    for found in classes:
        if found not in good:
            shown = found.__name__ if isinstance(found, type) else type(found).__name__
            raise BrokenPlugin(f"the plugin {plugin.whose} is no Provider class, but {shown}")
    for cls in good:
        if cls.id == plugin.id:
            return cls
    ids = [str(cls.id) for cls in good]
    raise BrokenPlugin(
        f"the plugin {plugin.whose} has no provider {plugin.id}, but {', '.join(ids) or 'none'}",
        hint=f'under [project.entry-points."{PROVIDERS}"] its author writes '
        + " and ".join(f'{found} = "{plugin.value}"' for found in ids or ["ID"]),
    )


def _imported(plugin: Plugin, env: Mapping[str, str], work: Callable[[], _T]) -> _T:
    """What comes of a stranger's code in its own thread. Whatever goes wrong in it is its own, and is named as such."""
    seconds = limit(env)
    worker = guests.Worker()
    try:
        with guests.unchanged():  # in which others may have been waited for
            ends = time.monotonic() + seconds
            return worker.do(work, lambda: _left(ends))
    except _Overdue:
        raise BrokenPlugin(
            f"the plugin {plugin.whose} cannot be loaded: its import takes longer than {limit(env):g} s",
            hint="LLMCLI_PLUGIN_TIMEOUT gives it more",
        ) from None
    except (BrokenPlugin, Interrupted):
        raise
    except BaseException as exc:
        raise BrokenPlugin(
            f"the plugin {plugin.whose} cannot be loaded: {guests.told(exc)}", hint=_hint(plugin, exc)
        ) from exc
    finally:
        worker.leave()


def _left(ends: float) -> float:
    left = ends - time.monotonic()
    if left <= 0:
        raise _Overdue
    return left


class _Overdue(Exception):
    """The import takes too long. Nobody else can raise it."""


def limit(env: Mapping[str, str]) -> float:
    """The seconds that an import may take. Raises `ConfigurationError` where the variable says no number."""
    said = env.get("LLMCLI_PLUGIN_TIMEOUT") or str(_TIMEOUT)
    try:
        seconds = float(said)
    except ValueError:
        seconds = -1.0
    if not isfinite(seconds) or seconds <= 0:
        raise ConfigurationError(f"LLMCLI_PLUGIN_TIMEOUT should be a number of seconds above 0, not {said!r}")
    return seconds


def _hint(plugin: Plugin, exc: BaseException) -> str | None:
    """What can be done about an import that failed."""
    if isinstance(exc, ValueError) and "main thread" in str(exc):
        return "a plugin must not set signal handlers; its author should be told"
    if not isinstance(exc, ImportError) or not exc.name:
        return None
    missing = exc.name.partition(".")[0]
    if missing == "llmcli":
        return f"it may be made for another llmcli: upgrade llmcli or {plugin.distribution}"
    if not isinstance(exc, ModuleNotFoundError):
        return None
    if missing == plugin.package:
        return f"what it is made of is not there: install {plugin.distribution} again, or uninstall it"
    return installing.line(missing, installing.here())
