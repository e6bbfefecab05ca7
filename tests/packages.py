"""
Little distributions, as real ones are: a wheel that pip installs, or a source tree that pip builds by a backend of its
own, so that nothing is downloaded.
"""

import base64
import hashlib
import os
import subprocess
import sys
import sysconfig
import venv
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

_PROVIDERS = "llmcli.providers"

# What a source tree builds itself with: pip calls these, and they make the wheel that `Package` describes.
_BACKEND = """
import pathlib, sys
sys.path.insert(0, {tests!r})
from tests.packages import Package
package = Package(**{fields!r})

def build_wheel(directory, config_settings=None, metadata_directory=None):
    return package.wheel(pathlib.Path(directory)).name

def build_editable(directory, config_settings=None, metadata_directory=None):
    return package.wheel(pathlib.Path(directory), editable=pathlib.Path.cwd()).name
"""


class Package(NamedTuple):
    """
    A distribution of one module. `providers` and `commands` are entry points (`{"acme": "acme:Acme"}`); the module's
    name is that of the distribution, with underscores.
    """

    name: str
    code: str
    providers: Mapping[str, str] = {}  # nobody changes it
    commands: Mapping[str, str] = {}
    version: str = "0.1"
    summary: str = "A plugin of a test"

    @property
    def module(self) -> str:
        return self.name.replace("-", "_")

    def wheel(self, folder: Path, editable: Path | None = None) -> Path:
        """Write the wheel, whose code stays where it is (`editable`) if that is said."""
        info = f"{self.module}-{self.version}.dist-info"
        code = {f"{self.module}.py": self.code} if editable is None else {f"{self.module}.pth": f"{editable}\n"}
        files = {
            **code,
            f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {self.name}\nVersion: {self.version}\n"
            f"Summary: {self.summary}\n\nVersion: that is no header\n",
            f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
            f"{info}/entry_points.txt": _section(_PROVIDERS, self.providers)
            + _section("llmcli.commands", self.commands),
        }
        record = "".join(f"{name},sha256={_digest(text)},{len(text.encode())}\n" for name, text in files.items())
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{self.module}-{self.version}-py3-none-any.whl"
        with zipfile.ZipFile(path, "w") as archive:
            for name, text in {**files, f"{info}/RECORD": f"{record}{info}/RECORD,,\n"}.items():
                archive.writestr(name, text)
        return path

    def source(self, folder: Path) -> Path:
        """Write a source tree that pip can build and install, also as an editable one."""
        folder.mkdir(parents=True)
        (folder / f"{self.module}.py").write_text(self.code)
        (folder / "pyproject.toml").write_text(
            '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
        )
        fields = {name: dict(value) if isinstance(value, Mapping) else value for name, value in self._asdict().items()}
        tests = str(Path(__file__).parent.parent)
        (folder / "backend.py").write_text(_BACKEND.format(tests=tests, fields=fields))
        return folder


def _section(group: str, entries: Mapping[str, str]) -> str:
    return f"[{group}]\n" + "".join(f"{name} = {value}\n" for name, value in entries.items()) if entries else ""


def _digest(text: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()


class Environment:
    """A virtual environment that has what ours has, and what is installed into it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        venv.create(folder, with_pip=False, symlinks=True)
        self.python = str(folder / "bin" / "python")
        self.site = Path(sysconfig.get_path("purelib", "venv", {"base": str(folder), "platbase": str(folder)}))
        ours = sysconfig.get_path("purelib")
        (self.site / "ours.pth").write_text(f"import site; site.addsitedir({ours!r})\n")

    def install(self, *packages: Package) -> None:
        """Install wheels with pip."""
        self.pip("install", *(str(package.wheel(self.folder / "wheels")) for package in packages))

    def pip(self, command: str, *args: str) -> None:
        """Run pip, which may use no network and nothing that is not there."""
        more = ("--no-deps", "--no-index", "--no-build-isolation") if command != "uninstall" else ("--yes",)
        done = subprocess.run(
            [sys.executable, "-m", "pip", "--python", self.python, command, "--quiet", *more, *args],
            env={"PATH": os.environ["PATH"], "HOME": str(self.folder), "PIP_DISABLE_PIP_VERSION_CHECK": "1"},
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr


def provider(cls: str, provider_id: str, body: str, *, base: str = "NativeProvider", before: str = "") -> str:
    """The code of a provider's class; `body` are its methods, `before` is what the module does first."""
    return f"""\
import json, os, signal, sys, time
{before}
from llmcli.errors import *
from llmcli.framing import *
from llmcli.provider import *
from llmcli.types import *

class {cls}({base}):
    id = {provider_id!r}
    name = {cls!r}
    default_model = "m"
{_indented(body)}
"""


def _indented(text: str) -> str:
    lines: Iterable[str] = text.strip("\n").splitlines()
    return "\n".join(f"    {line}" for line in lines)
