"""
`llmcli providers new`: a package, or a table, to begin with; it works and passes its checks as it is. Layer 3.

The templates are themselves a real package or table, of a provider that is called as nobody would call his own.
"""

import os
import re
import shlex
from collections.abc import Iterator
from importlib.resources import files
from importlib.resources.abc import Traversable

from llmcli.errors import OutputFailed, UsageError
from llmcli.registry import BUILT_IN
from llmcli.world import World

_ID = r"[a-z][a-z0-9]*(-[a-z0-9]+)*"


def run(name: str, template: str, world: World, *, directory: str | None) -> None:
    """
    Write a template for a provider of this name into a directory (here, if none is said), and print what to do next.

    Raises `UsageError` for a name that is no id or is taken, and for what is there already: nothing is overwritten.
    """
    if not re.fullmatch(_ID, name):
        raise UsageError(
            f"{name!r} is no id: small letters and digits, the first a letter, with single hyphens between them"
        )
    if name in BUILT_IN:
        raise UsageError(f"{name} is the id of a built-in provider", hint=f"llmcli providers show {name}")
    (source,) = _entries(files("llmcli") / "templates" / template)
    if taken := next((word for word in _forms(name).values() if word in _words(source)), None):
        raise UsageError(f"{taken!r} is a word that the template itself uses", hint=f"take another: {name}-api")
    target = os.path.join(directory or "", _renamed(source.name, name))
    try:
        os.makedirs(directory or ".", exist_ok=True)
        written = list(_write(source, target, name))
    except FileExistsError as exc:
        raise UsageError(f"{exc.filename} is there already", hint="nothing is overwritten; --directory DIR") from exc
    except OSError as exc:
        raise OutputFailed(f"cannot write {exc.filename}: {exc.strerror}") from exc
    steps = _table_steps(name, target, world) if target.endswith(".toml") else _package_steps(name, target)
    world.print("".join([*(f"wrote {path}\n" for path in written), *(f"  {step}\n" for step in steps)]))


def _entries(folder: Traversable) -> list[Traversable]:
    """What is in a folder of the templates, without what Python and other tools leave there."""
    return sorted(
        (each for each in folder.iterdir() if not each.name.startswith((".", "__pycache__"))),
        key=lambda each: each.name,
    )


def _write(source: Traversable, target: str, name: str) -> Iterator[str]:
    """Write a file, or a folder with all that is in it, and yield the path of each file."""
    if source.is_dir():
        os.mkdir(target)
        for each in _entries(source):
            yield from _write(each, os.path.join(target, _renamed(each.name, name)), name)
    else:
        with open(target, "x", encoding="utf-8") as file:
            file.write(_renamed(source.read_text("utf-8"), name))
        yield target


def _words(source: Traversable) -> set[str]:
    """The words of a template's code, which a provider that is called like one of them would mean something else by."""
    if source.is_dir():
        return {word for each in _entries(source) for word in _words(each)}
    return set(re.findall(r"\w+", source.read_text("utf-8"))) if source.name.endswith(".py") else set()


def _forms(name: str) -> dict[str, str]:
    """What stands in the template, and what takes its place."""
    underlined = name.replace("-", "_")
    return {
        "llmcli_skeleton": f"llmcli_{underlined}",
        "skeleton": name,
        "Skeleton": "".join(part.capitalize() for part in name.split("-")),
        "SKELETON": underlined.upper(),
    }


def _renamed(text: str, name: str) -> str:
    """The text with the new provider's name in each place and form of the template's."""
    forms = _forms(name)
    return re.sub("|".join(forms), lambda found: forms[found[0]], text)


def _package_steps(name: str, target: str) -> list[str]:
    return [
        f"pip install -e {shlex.quote(os.path.join('.', target) + '[test]')}",
        f"pytest {shlex.quote(target)}",
        f"llmcli providers check {name}",
    ]


def _table_steps(name: str, target: str, world: World) -> list[str]:
    folder = f"{shlex.quote(world.directory) if world.directory else '~/.config/llmcli'}/providers.d"
    path = shlex.quote(target)
    return [
        f"llmcli providers check {name} --config {path}",
        f"mkdir -p {folder} && mv {path} {folder}",
        f"llmcli chat -m {name} --dry-run hello",
    ]
