"""
A command that a plugin adds: `main(argv) -> exit status`. Layer 3.

`argv` is what stands behind its name; its stdout is the real one.
"""

import sys
from collections.abc import Callable

from llmcli import plugin_import
from llmcli.errors import BrokenPlugin, LlmError
from llmcli.guests import place, told
from llmcli.output import ReaderGone
from llmcli.plugins import Plugin
from llmcli.signals import SIGINT, Interrupted
from llmcli.world import World


def run(plugin: Plugin, argv: list[str], world: World) -> int:
    """
    Call a plugin's command and return its exit status.

    Raises `BrokenPlugin` when it cannot be loaded or returns no exit status, and an `LlmError` that names the plugin
    for whatever it raises that is none.
    """
    status = _called(plugin, plugin_import.command(plugin, world.env), argv, world)
    if sys.stdout is not None:
        sys.stdout.flush()
    if status is None:
        return 0
    if not isinstance(status, int) or status not in range(256):
        raise BrokenPlugin(f"the plugin {plugin.whose} returned {status!r:.80}, expected an exit status from 0 to 255")
    return int(status)


def _called(plugin: Plugin, main: Callable[[list[str]], object], argv: list[str], world: World) -> object:
    try:
        return main(argv)
    except SystemExit as exc:
        if not isinstance(exc.code, str):
            return exc.code
        world.say(exc.code)  # as Python has it
        return 1
    except KeyboardInterrupt:
        raise Interrupted(SIGINT) from None
    except (LlmError, Interrupted, ReaderGone):
        raise
    except BaseException as exc:
        raise LlmError(f"the plugin {plugin.whose} failed: {told(exc)}", hint=f"in {place(exc)}") from exc
