"""
From names to a provider that can be called: what every command does first. Layer 3.
"""

import re
import time
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from llmcli import registry
from llmcli.answer import Call
from llmcli.config import Config, ProviderSetup, load, provider_setup
from llmcli.errors import ConfigurationError, LlmError, UsageError
from llmcli.keys import (
    Secret,
    check_key_transport,
    checked,
    find_key,
    key_file_is_loose,
    safer_scheme,
    without_asking,
)
from llmcli.provider import ApiKey, HTTPProvider, Provider
from llmcli.retry import RetryPolicy
from llmcli.transport import Log, Transport, no_log, proxy_for
from llmcli.types import Timeouts
from llmcli.world import World

_SECRET_HEADER = re.compile(r"auth|key|token|secret|cookie", re.IGNORECASE)
_SCHEMES = frozenset({"apikey", "basic", "bearer", "digest", "negotiate", "token"})  # words, and no secrets


class Ready(NamedTuple):
    """A provider, what the configuration says about it, and its key if it has one."""

    provider: Provider
    setup: ProviderSetup
    secret: Secret | None

    @property
    def url(self) -> str | None:
        """Where it is."""
        return self.provider.base_url if isinstance(self.provider, HTTPProvider) else self.setup.config.base_url

    def model(self, said: str | None) -> str:
        """The model that is said, else the provider's default. Raises `ConfigurationError` where there is neither."""
        model = said or self.provider.default_model
        if model is None:
            provider_id = self.provider.config.id
            raise ConfigurationError(
                f"{provider_id} has no default model",
                hint=f"say {provider_id}/MODEL; `llmcli models list {provider_id}` lists them",
            )
        return model


def read_config(world: World, file: str | None, *, no_config: bool, lenient: bool = False) -> Config:
    """
    The configuration that the flags choose, with `LLMCLI_MODEL` for its default. `--no-config` reads no file, not even
    for keys. With `lenient` a corrupt file is left out; `Config.problems` tells of it.
    """
    if no_config:
        if file is not None:
            raise UsageError("--config and --no-config exclude one another")
        config = Config()
    else:
        config = load(world.directory, file or world.env.get("LLMCLI_CONFIG") or None, lenient=lenient)
    return config._replace(default=world.env.get("LLMCLI_MODEL") or config.default)


def make_ready(
    provider_id: str,
    config: Config,
    world: World,
    *,
    model: str | None = None,
    base_url: str | None = None,
    key_file: str | None = None,
    key: Secret | None = None,
    need_key: bool = True,
    run_command: bool = True,
    command_seconds: float = 30.0,
) -> Ready:
    """
    Load a provider's class, configure it and find its key, unless that is given.

    Raises `ConfigurationError`, `AuthenticationFailed` or `UsageError`. With `need_key=False` (a dry run) a missing
    key is no error; with `run_command=False` (a list) the key that a command would print is a missing one; else it has
    `command_seconds` for that.
    """
    cls = registry.load(provider_id, config, world.env, world.fence_stdout)
    setup = provider_setup(config, provider_id, cls, world.env, model=model, base_url=base_url)
    provider = cls(setup.config)
    declared = declared_key(cls, setup.api_key)
    provider.api_key = declared  # the table may send the key into another header
    headers = _secret_headers(setup)
    _hide_headers(declared, headers, world)
    if key is not None:
        secret: Secret | None = checked(key, declared)
    else:
        asked = setup if run_command else without_asking(setup)
        wanted = declared if need_key else declared._replace(required=False)
        secret = find_key(asked, wanted, cls.id, world.env, config.directory, key_file, command_seconds)
    if secret is not None:
        _hide(secret, declared, world)
    ready = Ready(provider, setup, secret)
    for name, value in headers.items():
        _check_way(ready, Secret(value, f"headers.{name}"), world)
    if secret is not None:
        _check_way(ready, secret, world)
    return ready


def _hide_headers(place: ApiKey, headers: Mapping[str, str], world: World) -> None:
    """Have the header of the key, and those of the configuration that hold secrets, redacted."""
    for name in (place.header, *headers):
        world.redactor.add_header(name)
    for part in (part for value in headers.values() for part in _secret_parts(value)):
        world.redactor.add(part)


