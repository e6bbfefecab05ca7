"""
Text to the clipboard: by the program that the desktop has for it, else by asking the terminal. Layer 3.
"""

import base64
import shutil
import subprocess

from llmcli.world import World

_SECONDS = 5

# What sets a clipboard, and the variable that says that there is one.
_PROGRAMS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("WAYLAND_DISPLAY", ("wl-copy",)),
    ("DISPLAY", ("xclip", "-selection", "clipboard")),
    ("DISPLAY", ("xsel", "--clipboard", "--input")),
    ("HOME", ("pbcopy",)),
)


def copy(text: str, world: World) -> None:
    """
    Put a text on the clipboard. A terminal that is asked (OSC 52, also through ssh) does not say whether it did it.
    """
    for variable, command in _PROGRAMS:
        program = shutil.which(command[0], path=world.env.get("PATH", ""))
        if world.env.get(variable) and program and _ran([program, *command[1:]], text, world):
            return
    world.write_stderr(f"\x1b]52;c;{base64.b64encode(text.encode()).decode()}\x07")


def _ran(command: list[str], text: str, world: World) -> bool:
    """Whether the program took it. Some stay in the background and keep what they are given open."""
    try:
        done = subprocess.run(
            command, input=text.encode(), env=dict(world.env), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            timeout=_SECONDS, check=False,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0
