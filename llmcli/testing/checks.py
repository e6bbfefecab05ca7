"""
The table of all checks, and what runs them. Layer 2. Neither pytest nor a server is needed for those that do not
connect.
"""

from collections.abc import Iterator
from typing import Literal, NamedTuple

from llmcli.errors import LlmError
from llmcli.testing import (
    answered,
    capable,
    conduct,
    connected,
    declared,
    failing,
    faithful,
    requested,
    strange,
    streamed,
)
from llmcli.testing.hearing import crash
from llmcli.testing.subject import Check, CheckFailed, CheckSkipped, Subject, entered

_THEMES = (declared, requested, capable, answered, streamed, faithful, failing, strange, conduct, connected)

CHECKS: tuple[Check, ...] = tuple(check for theme in _THEMES for check in entered(theme.__name__))


class Result(NamedTuple):
    """How a check went: its stable id, its title, and one line that says what to change or why it was skipped."""

    id: str
    title: str
    status: Literal["ok", "failed", "skipped"]
    message: str = ""


def perform(check: Check, subject: Subject) -> None:
    """Make one check. Raises `CheckFailed` or `CheckSkipped`."""
    if check.id in subject.waived:
        raise CheckSkipped(subject.waived[check.id])
    if not check.applies(subject):
        raise CheckSkipped("for providers of another kind")
    check.function(subject)


def results(subject: Subject, *, connect: bool = True) -> Iterator[Result]:
    """
    Make the checks that apply to this kind of provider, one after the other; without `connect` not those over a real
    connection.
    """
    for check in CHECKS:
        if not check.applies(subject) or (check.connects and not connect):
            continue
        try:
            perform(check, subject)
        except CheckSkipped as exc:
            yield Result(check.id, check.title, "skipped", _line(exc))
        except CheckFailed as exc:
            yield Result(check.id, check.title, "failed", _line(exc))
        except LlmError as exc:
            yield Result(check.id, check.title, "failed", _line(exc))
        except Exception as exc:
            yield Result(check.id, check.title, "failed", " ".join(crash(exc).split()))
        else:
            yield Result(check.id, check.title, "ok")


def run(subject: Subject, *, connect: bool = True) -> list[Result]:
    """All results at once."""
    return list(results(subject, connect=connect))


def _line(exc: BaseException) -> str:
    return " ".join(str(exc).split())
