"""
Where keys come from, in what order, and how they travel. Layer 1: knows config, types, errors and the contract.

A key is bound to its provider: one of the configuration gets only the key that its own table (or a flag) names, or that
`providers login` keeps for it, never another's. The environment is passed in, never read here.
"""

import os
import re
import shlex
import stat
import subprocess
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from llmcli.config import ProviderSetup, is_there
from llmcli.errors import AuthenticationFailed, ConfigurationError, UsageError
from llmcli.provider import ApiKey

_LONGEST = 64 * 1024  # bytes of a key file; a key of a service account is some thousands
_COMMAND_SECONDS = 30
_KEYRING_SERVICE = "llmcli"
_FIRST_LINE = "of several lines `sh -c '... | head -n 1'` prints the first"
_NO_SHELL = "no shell runs it; `sh -c '...'` would"


class Secret(NamedTuple):
    """A key and where it came from, with the path if that is a file. Its repr never shows it."""

    value: str
    source: str
    path: str | None = None

    def __repr__(self) -> str:
        return f"Secret(***, {self.source!r})"


class Source(NamedTuple):
    """
    A place that a key may come from. `kind` is flag, environment, command, keyring or file; `name` the variable, the
    path, or the key of the configuration that says so. `present`: whether one is there; `None` where only taking it
    would tell.
    """

    kind: str
    name: str
    present: bool | None


# --- finding one ----------------------------------------------------------------------------------


def sources(
    setup: ProviderSetup, declared: ApiKey, cls_id: str, env: Mapping[str, str], directory: str | None,
    key_file: str | None = None,
) -> list[Source]:  # fmt: skip
    """Where a provider's key may come from, in the order that they are looked at; the first that has one is taken."""
    found = [] if key_file is None else [Source("flag", key_file, True)]
    for name in variables(setup, declared, cls_id):
        # One that is set and empty is a mistake where a key is needed, and none where it is not.
        found.append(Source("environment", name, name in env and (declared.required or bool(env[name].strip()))))
    if "command" in setup.api_key:
        found.append(Source("command", setup.api_key["command"], None))
    if setup.api_key.get("keyring"):
        found.append(Source("keyring", setup.config.id, None))
    if "file" in setup.api_key:
        found.append(Source("file", os.path.expanduser(setup.api_key["file"]), True))
    if directory is not None:
        path = kept_file(directory, setup.config.id)
        found.append(Source("file", path, is_there(path)))
    return found


def find_key(
    setup: ProviderSetup, declared: ApiKey, cls_id: str, env: Mapping[str, str], directory: str | None,
    key_file: str | None = None, seconds: float = _COMMAND_SECONDS,
) -> Secret | None:  # fmt: skip
    """
    The provider's key, from the first of its sources that has one; `None` when there is none and none is needed. A
    command that prints it may take so many `seconds`.

    Raises `AuthenticationFailed` naming the source, never the key.
    """
    for source in sources(setup, declared, cls_id, env, directory, key_file):
        if source.present is not False:
            return checked(_taken(source, env, setup.config.id, seconds), declared)
    if declared.required:
        names = variables(setup, declared, cls_id)
        missing = " or ".join(names) or f"api_key under [providers.{setup.config.id}]"
        where = f"get one at {declared.hint}" if declared.hint.startswith("http") else declared.hint
        login = f"`llmcli providers login {setup.config.id}` asks for it"
        raise AuthenticationFailed(
            f"no key for {setup.config.id}: {missing} is not set",
            hint=f"{where}; {login}" if where else login,
            provider=setup.config.id,
        )
    return None


def variables(setup: ProviderSetup, declared: ApiKey, cls_id: str) -> tuple[str, ...]:
    """The environment variables that may hold a provider's key: that of its table, else its ecosystem's."""
    if "env" in setup.api_key:
        return (setup.api_key["env"],)
    return declared.env if setup.config.id == cls_id else ()


def _taken(source: Source, env: Mapping[str, str], provider_id: str, seconds: float) -> Secret:
    match source.kind:
        case "flag":
            return Secret(read_key_file(source.name), f"--api-key-file {source.name}", source.name)
        case "environment":
            if not env[source.name].strip():
                raise AuthenticationFailed(f"{source.name} is set but empty", provider=provider_id)
            return Secret(env[source.name], source.name)
        case "command":
            return Secret(run_key_command(source.name, seconds), "api_key.command")
        case "keyring":
            return Secret(_from_keyring(source.name), "the keyring")
    return Secret(read_key_file(source.name), source.name, source.name)


def checked(secret: Secret, declared: ApiKey) -> Secret:
    """
    The key without blanks around it. A `user:password` that is encoded on its way may hold what a header may not.

    Raises `AuthenticationFailed` for what no header can hold.
    """
    value = secret.value.strip()
    if declared.scheme.lower() == "basic" and ":" in value and value.isprintable():
        return secret._replace(value=value)
    if not value:
        raise AuthenticationFailed(f"the key from {secret.source} is empty")
    if not re.fullmatch(r"[\x21-\x7e]+", value):
        hint = _FIRST_LINE if "command" in secret.source and "\n" in value else None
        raise AuthenticationFailed(
            f"the key from {secret.source} holds blanks, control or non-ASCII characters", hint=hint
        )
    return secret._replace(value=value)


