"""
The lists of models that `models refresh` keeps in the cache directory, for completion and `models --cached`. Layer 3.

`providers.txt` has every known id. For each provider `models/ID.txt` has a line `ID/model` for each model, which a
shell reads without starting anything, and `models/ID.jsonl` all that is known of them; how old it is, its file tells.
"""

import json
import os
import re
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from llmcli import stored
from llmcli.errors import ConfigurationError, LlmError
from llmcli.output import json_text
from llmcli.world import World

Row = dict[str, Any]

_UNITS = ((86400, "days"), (3600, "h"), (60, "min"), (1, "s"))


class Kept(NamedTuple):
    """A list that is kept, and for how many seconds."""

    rows: list[Row]
    age: float

    def __str__(self) -> str:
        return f"{count(len(self.rows))}, {_in_words(self.age)} old"


def count(number: int) -> str:
    """So many models, in words."""
    return f"{number} model" if number == 1 else f"{number} models"


def directory(world: World) -> str:
    """The cache directory. Raises `ConfigurationError` where there is no home to have one in."""
    if world.cache_directory is None:
        raise ConfigurationError("there is no cache directory", hint="set HOME or XDG_CACHE_HOME")
    return world.cache_directory


def kept(provider_id: str, world: World) -> Kept:
    """The list of one provider. Raises `ConfigurationError` when there is none, or none that can be read."""
    path = _path(provider_id, world)
    try:
        with open(path, "rb") as file:
            age = max(0.0, time.time() - os.fstat(file.fileno()).st_mtime)
            return Kept([_row(line) for line in file], age)
    except FileNotFoundError:
        raise _none(f"no list of models is kept for {provider_id}", provider_id) from None
    except OSError as exc:
        raise _none(f"cannot read {path}: {exc.strerror}", provider_id) from None
    except ValueError:
        raise _none(f"{path} is damaged", provider_id) from None


def kept_or_none(provider_id: str, world: World) -> Kept | None:
    """The same, `None` where there is none."""
    try:
        return kept(provider_id, world)
    except LlmError:
        return None


def kept_ids(world: World) -> list[str]:
    """The providers whose lists are kept. Raises `ConfigurationError` when there are none."""
    try:
        names = os.listdir(f"{directory(world)}/models")
    except OSError:
        names = []
    ids = sorted(name.removesuffix(".jsonl") for name in names if name.endswith(".jsonl"))
    if not ids:
        raise ConfigurationError("no lists of models are kept", hint="`llmcli models refresh` asks for them")
    return ids


def keep(provider_id: str, rows: Sequence[Mapping[str, Any]], world: World) -> None:
    """Keep the list of one provider. Raises `ConfigurationError` when it cannot be written."""
    path = _path(provider_id, world)
    stored.keep(path, "".join(f"{json_text(row)}\n" for row in rows).encode("utf-8", "replace"))
    stored.keep(f"{path.removesuffix('.jsonl')}.txt", _lines(f"{provider_id}/{row['id']}" for row in rows))


def keep_ids(ids: Iterable[str], world: World) -> None:
    """Keep the ids of all providers. Raises `ConfigurationError` when they cannot be written."""
    stored.keep(f"{directory(world)}/providers.txt", _lines(sorted(ids)))


def _lines(names: Iterable[str]) -> bytes:
    """A name a line; one that would be several, or that plays with a terminal, is no word to complete."""
    return "".join(f"{name}\n" for name in names if name.isprintable()).encode("utf-8", "replace")


def _path(provider_id: str, world: World) -> str:
    if not re.fullmatch(r"[^/.\x00-\x1f][^/\x00-\x1f]*", provider_id):  # a table may have any name
        raise ConfigurationError(f"{provider_id!r} cannot be the name of a file, so no list can be kept for it")
    return f"{directory(world)}/models/{provider_id}.jsonl"


def _row(line: bytes) -> Row:
    row = json.loads(line)
    if not isinstance(row, dict) or not isinstance(row.get("provider"), str) or not isinstance(row.get("id"), str):
        raise ValueError("no row of models")
    return row


def _none(message: str, provider_id: str) -> ConfigurationError:
    return ConfigurationError(message, hint=f"`llmcli models refresh {provider_id}` asks for it", provider=provider_id)


def _in_words(seconds: float) -> str:
    size, unit = next(((size, unit) for size, unit in _UNITS if seconds >= 2 * size), (1, "s"))
    return f"{int(seconds // size)} {unit}"
