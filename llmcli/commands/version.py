"""
`llmcli --version --verbose`: what a report of a bug needs to say. Layer 3.

One `name: value` a line. Of environment variables only the names are told, and of keys only where they are kept.
"""

import json
import os
import platform
import sys
from collections.abc import Iterator, Mapping
from importlib.metadata import PackageNotFoundError, distribution
from importlib.metadata import version as version_of

import llmcli
from llmcli import installing, plugin_source, plugins, registry
from llmcli.config import Config, load
from llmcli.keys import key_file_is_loose
from llmcli.output import one_line
from llmcli.world import World

_LIBRARIES = ("typer", "rich", "httpx", "httpcore", "jmespath")
_PREFIXES = ("LLMCLI_", "SSL_", "PYTHON")
_VARIABLES = frozenset(
    {
        *("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "all_proxy", "no_proxy"),
        *("NO_COLOR", "TERM", "COLUMNS", "LANG", "LC_ALL", "LC_CTYPE", "XDG_CONFIG_HOME", "XDG_CACHE_HOME"),
    }
)


def run(world: World) -> None:
    """Print it. Nothing that is corrupt stops it."""
    facts = [*_ourselves(), *_libraries(), *_plugins(), *_configuration(world), *_environment(world.env)]
    world.print("".join(f"{name}: {one_line(value)}\n" for name, value in facts))


def _ourselves() -> Iterator[tuple[str, str]]:
    installed = installing.here()
    yield "llmcli", llmcli.__version__
    yield "code", os.path.dirname(llmcli.__file__)
    yield "installed", f"{installed.how}{_editable()}: {installed.prefix}"
    yield "python", f"{platform.python_version()} ({platform.python_implementation()}): {sys.executable}"
    yield "platform", platform.platform()


def _editable() -> str:
    """What the installer has noted of where it came from."""
    try:
        noted = json.loads(distribution("llmcli").read_text("direct_url.json") or "{}")
    except (PackageNotFoundError, ValueError):
        return ""
    return ", editable" if noted.get("dir_info", {}).get("editable") else ""


def _libraries() -> Iterator[tuple[str, str]]:
    for name in _LIBRARIES:
        try:
            yield name, version_of(name)
        except PackageNotFoundError:
            yield name, "not there"


def _plugins() -> Iterator[tuple[str, str]]:
    """Each distribution with what it adds, and what is seen to be wrong with that. Nothing is imported."""
    added: dict[str, list[str]] = {}
    problems: list[str] = []
    for name, plugin in plugins.labels(plugins.PROVIDERS, registry.BUILT_IN):
        added.setdefault(plugin.origin, []).append(f"provider {plugin.id}")
        problem = registry.seen_problem(registry.listed(name, Config()))
        problems += [f"{plugin.whose}: {problem}"] if problem else []
    for plugin in plugins.installed(plugins.COMMANDS):
        added.setdefault(plugin.origin, []).append(f"command {plugin.id}")
        problem = plugin_source.problem(plugin)
        problems += [f"{plugin.whose}: {problem}"] if problem else []
    yield from (("plugin", f"{origin}: {', '.join(what)}") for origin, what in sorted(added.items()))
    yield from (("problem", problem) for problem in problems)


def _configuration(world: World) -> Iterator[tuple[str, str]]:
    """The files that there are, and what is wrong with them."""
    named = world.env.get("LLMCLI_CONFIG") or None
    settings = load(world.directory, named, lenient=True)
    problems = [problem.message for problem in (*settings.problems, *settings.broken.values())]
    yield "configuration", world.directory or "none, as there is no home"
    for path in _files(world.directory, named):
        yield "file", f"{path} (broken)" if any(path in problem for problem in problems) else path
    for path in _in(f"{world.directory}/keys") if world.directory else ():
        yield "key file", f"{path} (others can read it)" if key_file_is_loose(path) else path
    yield "cache", world.cache_directory or "none, as there is no home"
    yield from (("problem", problem) for problem in problems)


def _files(directory: str | None, named: str | None) -> Iterator[str]:
    """Those that are read: the one that is named stands for config.toml."""
    if named is not None:
        yield named
    if directory is not None:
        own = ("state.toml",) if named is not None else ("config.toml", "state.toml")
        yield from (path for name in own if os.path.exists(path := f"{directory}/{name}"))
        yield from (path for path in _in(f"{directory}/providers.d") if path.endswith(".toml"))


def _in(directory: str) -> list[str]:
    try:
        return sorted(f"{directory}/{name}" for name in os.listdir(directory) if not name.startswith("."))
    except OSError:  # mostly: there is none
        return []


def _environment(env: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """The names of the variables that change what llmcli does, those of the built-in providers among them."""
    theirs: set[str] = set()
    for provider_id in registry.BUILT_IN:
        cls = registry.load(provider_id, Config())
        theirs |= {*cls.api_key.env, *cls.base_url_env, *(name for key in cls.config_keys.values() for name in key.env)}
    names = sorted(name for name in env if name in _VARIABLES or name in theirs or name.startswith(_PREFIXES))
    yield "environment", " ".join(names) or "-"
