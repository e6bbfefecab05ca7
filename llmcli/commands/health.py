"""
`llmcli health`: is each provider there, does it take the key, how long did it need. Layer 3.
"""

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from llmcli import registry
from llmcli.answer import native_call, perform
from llmcli.commands.models import common_error, list_models
from llmcli.commands.setup import Ready, brief_call, make_ready, read_config
from llmcli.commands.table import as_table
from llmcli.config import Config
from llmcli.deadlines import Deadlines
from llmcli.errors import BrokenPlugin, ConfigurationError, LlmError
from llmcli.output import json_text
from llmcli.provider import HTTPProvider, NativeProvider
from llmcli.transport import Log
from llmcli.types import HttpRequest
from llmcli.world import World

_SECONDS = 10.0  # for one provider


def run(
    names: Sequence[str], world: World, *, config: str | None, no_config: bool, chat: bool = False,
    timeout: float | None = None, color: str = "auto", as_json: bool,
) -> None:  # fmt: skip
    """
    Check the named providers, or every one that has its key or a table of its own.

    Raises nothing when all are well; else their common error, or `ProviderFailed` when they differ.
    """
    settings = read_config(world, config, no_config=no_config)
    chosen = list(names) or _configured(settings, world)
    with ThreadPoolExecutor(max_workers=16) as pool:
        results = list(pool.map(lambda name: _check(name, settings, world), chosen))
    rows = [row for row, _ in results]
    if as_json:
        text = json_text(rows) + "\n"
    else:
        columns = ("id", "ok", "reachable", "key_accepted", "seconds")
        text = as_table(rows, columns, width=world.table_width(), spare=("seconds", "reachable"))
    world.print(text)
    errors = [error for _, error in results if error is not None]
    if errors:
        raise common_error(errors)


def _configured(config: Config, world: World) -> list[str]:
    chosen = []
    for listed in registry.every(config):
        if listed.id in config.providers:
            chosen.append(listed.id)
            continue
        if listed.problem:
            world.note(f"{listed.id}: {listed.problem}")
            continue
        try:
            ready = make_ready(listed.id, config, world, need_key=False)
        except BrokenPlugin as exc:
            world.note(exc.message)
            continue
        except LlmError:
            continue
        if ready.secret or (isinstance(ready.provider, NativeProvider) and not listed.guest):
            chosen.append(listed.id)
    return chosen


def _check(name: str, config: Config, world: World) -> tuple[dict[str, Any], LlmError | None]:
    started = time.monotonic()
    error: LlmError | None = None
    accepted: bool | None = None
    answered = _Answered()
    try:
        accepted = _ask(make_ready(name, config, world), world, answered)
    except LlmError as exc:
        exc.provider = exc.provider or name
        error = exc
        accepted = False if exc.status == 4 else None
    row: dict[str, Any] = {
        "id": name,
        "ok": error is None,
        "reachable": error is None or answered.once,
        "key_accepted": accepted,
        "seconds": round(time.monotonic() - started, 3),
    }
    if error is not None:
        row |= {"problem": error.message, "code": error.status, "name": error.name}
    return row, error


class _Answered:
    """
    A log that notices whether the server gave any answer, in HTTP or (`status`) in the protocol of a native provider. A
    proxy's refusal is not the server's.
    """

    def __init__(self) -> None:
        self.once = False

    def __call__(self, event: str, /, **fields: object) -> None:
        self.once = self.once or event == "status" or (event == "response" and fields["status"] != 407)


def _ask(ready: Ready, world: World, log: Log) -> bool | None:
    """
    Ask the cheapest question that needs the key, the list of models. Returns whether the key was taken; `None` where
    no question but a chat would tell.
    """
    provider = ready.provider
    call = brief_call(ready, world, seconds=_SECONDS, log=log)
    if isinstance(provider, NativeProvider):
        provider.health_check(native_call(provider, call, Deadlines(call.timeouts, started=call.started), stream=False))
        return None
    if not isinstance(provider, HTTPProvider):
        raise ConfigurationError(f"{provider.config.id} is neither an HTTPProvider nor a NativeProvider")
    asked = provider.health_request()
    if asked is not None:
        provider.read_health(perform(provider, asked, call))
        return None
    if provider.models_request() is not None:
        list_models(ready, call)
        return True if provider.models_need_key else None
    with call.transport.send(HttpRequest("GET", provider.url("/")), Deadlines(call.timeouts, started=call.started)):
        return None
