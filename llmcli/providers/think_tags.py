"""
Thinking that stands in the text itself, between `<think>` and `</think>` -> thinking and text. Layer 2, pure: knows
only types.

A model whose server has no reasoning parser opens its answer with such a block. Only a tag at the very start counts:
further on it is the model talking about tags.
"""

import re

from llmcli.types import TextDelta, ThinkingDelta, ThinkingEnd

_Piece = TextDelta | ThinkingDelta | ThinkingEnd


class ThinkTags:
    """
    Splits the pieces of one answer. Held back is only what can still become a tag, and blank space before the first
    word; `done` says that nothing will be split any more.

    `names` are those of the tags. `opened`: the chat template has opened the first of them itself, and the model sends
    only the closing tag (mozilla-ai/any-llm#1245). `may_be_opened`: it may have, which `foresee` finds out.
    """

    def __init__(self, names: tuple[str, ...], *, opened: bool = False, may_be_opened: bool = False) -> None:
        self._may_be_opened = may_be_opened
        self.done = not names
        self._names = names
        self._held = ""
        self._closing = f"</{names[0]}>" if names and opened else ""
        self._closed = False
        self._thought = False

    def foresee(self, text: str) -> None:
        """
        The whole content, where it is known before it is fed: what is closed in it, and was not opened, the template
        has opened. An answer about tags loses nothing: a tag of the template's ends its line, and stands in no code.
        """
        if not self._may_be_opened or self._closing:
            return
        for name in self._names:
            before, closing, after = text.partition(f"</{name}>")
            if closing and f"<{name}>" not in before and _ends_a_block(before, after) and not _in_code(before):
                self._closing = closing
                return

    def feed(self, text: str) -> list[_Piece]:
        """Take the next piece of the content."""
        pieces: list[_Piece] = []
        if not text:
            return pieces
        text, self._held = self._held + text, ""
        if not self._closing and not self._closed and not self.done:
            text = self._start(text)
        if self._closing:
            text = self._think(text, pieces)
        if self._closed and not self.done:
            # The blank lines behind the block belong to the template, not to the answer.
            text = text.lstrip("\r\n")
            self.done = bool(text)
        if text:
            pieces.append(TextDelta(text))
        return pieces

    def end(self) -> list[_Piece]:
        """The content has ended: what was held back is what it looked like so far."""
        held, self._held, self.done = self._held, "", True
        if not self._closing:
            return [TextDelta(held)] if held else []
        pieces: list[_Piece] = []
        self._thinking(held, pieces)
        if self._thought:
            pieces.append(ThinkingEnd())
        return pieces

    def _start(self, text: str) -> str:
        """Look for an opening tag; what is returned stands behind it, or is an answer without one."""
        start = text.lstrip()
        for name in self._names:
            opening = f"<{name}>"
            if start.startswith(opening):
                self._closing = f"</{name}>"
                return start[len(opening) :]
            if opening.startswith(start):
                self._held = text
        if self._held:
            return ""
        self.done = True
        return text

    def _think(self, text: str, pieces: list[_Piece]) -> str:
        """Take thinking up to the closing tag; what is returned stands behind it."""
        thinking, closing, rest = text.partition(self._closing)
        if not closing:
            last = text.rfind("<")
            if last >= 0 and self._closing.startswith(text[last:]):
                thinking, self._held = text[:last], text[last:]
            self._thinking(thinking, pieces)
            return ""
        self._thinking(thinking, pieces)
        self._closing, self._closed = "", True
        if self._thought:
            pieces.append(ThinkingEnd())
        return rest

    def _thinking(self, text: str, pieces: list[_Piece]) -> None:
        if not self._thought:
            text = text.lstrip("\r\n")
        if text:
            self._thought = True
            pieces.append(ThinkingDelta(text))


def _ends_a_block(before: str, after: str) -> bool:
    """
    Whether a closing tag ends its line, as no text of JSON can have it; and where nothing comes behind it, for the
    answer was a call or was cut, whether it has the line to itself.
    """
    if not after.strip():
        return before[-1:] in ("", "\n")
    return re.match(r"[ \t]*\r?\n", after) is not None


def _in_code(before: str) -> bool:
    """Whether what follows stands in a fence, or in code within a line."""
    fences = re.findall(r"(?m)^[ \t]*(?:```|~~~)", before)
    return len(fences) % 2 == 1 or before.rpartition("\n")[2].count("`") % 2 == 1