def _hide(secret: Secret, place: ApiKey, world: World) -> None:
    """Have the key redacted, wherever it goes, and say where others may see it."""
    world.redactor.add(secret.value)
    if secret.path is not None and key_file_is_loose(secret.path):
        world.note(f"warning: others can read the key file {secret.path}; `chmod 600 {secret.path}` mends that")
    if place.query:
        world.redactor.add_parameter(place.query)
        world.note(f"warning: the key goes into the URL (`{place.query}=`), where servers and proxies may log it")
    if place.scheme.lower() == "basic":
        world.redactor.add(secret.value.partition(":")[2])  # the password alone


def ready_or_error(
    provider_id: str, config: Config, world: World, *, model: str | None = None, command_seconds: float = 30.0
) -> Ready | LlmError:
    """The same, for a command that goes on with other providers: the error is returned, and names the provider."""
    try:
        return make_ready(provider_id, config, world, model=model, command_seconds=command_seconds)
    except LlmError as exc:
        exc.provider = exc.provider or provider_id
        return exc


def _secret_headers(setup: ProviderSetup) -> dict[str, str]:
    """The configured headers whose names say that they hold a secret, or whose values come from the environment."""
    return {
        name: value
        for name, value in setup.config.headers.items()
        if name in setup.from_environment or _SECRET_HEADER.search(name)
    }


def _secret_parts(value: str) -> Iterator[str]:
    """
    What of a header's value may turn up by itself: each word but that of the scheme, and of `name=value` the value.
    """
    for part in re.split(r"[\s;,]+", value):
        if part.lower() not in _SCHEMES:
            yield part
            yield part.partition("=")[2]


def _check_way(ready: Ready, secret: Secret, world: World) -> None:
    """Refuse to send a secret in the clear: over plain http to a public address, or to a proxy."""
    check_key_transport(ready.url, secret, ready.setup)
    if ready.url is None or (safer := safer_scheme(ready.url)) is None or ready.setup.allow_http:
        return
    proxy = proxy_for(ready.url, world.env, ready.setup.proxy)
    if proxy is not None:
        host = ready.url.split("/")[2]
        own = f"providers.{ready.provider.config.id}"
        direct = f"NO_PROXY={host}" if ready.setup.proxy is None else f'proxy = "" under [{own}]'
        raise UsageError(
            f"refusing to send the key of {ready.provider.config.id} in the clear to {proxy.label}",
            hint=f"use {safer}, or {direct} to ask {host} directly",
        )


def declared_key(cls: type[Provider], table: Mapping[str, Any]) -> ApiKey:
    """How a provider takes its key, with what its `api_key` table says of that."""
    changes: dict[str, Any] = {name: table[name] for name in ("header", "scheme", "query") if name in table}
    if "header" in changes and "scheme" not in changes:
        changes["scheme"] = ""
    if any(name in table for name in ("env", "command", "keyring", "file")):
        changes["required"] = True
    return cls.api_key._replace(**changes)


def transport_for(ready: Ready, world: World, *, ca_bundle: str | None = None, log: Log = no_log) -> Transport:
    """The transport for one provider: its proxy and its certificates, or those of the flag and the environment."""
    names = ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")
    for url in (ready.setup.proxy or "", *(world.env.get(name, "") for name in names)):
        password = url.rpartition("@")[0].rpartition("//")[2].partition(":")[2]
        if password:
            from urllib.parse import unquote

            world.redactor.add(password)
            world.redactor.add(unquote(password))
    bundle = ca_bundle or world.env.get("LLMCLI_CA_BUNDLE") or ready.setup.ca_bundle
    return Transport(env=world.env, ca_bundle=bundle, proxy=ready.setup.proxy, log=log)


def brief_call(ready: Ready, world: World, *, seconds: float, log: Log = no_log) -> Call:
    """
    A call for a question that is no chat: no retries, and `seconds` for each phase and the whole, or less to connect
    where the configuration says less.
    """
    connect = min(seconds, ready.setup.timeouts.connect or seconds)
    timeouts = Timeouts(connect=connect, first=seconds, idle=seconds, total=seconds)
    return Call(
        transport_for(ready, world, log=log),
        ready.secret.value if ready.secret else None,
        timeouts,
        RetryPolicy(retries=0),
        started=time.monotonic(),
        log=log,
        key_source=ready.secret.source if ready.secret else None,
    )
