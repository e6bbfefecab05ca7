"""What a run that failed says on stderr, and the rules that every failure keeps whatever went wrong."""

import re
from dataclasses import dataclass

from tests.program import Done

_LINE = re.compile(r"llmcli: (?P<message>.+?)(?: \[(?P<facts>\w+=\S+(?: \w+=\S+)*)\])?")


@dataclass(frozen=True)
class Complaint:
    """The one line that says what happened, the facts in its brackets, the hint, and the notes before it."""

    message: str
    facts: dict[str, str]
    hint: str | None
    notes: tuple[str, ...]


def complaint(done: Done, status: int) -> Complaint:
    """
    What a failed run says. Checks that it failed with this status, left stdout empty, and said so in one line with at
    most one hint: no traceback, no control characters, nothing between.
    """
    assert done.status == status, done.err
    assert done.out == b""
    assert not re.search(r"[^\n\x20-\x7e\xa0-\U0010ffff]", done.err)
    *lines, last = done.err.splitlines()
    hint = None
    if last.startswith("hint: "):
        hint = last.removeprefix("hint: ")
        *lines, last = lines
    found = _LINE.fullmatch(last)
    assert found, done.err
    assert all(line.startswith("llmcli: ") for line in lines), done.err
    facts = dict(fact.split("=", 1) for fact in (found["facts"] or "").split())
    return Complaint(found["message"], facts, hint, tuple(line.removeprefix("llmcli: ") for line in lines))
