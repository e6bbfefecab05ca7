"""
Conversations kept on disk, in one SQLite file. Layer 1: knows turns, stored and errors.

Nothing is kept unless somebody asks for it. Any number of processes may write: a turn is added whole, in a transaction
of its own, and none is lost. Nobody but the owner can read the file.
"""

import json
import os
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import NamedTuple, Self

from llmcli.errors import ConfigurationError, LlmError, OutputFailed, UsageError
from llmcli.stored import locked
from llmcli.turns import Turn, entry_document, read_entry

_VERSION = 1
_PATIENCE = 60.0  # seconds that one process waits for others which are writing
_NOTICE_AFTER = 3.0  # seconds until it is said what is waited for
_PAUSE = 0.05  # seconds between two attempts, in which a signal is heard
_LONGEST_NAME = 100
_TABLES = f"""
BEGIN IMMEDIATE;
CREATE TABLE sessions (
    id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, model TEXT, created REAL NOT NULL, used REAL NOT NULL
);
CREATE TABLE turns (
    id INTEGER PRIMARY KEY, session INTEGER NOT NULL REFERENCES sessions (id) ON DELETE CASCADE, entries TEXT NOT NULL
);
CREATE INDEX turns_of_session ON turns (session);
PRAGMA user_version = {_VERSION};
COMMIT;
"""


class Listed(NamedTuple):
    """One of the conversations: how many turns it has, whom it was with at last, when it began and was last used."""

    name: str
    turns: int
    model: str | None
    created: float
    used: float


def place(env: Mapping[str, str]) -> str | None:
    """The file; `None` where there is no home to have one in."""
    data, home = env.get("XDG_DATA_HOME", ""), env.get("HOME", "")
    if os.path.isabs(data):  # the XDG specification has a relative one ignored
        return f"{data}/llmcli/sessions.db"
    return f"{home}/.local/share/llmcli/sessions.db" if os.path.isabs(home) else None


def checked(name: str) -> str:
    """The name, if a conversation can have it. Raises `UsageError`."""
    if not name.strip() or len(name) > _LONGEST_NAME or not name.isprintable():
        raise UsageError(
            f"a session cannot be called {name!r}", hint=f"1 to {_LONGEST_NAME} signs, none of them a control character"
        )
    return name


