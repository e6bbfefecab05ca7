"""
The program under test, called like a function: `run("chat", "-m", "echo", "hi")` answers with status, stdout, stderr.

It is the real program in a process of its own, with an environment that holds nothing of the developer's.
"""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

COMMAND = (sys.executable, "-m", "llmcli")
PATIENCE = 60  # seconds until a program that hangs fails its test


@dataclass(frozen=True)
class Done:
    """What a run left behind. `status` is what a shell would see: 128 + n after a signal."""

    status: int
    out: bytes
    err: str

    @property
    def text(self) -> str:
        return self.out.decode()

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def error(self) -> Any:
        """The JSON error on the last line of stderr."""
        return json.loads(self.err.rstrip("\n").rpartition("\n")[2])["error"]


def shell_status(returncode: int) -> int:
    return 128 - returncode if returncode < 0 else returncode


class Program:
    """
    llmcli with a home of its own under `home`; `env` is what its environment holds besides, `command` what runs it.
    """

    def __init__(
        self, home: Path, env: Mapping[str, str] | None = None, command: tuple[str, ...] = COMMAND
    ) -> None:  # fmt: skip
        self.home = home
        self.command = command
        self.config = home / "config" / "llmcli"
        self.env = {
            "PATH": os.environ["PATH"],
            "HOME": str(home),
            "XDG_CONFIG_HOME": str(home / "config"),
            "LANG": "C.UTF-8",
            "PYTHONPATH": str(Path(__file__).parent.parent),
            **(env or {}),
        }

    def configure(self, text: str) -> None:
        """Write config.toml."""
        self.config.mkdir(parents=True, exist_ok=True)
        (self.config / "config.toml").write_text(text)

    def __call__(
        self, *args: str, stdin: bytes | None = b"", env: Mapping[str, str] | None = None, **popen: Any
    ) -> Done:
        """
        Run to the end. `stdin=b""` is an empty pipe; other `subprocess.run` keywords pass through. stdout and stderr
        are collected unless they are given.
        """
        if "stdin_file" in popen:
            popen["stdin"] = popen.pop("stdin_file")
        else:
            popen["input"] = stdin
        popen.setdefault("stdout", subprocess.PIPE)
        popen.setdefault("stderr", subprocess.PIPE)
        popen.setdefault("cwd", self.home)
        popen.setdefault("timeout", PATIENCE)
        done = subprocess.run([*self.command, *args], env={**self.env, **(env or {})}, check=False, **popen)
        return Done(shell_status(done.returncode), done.stdout or b"", (done.stderr or b"").decode(errors="replace"))

    def start(self, *args: str, env: Mapping[str, str] | None = None, **popen: Any) -> "subprocess.Popen[bytes]":
        """Start it and go on; the caller waits for it."""
        popen.setdefault("stdin", subprocess.DEVNULL)
        popen.setdefault("stdout", subprocess.PIPE)
        popen.setdefault("stderr", subprocess.PIPE)
        popen.setdefault("cwd", self.home)
        return subprocess.Popen([*self.command, *args], env={**self.env, **(env or {})}, **popen)

    def chat(self, url: str, *args: str, **popen: Any) -> Done:
        """Chat with an OpenAI-compatible server at `url`, without retries unless they are asked for."""
        retries = () if "--retries" in args else ("--retries", "0")
        return self("chat", "-p", "openai-compatible", "--base-url", url, "-m", "m", "-n", *retries, *args, **popen)
