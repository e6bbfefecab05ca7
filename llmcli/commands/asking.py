"""
Questions to a person: asked on stderr, answered on a terminal's stdin. Layer 3.
"""

import os
from collections.abc import Callable

from llmcli import signals
from llmcli.errors import LlmError, UsageError
from llmcli.output import one_line
from llmcli.world import World


def can_ask(world: World) -> bool:
    """Whether somebody is there to be asked."""
    return world.is_tty(world.stdin) and world.is_tty(world.stderr)


def ask(world: World, question: str, default: str = "", check: Callable[[str], object] = lambda answer: None) -> str:
    """
    What somebody answers, or the default for nothing; what cannot be (`check` raises an `LlmError`) is asked for again.

    Raises `UsageError` at the end of the input.
    """
    shown = f" [{default}]" if default else ""
    while True:
        try:
            world.write_stderr(f"{one_line(question)}{shown}: ")
            answer = _read_line(world) or default
        except signals.Interrupted:  # what is said next begins on a line of its own
            world.write_stderr("\n")
            raise
        try:
            check(answer)
        except LlmError as exc:
            world.say(f"  {exc.message}" + (f" ({exc.hint})" if exc.hint else ""))
        else:
            return answer


def agrees(world: World, question: str) -> bool:
    """Whether somebody says yes, which nothing at all does too."""
    return ask(world, question, "Y/n").lower() in ("y/n", "y", "yes")


def ask_unseen(world: World, question: str) -> str:
    """What somebody types without its being shown. Raises `UsageError` at the end of the input."""
    import getpass

    def back() -> None:
        """The shell has shown what is typed meanwhile; here it is not shown."""
        _hide(world.stdin or 0)
        world.write_stderr(f"{one_line(question)}: ")

    signals.care()  # Ctrl-C must not leave the terminal without echo
    try:
        with signals.again_after_stops(back):
            return getpass.getpass(f"{one_line(question)}: ")
    except EOFError:
        world.write_stderr("\n")
        raise UsageError("nothing was typed; nothing is changed") from None
    except UnicodeDecodeError:
        raise UsageError("what was typed is no text") from None


def _hide(fd: int) -> None:
    """From now on the terminal shows nothing of what is typed."""
    import termios

    mode = termios.tcgetattr(fd)
    mode[3] &= ~termios.ECHO
    termios.tcsetattr(fd, termios.TCSADRAIN, mode)


def _read_line(world: World) -> str:
    """One line of stdin, unbuffered, so that the next question finds the rest."""
    line = bytearray()
    while byte := os.read(world.stdin or 0, 1):
        if byte == b"\n":
            return line.decode("utf-8", "replace").strip()
        line += byte
    world.write_stderr("\n")
    raise UsageError("the questions were not answered; nothing was written")