class Sessions:
    """
    All that is kept. To be closed, as a context does. Nothing is written, not even an empty file, before there is
    something to keep. `note` says to a person what is waited for.

    Raises `ConfigurationError` for a file that cannot be used, and `OutputFailed` for what cannot be kept.
    """

    def __init__(self, path: str | None, note: Callable[[str], None] = lambda line: None) -> None:
        if path is None:
            raise ConfigurationError(
                "there is no home directory to keep sessions in", hint="XDG_DATA_HOME names another"
            )
        self._path = path
        self._note = note
        self._is_file = os.path.lexists(path)
        with self._blamed(ConfigurationError, "use"):
            self._db = self._opened() if self._is_file else _empty()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._db.close()

    def list(self) -> list[Listed]:
        """All of them, the one that was used last first."""
        with self._blamed(ConfigurationError, "read"):
            rows = self._db.execute(
                "SELECT name, (SELECT count(*) FROM turns WHERE session = sessions.id), model, created, used "
                "FROM sessions ORDER BY used DESC, id DESC"
            )
            return [Listed(*row) for row in rows]

    def last(self) -> Listed | None:
        """The one that was used last."""
        return next(iter(self.list()), None)

    def find(self, name: str) -> Listed | None:
        """The one that is called so."""
        return next((each for each in self.list() if each.name == name), None)

    def read(self, name: str) -> tuple[Turn, ...]:
        """What was said in it, which is nothing where it does not exist."""
        with self._blamed(ConfigurationError, "read"):
            rows = self._db.execute(
                "SELECT entries FROM turns JOIN sessions ON session = sessions.id WHERE name = ? ORDER BY turns.id",
                (name,),
            )
            return tuple(tuple(map(read_entry, json.loads(entries))) for (entries,) in rows)

    def add(self, name: str, turns: Sequence[Turn], *, model: str | None, now: float) -> None:
        """Add what was said, and begin the conversation if need be."""
        rows = [_as_text(turn) for turn in turns]
        with self._blamed(OutputFailed, "keep the session in"):
            if not self._is_file:
                self._db.close()
                self._db, self._is_file = self._opened(), True
        with self._blamed(OutputFailed, "keep the session in"), self._transaction():
            self._db.execute(
                "INSERT INTO sessions (name, model, created, used) VALUES (?, ?, ?, ?) "
                "ON CONFLICT (name) DO UPDATE SET used = excluded.used, model = coalesce(excluded.model, model)",
                (name, model, now, now),
            )
            self._db.executemany(
                "INSERT INTO turns (session, entries) SELECT id, ? FROM sessions WHERE name = ?",
                [(row, name) for row in rows],
            )

    def forget(self, name: str, turn: Turn) -> None:
        """Take back what was said in it, if it is still there; what others said since stays."""
        with self._blamed(OutputFailed, "change"), self._transaction():
            self._db.execute(
                "DELETE FROM turns WHERE id = (SELECT max(turns.id) FROM turns JOIN sessions "
                "ON session = sessions.id WHERE name = ? AND entries = ?)", (name, _as_text(turn))
            )  # fmt: skip

    def delete(self, name: str) -> bool:
        """Delete it, so that nothing of it is left in the file, and say whether it was there."""
        with self._blamed(OutputFailed, "change"):
            with self._transaction():
                count = self._db.execute("DELETE FROM sessions WHERE name = ?", (name,)).rowcount
            self._db.execute(f"PRAGMA busy_timeout = {_PATIENCE * 1000:.0f}").fetchall()
            self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        return count > 0

    def _opened(self) -> sqlite3.Connection:
        """The file, made if it is not there. SQLite gives the files beside it the same permissions."""
        folder = os.path.dirname(self._path)
        os.makedirs(folder, mode=0o700, exist_ok=True)
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            os.fchmod(descriptor, 0o600)  # one that was copied here may be anybody's to read
        finally:
            os.close(descriptor)
        db = sqlite3.connect(self._path, timeout=_PATIENCE, isolation_level=None)
        if not self._is_made(db):
            with locked(folder):  # for nobody waits for whoever changes the mode of the journal
                if not self._is_made(db):
                    db.execute("PRAGMA journal_mode = WAL").fetchall()
                    db.executescript(_TABLES)
        db.execute("PRAGMA foreign_keys = ON")
        db.execute("PRAGMA secure_delete = ON").fetchall()
        db.execute("PRAGMA busy_timeout = 0").fetchall()  # see `_begin`
        return db

    def _is_made(self, db: sqlite3.Connection) -> bool:
        (version,) = db.execute("PRAGMA user_version").fetchone()
        if version > _VERSION:
            raise ConfigurationError(f"{self._path} was written by a newer llmcli")
        return bool(version == _VERSION)

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        """All of it or nothing. It waits for others at its beginning, where nothing can be lost."""
        self._begin()
        try:
            yield
        except BaseException:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")

    def _begin(self) -> None:
        """The library would wait by itself, but would hear no signal meanwhile."""
        began, noticed = time.monotonic(), False
        while True:
            try:
                self._db.execute("BEGIN IMMEDIATE")
                return
            except sqlite3.OperationalError as exc:
                waited = time.monotonic() - began
                if exc.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or waited > _PATIENCE:
                    raise
                if waited > _NOTICE_AFTER and not noticed:
                    self._note(f"waiting for another process that is writing to {self._path}")
                    noticed = True
            time.sleep(_PAUSE)

    @contextmanager
    def _blamed(self, kind: type[LlmError], what: str) -> Iterator[None]:
        try:
            yield
        except OSError as exc:
            raise kind(f"cannot {what} {self._path}: {exc.strerror}") from exc
        except (sqlite3.Error, ValueError, LookupError, TypeError, AttributeError, RecursionError) as exc:
            passing = isinstance(exc, sqlite3.OperationalError)  # locked, full, read-only: the file is as it should be
            hint = None if passing else "moved away, it is kept, and another is begun"
            raise kind(f"cannot {what} {self._path}: {exc}", hint=hint) from exc


def _empty() -> sqlite3.Connection:
    """What there is to be read where nothing was ever kept."""
    db = sqlite3.connect(":memory:", isolation_level=None)
    db.executescript(_TABLES)
    return db


def _as_text(turn: Turn) -> str:
    return json.dumps([entry_document(entry) for entry in turn])