# --- files and commands ---------------------------------------------------------------------------


def kept_file(directory: str, provider_id: str) -> str:
    """The file that `providers login` keeps a provider's key in."""
    return f"{directory}/keys/{provider_id}"


def key_file_is_loose(path: str) -> bool:
    """Whether others than its owner may read a key file."""
    try:
        return bool(stat.S_IMODE(os.stat(path).st_mode) & 0o077)
    except OSError:
        return False


def read_key_file(path: str) -> str:
    """What a key file holds. Raises `AuthenticationFailed` when it cannot be read."""
    try:
        with open(path, encoding="utf-8") as file:
            return file.read(_LONGEST)
    except (OSError, UnicodeDecodeError) as exc:
        reason = getattr(exc, "strerror", None) or "it is not UTF-8"
        raise AuthenticationFailed(f"cannot read the key file {path}: {reason}") from None


def run_key_command(command: str, seconds: float = _COMMAND_SECONDS) -> str:
    """What a key command prints; no shell runs it. Raises `AuthenticationFailed` when it fails."""
    if not command.strip():
        raise AuthenticationFailed("api_key.command is empty")
    try:
        done = subprocess.run(
            shlex.split(command), stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=seconds,
            check=False,
        )  # fmt: skip
    except ValueError:
        raise AuthenticationFailed("the key command has a quote without its other half", hint=_NO_SHELL) from None
    except (OSError, subprocess.TimeoutExpired) as exc:
        failed = f"the key command failed: {type(exc).__name__}: {command.split()[0]}"
        raise AuthenticationFailed(failed, hint=_NO_SHELL) from None
    if done.returncode != 0:
        said = f": {done.stderr.strip()[:200]}" if done.stderr.strip() else ""
        raise AuthenticationFailed(f"the key command exited with {done.returncode}{said}")
    return done.stdout


# --- the system's keyring -------------------------------------------------------------------------


def keep_in_keyring(provider_id: str, key: str) -> None:
    """Keep a key in the system's keyring. Raises `ConfigurationError` where there is none, or it refuses."""
    _with_keyring(lambda keyring: keyring.set_password(_KEYRING_SERVICE, provider_id, key))


def forget_in_keyring(provider_id: str) -> None:
    """Remove a key from the system's keyring, if it is there. Raises `ConfigurationError` where there is none."""

    def forget(keyring: Any) -> None:
        if keyring.get_password(_KEYRING_SERVICE, provider_id) is not None:
            keyring.delete_password(_KEYRING_SERVICE, provider_id)

    _with_keyring(forget)


def _from_keyring(provider_id: str) -> str:
    try:
        key: str | None = _with_keyring(lambda keyring: keyring.get_password(_KEYRING_SERVICE, provider_id))
    except ConfigurationError as exc:  # here it is the key that is missing
        raise AuthenticationFailed(exc.message, hint=exc.hint, provider=provider_id) from exc
    if key is None:
        raise AuthenticationFailed(
            f"the keyring holds no key for {provider_id}", hint=f"`llmcli providers login {provider_id} --keyring`"
        )
    return key


def _with_keyring(act: Callable[[Any], Any]) -> Any:
    """The library is imported only where a table says that a key is in the keyring: that takes longer than a start."""
    try:
        import keyring
    except ImportError:
        raise ConfigurationError(
            "the keyring needs the library `keyring`, which is not installed", hint="install llmcli[keyring]"
        ) from None
    try:
        return act(keyring)
    except Exception as exc:  # a stranger's code speaks to it
        raise ConfigurationError(f"the keyring does not answer: {exc or type(exc).__name__}") from exc


# --- on its way -----------------------------------------------------------------------------------


def safer_scheme(url: str) -> str | None:
    """The scheme that would hide what goes to a URL from those on the way; `None` where its own does."""
    return {"http": "https", "ws": "wss", "grpc": "grpcs"}.get(url.partition("://")[0])


def check_key_transport(url: str | None, secret: Secret | None, setup: ProviderSetup) -> None:
    """Refuse to send a key in the clear to anything but loopback and private addresses."""
    if secret is None or url is None or (safer := safer_scheme(url)) is None or setup.allow_http:
        return
    host = re.sub(r":\d+$", "", url.split("/")[2])
    if not _is_private(host.strip("[]")):
        raise UsageError(
            f"refusing to send the key of {setup.config.id} over plain {url.partition(':')[0]} to {host}",
            hint=f"use {safer}, or allow_http = true under [providers.{setup.config.id}]",
        )


def _is_private(host: str) -> bool:
    from ipaddress import ip_address

    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        address = ip_address(host)
    except ValueError:
        return False
    return (getattr(address, "ipv4_mapped", None) or address).is_private


def without_asking(setup: ProviderSetup) -> ProviderSetup:
    """The same without the sources that ask somebody: a command may want a finger on it, a keyring its password."""
    kept = {name: value for name, value in setup.api_key.items() if name not in ("command", "keyring")}
    return setup._replace(api_key=kept)
