"""
Real shells that complete: bash and zsh on a terminal, where a TAB is typed, and fish, which can be asked.

A shell has an empty PATH, so that a completion which starts a program fails its test.
"""

import os
import shutil
import subprocess
import threading
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple, Protocol

import pytest

from tests.program import PATIENCE
from tests.shell import eventually, read_until

SCRIPTS = Path(__file__).parent.parent / "completions"
SHELLS = ("bash", "zsh", "fish")

_END = b"--end--\n"
_REPORT, _CLEAR = b"\x07", b"\x15"

# What is offered is told on a descriptor of its own, as words that could stand on the line; the TAB then does what it
# does. `\C-g` tells the line. A command in a subshell is told too: bash should need none.
_BASH = r"""
PS1= PS2=
bind 'set bell-style none'; bind 'set completion-query-items 0'; bind 'set page-completions off'
bind 'set enable-bracketed-paste off'
source "$SCRIPTS/llmcli.bash"
told() { printf '%s\n' "$@" --end-- >&"$TELL"; }
tell_offers() {
    local before=${COMP_LINE:0:COMP_POINT}
    before=${before##* } before=${before%"$2"}
    set -o functrace
    trap '((BASH_SUBSHELL)) && told "a subshell: $BASH_COMMAND"' DEBUG
    _llmcli "$@"
    trap - DEBUG
    set +o functrace
    told "${COMPREPLY[@]/#/$before}"
}
tell_line() { told "$READLINE_LINE"; }
complete -F tell_offers llmcli
bind -x '"\C-g": tell_line'
told
"""

_ZSH = r"""
PS1= RPS1= LISTMAX=10000 # nothing is asked: a key that comes then would be the answer
unset zle_bracketed_paste
fpath=("$SCRIPTS" $fpath)
autoload -Uz compinit && compinit -D -u
told() { print -rl -u "$TELL" -- "$@" --end--; }
typeset -a offered
compadd() {
    if [[ -z ${(M)@[1,(i)-]:#-[OAD]} ]]; then # else it only looks what would fit
        local -a fitting
        builtin compadd -O fitting "$@"
        offered+=("${fitting[@]}")
    fi
    builtin compadd "$@"
}
tell_offers() { offered=(); _main_complete; told "${offered[@]}"; }
zle -C tell_offers complete-word tell_offers
bindkey '^I' tell_offers
tell_line() { told "$BUFFER"; }
zle -N tell_line
bindkey '^G' tell_line
bindkey '^U' kill-whole-line
told
"""

_FISH = r"""
source $SCRIPTS/llmcli.fish
for line in $argv
    complete -C $line
    echo --end--
end
"""


class Home(NamedTuple):
    """A home directory, and what completion finds there."""

    path: Path

    @property
    def config(self) -> Path:
        return self.path / ".config" / "llmcli"

    @property
    def cache(self) -> Path:
        return self.path / ".cache" / "llmcli"

    def write(self, path: Path, text: str | bytes) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())

    def lists(self, provider: str, *models: str) -> None:
        """Models as `llmcli models refresh` keeps them."""
        self.write(self.cache / "models" / f"{provider}.txt", "".join(f"{provider}/{model}\n" for model in models))


class Completing(Protocol):
    """A shell that completes."""

    def offers(self, *lines: str) -> list[list[str]]:
        """For each line, what a TAB at its end offers for the last word: whole values, in no order."""

    def close(self) -> None:
        """End it."""


