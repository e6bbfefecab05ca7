"""
What our commands keep on disk: tables of the configuration, keys, lists of models. Layer 1: knows config and errors.

A file is written whole or not at all, under a lock between processes, and never over one that cannot be read.
"""

import fcntl
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from llmcli.config import read_toml
from llmcli.errors import ConfigurationError, UsageError

Table = dict[str, Any]


def update(path: str, change: Callable[[Table], Table]) -> None:
    """
    Read a TOML file of ours, change what it says, and write it; what becomes empty is removed.

    Raises `ConfigurationError` for one that is corrupt, which stays as it is, or that cannot be written.
    """
    with _blamed(path), locked(os.path.dirname(os.path.realpath(path))):
        changed = change(read_toml(path) if os.path.exists(path) else {})
        if changed:
            write_whole(path, as_toml(changed))
        else:
            _unlink(path)


def write_table(path: str, document: Table, *, replace: bool) -> None:
    """
    Write a TOML file anew. Raises `UsageError` when it is there already and is not to be replaced, `ConfigurationError`
    when it cannot be written.
    """
    data = as_toml(document)
    with _blamed(path), locked(os.path.dirname(os.path.realpath(path))):
        if os.path.exists(path) and not replace:
            raise UsageError(f"{path} is there already", hint="--replace writes it anew")
        write_whole(path, data)


def keep(path: str, data: bytes) -> None:
    """Write a file that only its owner may read. Raises `ConfigurationError` when it cannot be written."""
    with _blamed(path), locked(os.path.dirname(os.path.realpath(path))):
        write_whole(path, data)


def remove(path: str) -> bool:
    """Remove a file, and say whether it was there. Raises `ConfigurationError` when it cannot be removed."""
    if not os.path.lexists(path):
        return False
    with _blamed(path), locked(os.path.dirname(path)):
        return _unlink(path)


def as_toml(document: Table) -> bytes:
    """A document as TOML. Raises `UsageError` for text that is not UTF-8."""
    import tomllib

    import tomli_w

    try:
        text = tomli_w.dumps(document, multiline_strings=True)
        if tomllib.loads(text) != document:  # a CR LF does not survive in a text of several lines
            text = tomli_w.dumps(document)
        return text.encode()
    except UnicodeEncodeError:
        raise UsageError("what was said is not UTF-8") from None


@contextmanager
def locked(folder: str) -> Iterator[None]:
    """No other process of ours changes a file of this folder meanwhile. The folder is made if it is not there."""
    os.makedirs(folder, mode=0o700, exist_ok=True)
    with open(f"{folder}/.lock", "a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def write_whole(path: str, data: bytes) -> None:
    """
    A temporary file beside it, which only its owner may read, takes its place, so that a reader sees the old file or
    the new one. A link to a file elsewhere stays one. Raises `OSError`.
    """
    path = os.path.realpath(path)
    handle, temporary = tempfile.mkstemp(dir=os.path.dirname(path), prefix=".new-")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


def _unlink(path: str) -> bool:
    try:
        os.unlink(path)
    except FileNotFoundError:
        return False
    return True


@contextmanager
def _blamed(path: str) -> Iterator[None]:
    try:
        yield
    except OSError as exc:
        raise ConfigurationError(f"cannot write {path}: {exc.strerror}") from exc
