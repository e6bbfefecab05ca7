"""
What every tool that can be run has, wherever it comes from. Layer 2: knows types.
"""

import re
from collections.abc import Callable
from typing import NamedTuple

from llmcli.types import Json, Tool

SECONDS = 30.0  # that a tool may take, unless its table says otherwise
MOST = 64 * 1024  # characters of a result that the model is given
_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}", re.ASCII)  # what APIs take

Arguments = dict[str, Json]


class ToolFailed(Exception):
    """A tool could not do what it was asked; the model is told why, and goes on."""


class Offered(NamedTuple):
    """
    A tool that can be run. `origin` says where it comes from, as a person would say it. `run` takes arguments that
    satisfy the tool's schema and the seconds that it has, and returns the result, which is `cut` where it is too long,
    or raises `ToolFailed`; `shown` tells what exactly would be run, on one line that begins with the tool's name.
    """

    tool: Tool
    origin: str
    run: Callable[[Arguments, float], str]
    shown: Callable[[Arguments], str]
    seconds: float = SECONDS


def is_name(name: str) -> bool:
    """Whether APIs take this as the name of a tool; where one takes less, its adapter says it in another way."""
    return _NAME.fullmatch(name) is not None


def cut(text: str, most: int, dropped: int = 0) -> str:
    """
    The text as UTF-8 can say it, or its beginning with a note of how much is missing. `dropped`: the characters that
    came behind the text and were not even kept.
    """
    text = text.encode("utf-8", "replace").decode()
    missing = max(len(text) - most, 0) + dropped
    return f"{text[:most]}\n[cut here: {missing} more characters]" if missing else text
