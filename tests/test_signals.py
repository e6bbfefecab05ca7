"""Signals at the moments at which Python cannot raise, each in a process of its own."""

import signal
import subprocess
import sys

import pytest

from tests.program import PATIENCE

BEGIN = "import os, signal\nfrom llmcli import signals\nsignals.care()\n"
KILL = "os.kill(os.getpid(), signal.SIGTERM)"


def test_it_is_counted_how_often_we_go_on() -> None:
    source = f"{BEGIN}for _ in range(2):\n    os.kill(os.getpid(), signal.SIGCONT)\nprint(signals.stops())\n"

    assert subprocess.check_output([sys.executable, "-c", source], timeout=PATIENCE) == b"2\n"


@pytest.mark.parametrize(
    "source",
    [
        f"class Torn:\n    def __del__(self):\n        {KILL}\n        sum(range(9))\nTorn()\n",
        f"with signals.held():\n    {KILL}\n    raise ValueError\n",
        f"with signals.held():\n    with signals.held():\n        {KILL}\n    print('the outer one is whole')\n",
    ],
)
def test_no_signal_is_lost_and_nothing_is_printed_of_it(source: str) -> None:
    whole = f"{BEGIN}try:\n    exec({source!r})\n    print('went on')\nexcept signals.Interrupted as exc:\n"

    done = subprocess.run(
        [sys.executable, "-c", f"{whole}    signals.die(exc.number)\n"], capture_output=True, text=True,
        timeout=PATIENCE,
    )  # fmt: skip

    assert done.returncode == -signal.SIGTERM
    assert "went on" not in done.stdout
    assert done.stderr == ""
    assert ("outer" in source) == ("the outer one is whole" in done.stdout)
