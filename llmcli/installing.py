"""
Where this project's plugins come from, and the one line that installs one into this very llmcli. Layer 2.

How llmcli was installed is read from what its installer has left at the root of the environment: pipx writes
`pipx_metadata.json` there, `uv tool` writes `uv-receipt.toml`. Without either, pip of that Python is what installs.
"""

import os
import re
import shlex
import sys
import sysconfig
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from typing import Any, NamedTuple

PACKAGES: dict[str, str] = {  # the ids that plugins of this project provide, and the distribution of each
    "cohere": "llmcli-cohere",
    "gemini": "llmcli-gemini",
    "graphql": "llmcli-graphql",
    "graphql-ws": "llmcli-graphql",
    "grpc": "llmcli-grpc",
    "huggingface": "llmcli-huggingface",
    "websocket": "llmcli-websocket",
}
_OURSELVES = "llmcli"


class Installation(NamedTuple):
    """
    How llmcli was installed: `pipx`, `uv tool`, `virtual environment` or `system`; the root of its environment; and the
    words of the command that installs a further distribution by pip.
    """

    how: str
    prefix: str
    pip: tuple[str, ...]


def here() -> Installation:
    """That of the running llmcli."""
    return installation(
        sys.prefix,
        sys.base_prefix,
        sys.executable or "python3",
        has_pip=find_spec("pip") is not None,
        managed=os.path.exists(f"{sysconfig.get_path('stdlib')}/EXTERNALLY-MANAGED"),
    )


def installation(
    prefix: str, base_prefix: str, python: str, *, has_pip: bool = True, managed: bool = False
) -> Installation:
    """
    That of an environment. Without pip, as `uv venv` makes them, uv installs. `managed`: the system's own packages come
    from elsewhere; whoever has put llmcli beside them by pip has had to say so, and has to again.
    """
    if os.path.exists(f"{prefix}/pipx_metadata.json"):
        how = "pipx"
    elif os.path.exists(f"{prefix}/uv-receipt.toml"):
        how = "uv tool"
    else:
        how = "system" if prefix == base_prefix else "virtual environment"
    pip = (python, "-m", "pip", "install") if has_pip else ("uv", "pip", "install", "--python", python)
    return Installation(how, prefix, (*pip, "--break-system-packages") if managed and how == "system" else pip)


def package(name: str) -> str | None:
    """The distribution that provides an id (or `distribution:id`), if it is one of this project's plugins."""
    distribution, _, own = name.rpartition(":")
    found = PACKAGES.get(own)
    return found if distribution in ("", found) else None


def line(distribution: str, installed: Installation) -> str:
    """What a shell runs to install one more distribution in the way that this llmcli was installed."""
    if installed.how == "pipx":
        return shlex.join(["pipx", "inject", os.path.basename(installed.prefix), distribution])
    if installed.how == "uv tool":
        return shlex.join(["uv", "tool", "install", *_uv_words(installed.prefix, distribution)])
    return shlex.join([*installed.pip, distribution])


# --- the receipt of uv ----------------------------------------------------------------------------


def _uv_words(prefix: str, distribution: str) -> Iterator[str]:
    """
    uv has no way to add to a tool, it installs the whole again: all that was asked for is said again, and the new one.
    The folder of a tool is called like its distribution.
    """
    receipt = _receipt(prefix)
    wanted = [_requirement(entry) for entry in receipt.get("requirements", [])]
    tool = next((each for each in wanted if _normalized(each.name) == _normalized(os.path.basename(prefix))), None)
    yield from ("--editable", tool.text) if tool and tool.editable else (tool.text if tool else _OURSELVES,)
    for each in wanted:
        if each is not tool and _normalized(each.name) != distribution:
            yield from ("--with-editable" if each.editable else "--with", each.text)
    yield from ("--with", distribution)
    if isinstance(receipt.get("python"), str):
        yield from ("--python", receipt["python"])


def _receipt(prefix: str) -> Mapping[str, Any]:
    """What uv has noted of the tool; nothing where that cannot be read."""
    import tomllib

    try:
        with open(f"{prefix}/uv-receipt.toml", "rb") as file:
            tool = tomllib.load(file).get("tool")
    except (OSError, ValueError):
        return {}
    return tool if isinstance(tool, dict) else {}


class _Requirement(NamedTuple):
    name: str
    text: str
    editable: bool = False


def _requirement(entry: str | Mapping[str, Any]) -> _Requirement:
    """One that was asked for, as the command line says it; old receipts hold it in those words."""
    if isinstance(entry, str):
        return _Requirement(re.split(r"[\s\[<>=!~;@(]", entry, maxsplit=1)[0], entry)
    name = entry.get("name", "")
    if "editable" in entry:
        return _Requirement(name, entry["editable"], editable=True)
    extras = f"[{','.join(entry['extras'])}]" if entry.get("extras") else ""
    marker = f" ; {entry['marker']}" if "marker" in entry else ""
    address = _address(entry)
    where = f" @ {address}" if address else entry.get("specifier", "")
    return _Requirement(name, f"{name}{extras}{where}{marker}")


def _address(entry: Mapping[str, Any]) -> str | None:
    """Where a requirement is taken from, if that is no registry; without the password of a URL."""
    from urllib.parse import parse_qs, quote

    path = entry.get("path") or entry.get("directory")
    if path is not None:
        return f"file://{quote(path)}"
    if "git" in entry:
        url, _, query = entry["git"].partition("?")
        said = {name: values[0] for name, values in parse_qs(query).items()}
        commit = next((f"@{said[name]}" for name in ("rev", "tag", "branch") if name in said), "")
        folder = said.get("subdirectory") or entry.get("subdirectory")
        return _without_password(f"git+{url}{commit}" + (f"#subdirectory={folder}" if folder else ""))
    return _without_password(entry["url"]) if "url" in entry else None


def _without_password(url: str) -> str:
    return re.sub(r"(https?://)[^/@]*@", r"\1", url)


def _normalized(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
