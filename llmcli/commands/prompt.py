"""
What the model is asked: words, files and stdin become one text. Layer 3.

stdin has one reader. It is waited for as `cat` waits, but not silently, and never cut.
"""

import os
import select
import time
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from llmcli import attachments
from llmcli.errors import UsageError
from llmcli.world import World

STDIN_LIMIT = 100 * 1024 * 1024  # bytes; no model reads more, and a forgotten /dev/zero must end
_NOTICE_AFTER = 3.0  # seconds of silence on stdin before a line says what is waited for
_PLACEHOLDER = "{stdin}"
_READ_SIZE = 1024 * 1024
_LONGEST_POLL = 3600.0  # seconds; poll takes no more than some weeks


class Frame(NamedTuple):
    """
    The prompt of a template. `places` says which of `stdin` and `prompt` (the words) it has a place for; `fill` makes
    the text of them.
    """

    places: frozenset[str]
    fill: Callable[[Mapping[str, str]], str]


def read_prompt(
    words: Sequence[str], files: Sequence[str], *, no_stdin: bool, timeout: float | None, world: World,
    attached: int = 0, frame: Frame | None = None,
) -> str:  # fmt: skip
    """
    The words joined by spaces, then each file with its name, then stdin after a blank line (or where `{stdin}` in the
    words says). With `no_stdin`, `-` and `{stdin}` are nothing but text, so that a script may ask whatever stands in a
    variable. Where a `frame` has no place for something, it follows behind. `attached`: how often stdin is
    attached, and so is no text.

    Raises `UsageError` for a text that is empty, no UTF-8, too long or cannot be read.
    """
    words = [as_text(word) for word in words]
    explicit = words == ["-"] and not no_stdin
    prompt = "" if explicit else " ".join(words)
    placed = _PLACEHOLDER in prompt and not no_stdin
    places = frame.places if frame else frozenset()
    framed = "stdin" in places
    readers = ["-"] * explicit + [_PLACEHOLDER] * placed + ["-f -"] * list(files).count("-")
    readers += ["-a -"] * attached + ["the template"] * framed
    if len(readers) > 1:
        raise UsageError(f"stdin can be read once only, not by {' and '.join(readers)}")
    if readers and no_stdin:
        raise UsageError(f"{readers[0]} reads stdin and --no-stdin forbids it")
    if "prompt" in places and not words:
        raise UsageError("the template has a place for a prompt, and none is given")
    wanted = bool(readers) or not (no_stdin or world.stdin is None or world.is_tty(world.stdin))
    stdin = _text_of_stdin(world, timeout) if wanted and not attached else ""
    said = prompt.replace(_PLACEHOLDER, stdin) if placed else stdin if explicit else prompt
    parts = [frame.fill({"stdin": stdin, "prompt": said})] if frame else []
    parts += [] if "prompt" in places or explicit else [said]
    parts += [_file(path, stdin) for path in files]
    if not (placed or framed or "-" in files or (explicit and "prompt" in places)):
        parts.append(stdin)
    text = "\n\n".join(part for part in parts if part and not part.isspace())
    if not text:
        raise UsageError("the prompt is empty", hint='llmcli chat "why is the sky blue?", or pipe a text into it')
    if "\0" in text:
        raise UsageError("the prompt holds a NUL character, which no model accepts")
    return text


def as_text(argument: str) -> str:
    """An argument of the command line as text. UTF-8 is that also where the locale (LC_ALL=C) knows only ASCII."""
    try:
        argument.encode()
    except UnicodeEncodeError:
        try:
            return os.fsencode(argument).decode()
        except UnicodeError:
            raise UsageError("the prompt is not UTF-8") from None
    return argument


def _file(path: str, stdin: str) -> str:
    if path == "-":
        return f'<file name="stdin">\n{stdin}\n</file>'
    try:
        with open(path, "rb") as file:
            data = file.read(STDIN_LIMIT + 1)
    except OSError as exc:
        raise UsageError(f"cannot read {path}: {exc.strerror}") from exc
    text = _decoded(data, path)
    return f'<file name="{os.path.basename(path)}">\n{text.removesuffix(chr(10))}\n</file>'


def _text_of_stdin(world: World, timeout: float | None) -> str:
    return _decoded(read_stdin(world, timeout), "stdin").removesuffix("\n")


def read_stdin(world: World, timeout: float | None) -> bytearray:
    """All of stdin. `timeout` counts from the start of the process. Raises `UsageError` where it cannot be read."""
    if world.stdin is None:
        raise UsageError("stdin is closed")
    data = bytearray()
    deadline = None if timeout is None else world.started + timeout
    noticed = False
    while True:
        if not _readable(world.stdin, None if noticed else _NOTICE_AFTER, deadline):
            if deadline is not None and time.monotonic() >= deadline:
                raise UsageError(f"nothing more came from stdin within the total timeout of {timeout:g} s")
            if not noticed:
                world.note("waiting for stdin (-n leaves it alone)")
            noticed = True
            continue
        try:
            chunk = os.read(world.stdin, _READ_SIZE)
        except BlockingIOError:
            continue
        except OSError as exc:
            raise UsageError(f"cannot read stdin: {exc.strerror}") from exc
        if not chunk:
            return data
        data += chunk
        if len(data) > STDIN_LIMIT:
            raise _too_long("stdin")


def _readable(fd: int, notice: float | None, deadline: float | None) -> bool:
    """Wait until a descriptor can be read, at most until the notice or the deadline."""
    waits = [notice] if notice is not None else []
    if deadline is not None:
        waits.append(max(0.0, deadline - time.monotonic()))
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    return bool(poll.poll(min([*waits, _LONGEST_POLL]) * 1000))


def _decoded(data: bytes | bytearray, source: str) -> str:
    if len(data) > STDIN_LIMIT:
        raise _too_long(source)
    try:
        return data.decode().removeprefix("\ufeff")
    except UnicodeDecodeError as exc:
        kind = attachments.media_type(bytes(data[:64]))
        attach = f"it is {kind}: -a {'-' if source == 'stdin' else source} attaches it"
        hint = attach if kind else f"iconv -f latin1 -t utf-8 converts; {source} must be text"
        raise UsageError(f"{source} is not UTF-8 (byte {exc.start})", hint=hint) from None


def _too_long(source: str) -> UsageError:
    return UsageError(f"{source} is longer than the limit of {STDIN_LIMIT // 2**20} MB")