class OnTerminal:
    """bash or zsh, at its prompt."""

    def __init__(self, shell: str, home: Home, env: dict[str, str]) -> None:
        setup = home.path / f"setup.{shell}"
        setup.write_text(_BASH if shell == "bash" else _ZSH)
        argv = {"bash": ["--norc", "--noprofile", "-i"], "zsh": ["-f", "-i"]}[shell]
        self._told, tell = os.pipe()
        self._terminal, theirs = os.openpty()
        self._process = subprocess.Popen(
            [_path_of(shell), *argv], stdin=theirs, stdout=theirs, stderr=theirs, pass_fds=[tell], cwd=home.path,
            env={**_env(home), "TELL": str(tell), **env}, start_new_session=True,
        )  # fmt: skip
        os.close(theirs)
        os.close(tell)
        self._screen = bytearray()
        self._reader = threading.Thread(target=self._read_screen, daemon=True)
        self._reader.start()
        self._type(f"source {setup}\n".encode())

    def offers(self, *lines: str) -> list[list[str]]:
        return [_values(self._pressed(line)[0]) for line in lines]

    def line_after(self, line: str) -> str:
        """What stands on the command line after a TAB at the end of this one."""
        return self._pressed(line)[1]

    def shows(self, line: str, *texts: str) -> None:
        """Wait until the terminal has shown all these after two TABs at the end of a line."""
        for keys in (line.encode() + b"\t", b"\t", _REPORT):
            self._type(keys)
        os.write(self._terminal, _CLEAR)
        eventually(lambda: all(text.encode() in self._screen for text in texts))

    def run(self, line: str) -> None:
        """Run a command line, and wait for the next prompt."""
        self._type(line.encode() + b"\n" + _REPORT)

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        self._reader.join()
        os.close(self._terminal)
        os.close(self._told)

    def _pressed(self, line: str) -> tuple[list[str], str]:
        offered = self._type(line.encode() + b"\t")
        (after,) = self._type(_REPORT)
        os.write(self._terminal, _CLEAR)
        return offered, after

    def _type(self, keys: bytes) -> list[str]:
        """Type, and read what is told then."""
        hurry = threading.Timer(PATIENCE, self._process.kill)
        hurry.start()
        try:
            os.write(self._terminal, keys)
            told = read_until(self._told, _END)
        finally:
            hurry.cancel()
        return [line for line in told.removesuffix(_END).decode().split("\n") if line]

    def _read_screen(self) -> None:
        try:
            while data := os.read(self._terminal, 65536):
                self._screen += data
        except OSError:  # the last writer has gone
            pass


class Fish:
    """fish, a new one for each question."""

    def __init__(self, home: Home, env: Mapping[str, str] = MappingProxyType({})) -> None:
        self._env = {**_env(home), **env}
        self._home = home.path

    def offers(self, *lines: str) -> list[list[str]]:
        told = self.told(*lines).split("--end--\n")[:-1]
        return [_values(line.partition("\t")[0] for line in each.split("\n") if line) for each in told]

    def told(self, *lines: str) -> str:
        """The same with what each means, as fish says it."""
        done = subprocess.run(
            [_path_of("fish"), "--no-config", "-c", _FISH, "--", *lines], env=self._env, cwd=self._home,
            capture_output=True, text=True, timeout=PATIENCE, check=True,
        )  # fmt: skip
        assert done.stderr == ""
        return done.stdout

    def close(self) -> None:
        pass


def start(shell: str, home: Home, **env: str) -> Completing:
    """A shell whose home this is. Skips the test where there is no such shell."""
    return Fish(home, env) if shell == "fish" else on_terminal(shell, home, **env)


def on_terminal(shell: str, home: Home, **env: str) -> OnTerminal:
    """The same, for a test that types."""
    _path_of(shell)
    return OnTerminal(shell, home, env)


def _path_of(shell: str) -> str:
    path = shutil.which(shell)
    if path is None:
        pytest.skip(f"{shell} is not installed")
    return path


def _env(home: Home) -> dict[str, str]:
    return {
        "HOME": str(home.path), "PATH": "/nonexistent", "LANG": "C.UTF-8", "TERM": "dumb", "SCRIPTS": str(SCRIPTS)
    }  # fmt: skip


def _values(words: Iterable[str]) -> list[str]:
    """The values themselves, where a shell says them with their option before them."""
    return sorted({word.removeprefix("--model=") for word in words})
