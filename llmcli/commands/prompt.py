"""
What the model is asked: words, files and stdin become one text. Layer 3. stdin has one reader.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from llmcli import attachments
from llmcli.commands import reading
from llmcli.errors import UsageError
from llmcli.world import World

_PLACEHOLDER = "{stdin}"


class Frame(NamedTuple):
    """
    The prompt of a template. `places` says which of `stdin` and `prompt` (the words) it has a place for; `fill` makes
    the text of them.
    """

    places: frozenset[str]
    fill: Callable[[Mapping[str, str]], str]


def read_prompt(
    words: Sequence[str], files: Sequence[str], *, no_stdin: bool, timeout: float | None, world: World,
    attached: int = 0, frame: Frame | None = None, complete: bool = False,
) -> str:  # fmt: skip
    """
    The words joined by spaces, then each file with its name, then stdin after a blank line (or where `{stdin}` in the
    words says). With `no_stdin`, `-` and `{stdin}` are nothing but text, so that a script may ask whatever stands in a
    variable. Where a `frame` has no place for something, it follows behind. `attached`: how often stdin is
    attached, and so is no text. The last line end of stdin is no part of it, unless the text is to be gone on with to
    the letter (`complete`).

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
    whole = _decoded(reading.contents("-", world, timeout), "stdin") if wanted and not attached else ""
    stdin = whole if complete else whole.removesuffix("\n")
    said = prompt.replace(_PLACEHOLDER, stdin) if placed else stdin if explicit else prompt
    parts = [frame.fill({"stdin": stdin, "prompt": said})] if frame else []
    parts += [] if "prompt" in places or explicit else [said]
    for path in files:
        text = stdin if path == "-" else _decoded(reading.contents(path, world, timeout), path)
        parts.append(_in_tags("stdin" if path == "-" else os.path.basename(path), text))
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


def _in_tags(name: str, text: str) -> str:
    return f'<file name="{name}">\n{text.removesuffix(chr(10))}\n</file>'


def _decoded(data: bytearray, source: str) -> str:
    try:
        return data.decode().removeprefix("\ufeff")
    except UnicodeDecodeError as exc:
        kind = attachments.media_type(bytes(data[:64]))
        attach = f"it is {kind}: -a {'-' if source == 'stdin' else source} attaches it"
        hint = attach if kind else f"iconv -f latin1 -t utf-8 converts; {source} must be text"
        raise UsageError(f"{source} is not UTF-8 (byte {exc.start})", hint=hint) from None
