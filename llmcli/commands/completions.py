"""
`llmcli completions`: prints what a shell completes with. Layer 3.

The scripts are written by `completions/generate.py`. A wheel has them in the package too, for shells that do not look
where the wheel puts them; a checkout has them beside the package only.
"""

import os

from llmcli.world import World

SCRIPTS = {"bash": "llmcli.bash", "zsh": "_llmcli", "fish": "llmcli.fish"}


def run(shell: str, world: World) -> None:
    """Print the script for a shell, one of `SCRIPTS`."""
    with open(_path(SCRIPTS[shell]), encoding="utf-8") as file:
        world.print(file.read())


def _path(name: str) -> str:
    package = os.path.dirname(os.path.dirname(__file__))
    installed = os.path.join(package, "completions", name)
    return installed if os.path.exists(installed) else os.path.join(os.path.dirname(package), "completions", name)
