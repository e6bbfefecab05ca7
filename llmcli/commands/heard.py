"""
What has been heard of an answer so far, to be kept of it. Layer 3.
"""

import time
from collections.abc import Iterator
from typing import TypeVar

from llmcli.output import Round
from llmcli.turns import Entry, Turn
from llmcli.types import Message, Reply, TextDelta, Usage, message

_E = TypeVar("_E")


class Heard:
    """
    Listens to the events of one answer. What has been heard can be kept also of an answer that was stopped: its text,
    and the tools that were run.
    """

    def __init__(self) -> None:
        self._rounds: list[Entry] = []
        self._spent = Usage()
        self._text: list[str] = []

    def listen(self, events: Iterator[_E]) -> Iterator[_E]:
        """The same events; each is heard before it is handed on."""
        for event in events:
            self._hear(event)
            yield event

    def _hear(self, event: object) -> None:
        if type(event) is TextDelta:
            self._text.append(event.text)
        elif type(event) is Round:
            now = time.time()
            self._rounds += [self._answer(event.reply, now), Entry(Message("tool", tuple(event.results)), now)]
            self._text.clear()

    def whole(self, reply: Reply) -> Turn:
        """The answer, which is complete: `reply` is the last of it."""
        return (*self._rounds, self._answer(reply, time.time()))

    def stopped(self, provider: str, model: str) -> Turn:
        """What there is of an answer that was stopped; nothing where nothing was said."""
        text = "".join(self._text)
        if not text.strip() and not self._rounds:
            return ()
        last = Entry(message("assistant", text or "..."), time.time(), provider, model, None, "stopped")
        return (*self._rounds, last)

    def _answer(self, reply: Reply, now: float) -> Entry:
        """One message of the answer, with the tokens that it cost itself: a reply tells those of all so far."""
        usage = None if reply.usage is None else _less(reply.usage, self._spent)
        self._spent = reply.usage or self._spent
        return Entry(reply.message, now, reply.provider, reply.model, usage, reply.finish.reason)


def _less(usage: Usage, spent: Usage) -> Usage:
    return Usage(*(all_ if all_ is None else all_ - (old or 0) for all_, old in zip(usage, spent, strict=True)))
