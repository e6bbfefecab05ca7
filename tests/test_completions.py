"""The completion scripts: current, and what a TAB offers. The real shell is asked; no Python is started by a TAB."""

import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

BASH = shutil.which("bash") or "/bin/bash"
ROOT = Path(__file__).parent.parent


def complete(*words: str) -> list[str]:
    """What bash offers for the last word. With an empty PATH: nothing is started."""
    script = (
        f"source {shlex.quote(str(ROOT / 'completions' / 'llmcli.bash'))}; compopt() {{ :; }}; "
        f"COMP_WORDS=({shlex.join(words)}); COMP_CWORD={len(words) - 1}; _llmcli; printf '%s\\n' \"${{COMPREPLY[@]}}\""
    )
    done = subprocess.run(
        [BASH, "-c", script], capture_output=True, text=True, check=True, env={"PATH": "/nonexistent"}
    )
    return done.stdout.split()


def test_the_scripts_are_current() -> None:
    done = subprocess.run(
        [sys.executable, "completions/generate.py", "--check"], cwd=ROOT, capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (["llmcli", "mo"], ["models"]),
        (["llmcli", "chat", "--form"], ["--format"]),
        (["llmcli", "chat", "--format", "js"], ["json", "jsonl"]),
        (["llmcli", "chat", "-m", "anth"], ["anthropic"]),
        (["llmcli", "models", "list", "olla"], ["ollama"]),
        (["llmcli", "providers", "sh"], ["show"]),
        (["llmcli", "chat", "--system", "x"], []),
        (["llmcli", "chat", "--", "--fo"], []),
    ],
)
def test_a_tab_offers_what_fits(words: list[str], offered: list[str]) -> None:
    assert complete(*words) == offered
