"""
From names to a provider that can be called: what every command does first. Layer 3.
"""

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from llmcli import registry
from llmcli.answer import Call
from llmcli.config import (
    Config,
    ProviderSetup,
    Secret,
    check_key_transport,
    find_key,
    key_file_is_loose,
    load,
    provider_setup,
)
from llmcli.errors import UsageError
from llmcli.provider import HTTPProvider, Provider
from llmcli.retry import RetryPolicy
from llmcli.transport import Log, Transport, no_log
from llmcli.types import Timeouts
from llmcli.world import World

_SECRET_HEADER = re.compile(r"auth|key|token|secret|cookie", re.IGNORECASE)


class Ready(NamedTuple):
    """A provider, what the configuration says about it, and its key if it has one."""

    provider: Provider
    setup: ProviderSetup
    secret: Secret | None

    @property
    def url(self) -> str | None:
        """Where it is."""
        return self.provider.base_url if isinstance(self.provider, HTTPProvider) else self.setup.config.base_url


def read_config(world: World, file: str | None, *, no_config: bool) -> Config:
    """
    The configuration that the flags choose, with `LLMCLI_MODEL` for its default. `--no-config` reads no file, not even
    for keys.
    """
    if no_config:
        if file is not None:
            raise UsageError("--config and --no-config exclude one another")
        config = Config()
    else:
        config = load(world.directory, file or world.env.get("LLMCLI_CONFIG") or None)
    return config._replace(default=world.env.get("LLMCLI_MODEL") or config.default)


def make_ready(
    provider_id: str,
    config: Config,
    world: World,
    *,
    model: str | None = None,
    base_url: str | None = None,
    key_file: str | None = None,
    need_key: bool = True,
) -> Ready:
    """
    Load a provider's class, configure it and find its key.

    Raises `ConfigurationError`, `AuthenticationFailed` or `UsageError`. With `need_key=False` (a dry run) a missing
    key is no error.
    """
    cls = registry.load(provider_id, config)
    setup = provider_setup(config, provider_id, cls, world.env, model=model, base_url=base_url)
    provider = cls(setup.config)
    for name, value in setup.config.headers.items():
        if _SECRET_HEADER.search(name):
            world.redactor.add(value.rpartition(" ")[2])
    declared = _declared(cls, setup.api_key)
    provider.api_key = declared  # type: ignore[misc]  # the table may send the key into another header
    secret = find_key(
        setup,
        declared if need_key else declared._replace(required=False),
        cls.id,
        world.env,
        config.directory,
        key_file,
    )
    if secret is not None:
        world.redactor.add(secret.value)
        if secret.path is not None and key_file_is_loose(secret.path):
            world.note(f"warning: others can read the key file {secret.path}; `chmod 600 {secret.path}` mends that")
    ready = Ready(provider, setup, secret)
    check_key_transport(ready.url, secret, setup)
    return ready


def _declared(cls: type[Provider], table: Mapping[str, Any]) -> Any:
    changes = {name: table[name] for name in ("header", "scheme") if name in table}
    if "header" in changes and "scheme" not in changes:
        changes["scheme"] = ""
    if any(name in table for name in ("env", "command", "file")):
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
    return Transport(env=world.env, ca_bundle=ca_bundle or ready.setup.ca_bundle, proxy=ready.setup.proxy, log=log)


def brief_call(ready: Ready, world: World, *, seconds: float, transport: Transport | None = None) -> Call:
    """A call for a question that is no chat: no retries, and `seconds` for each phase and the whole."""
    import time

    timeouts = Timeouts(connect=min(seconds, 5.0), first=seconds, idle=seconds, total=seconds)
    return Call(
        transport or transport_for(ready, world),
        ready.secret.value if ready.secret else None,
        timeouts,
        RetryPolicy(retries=0),
        started=time.monotonic(),
        key_source=ready.secret.source if ready.secret else None,
    )
