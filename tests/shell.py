"""
The program in a real shell, and the program while it runs: read from it, signal it, wait for it.

Nothing here sleeps and hopes: what is waited for is an event, and a program that hangs is killed after `PATIENCE`.
"""

import os
import re
import shlex
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.program import PATIENCE, Done, Program, shell_status


class Shell:
    """bash, in which `llmcli` is the program: `sh("llmcli chat -m echo -n hi | head -1")`."""

    def __init__(self, program: Program, folder: Path) -> None:
        self.program = program
        self.home = program.home
        folder.mkdir(exist_ok=True)
        command = folder / "llmcli"
        command.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m llmcli "$@"\n')
        command.chmod(0o755)
        self.env = {**program.env, "PATH": f"{folder}:{program.env['PATH']}"}

    def __call__(self, script: str, *args: str, env: Mapping[str, str] | None = None, **popen: Any) -> Done:
        """Run a script to its end, with `args` as $1, $2... A pipeline has the status of the program that failed."""
        popen.setdefault("stdin", subprocess.DEVNULL)
        done = subprocess.run(
            self._command(script, args), env={**self.env, **(env or {})}, cwd=self.home,
            capture_output=True, timeout=PATIENCE, check=False, **popen,
        )  # fmt: skip
        return Done(shell_status(done.returncode), done.stdout, done.stderr.decode())

    @contextmanager
    def start(self, script: str, *args: str, **popen: Any) -> Iterator["subprocess.Popen[bytes]"]:
        """Start a script, which should `exec llmcli` so that signals reach it."""
        popen = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **popen}
        with watched(subprocess.Popen(self._command(script, args), env=self.env, cwd=self.home, **popen)) as process:
            yield process

    @staticmethod
    def _command(script: str, args: tuple[str, ...]) -> list[str]:
        return ["bash", "-c", f"set -o pipefail; {script}", "bash", *args]


@contextmanager
def watched(process: "subprocess.Popen[bytes]") -> Iterator["subprocess.Popen[bytes]"]:
    """The process, which does not outlive the block, and is killed when it takes too long."""
    hurry = threading.Timer(PATIENCE, process.kill)
    hurry.start()
    with process:
        try:
            yield process
        finally:
            hurry.cancel()
            process.kill()


def read_until(stream: Any, expected: bytes) -> bytes:
    """Read until the expected text has come. The end of the stream fails the test."""
    seen = b""
    while expected not in seen:
        data = os.read(stream if isinstance(stream, int) else stream.fileno(), 65536)
        assert data, f"the stream ended after {seen!r}"
        seen += data
    return seen


def ended(process: "subprocess.Popen[bytes]") -> Done:
    """Wait for the end; what had not been read is in it."""
    out, err = process.communicate(timeout=PATIENCE)
    return Done(shell_status(process.returncode), out or b"", (err or b"").decode())


def eventually(condition: Callable[[], object]) -> None:
    """Wait until something is so that nobody tells of by an event."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.005)


def catches(process: "subprocess.Popen[bytes]", number: int) -> bool:
    """Whether a process has a handler of its own for a signal."""
    status = Path(f"/proc/{process.pid}/status").read_text()
    found = re.search(r"^SigCgt:\s*(\w+)", status, re.MULTILINE)
    assert found is not None
    return bool(int(found[1], 16) >> (number - 1) & 1)


# The shell's words for a process that file permissions hold for, which they do not for root.
AS_ANYBODY = (
    "setpriv --bounding-set -dac_override,-dac_read_search,-fowner --inh-caps -all" if os.geteuid() == 0 else "env"
)
