"""
`llmcli models`: what each provider offers, asked live and in parallel; a dead one costs one line on stderr. Layer 3.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from llmcli import registry
from llmcli.answer import Call, native_call, perform
from llmcli.commands.setup import Ready, brief_call, read_config, ready_or_error
from llmcli.commands.table import as_table
from llmcli.config import Config
from llmcli.deadlines import Deadlines
from llmcli.errors import AuthenticationFailed, BrokenPlugin, ConfigurationError, LlmError, ProviderFailed
from llmcli.framing import parse_json
from llmcli.output import error_line, json_text
from llmcli.provider import HTTPProvider, NativeProvider
from llmcli.types import Model
from llmcli.world import World

_SECONDS = 15.0  # for one provider's list
_PAGES = 50  # more pages than any provider has


def run(
    names: Sequence[str], world: World, *, config: str | None, no_config: bool, search: str | None = None,
    cached: bool = False, timeout: float | None = None, form: str = "text",
) -> None:  # fmt: skip
    """
    List the models of the named providers, or of every one that has its key. Raises the common error of those that
    failed when all are alike, else `ProviderFailed`; what could be had is printed first.
    """
    settings = read_config(world, config, no_config=no_config)
    chosen = [ready_or_error(name, settings, world) for name in names] if names else _usable(settings, world)
    with ThreadPoolExecutor(max_workers=16) as pool:
        results = list(pool.map(lambda ready: _rows(ready, world), chosen))
    rows: list[dict[str, Any]] = []
    errors: list[LlmError] = []
    for ready, found in zip(chosen, results, strict=True):
        if names and found == [] and isinstance(ready, Ready):
            provider_id = ready.provider.config.id
            world.note(
                f"{provider_id} lists no models; `models = [...]` under [providers.{provider_id}] would name them"
            )
        if isinstance(found, LlmError):
            errors.append(found)
            if len(chosen) > 1:  # a single one is said at the end
                world.say(error_line(found))
        else:
            rows += found
    world.print(_rendered(rows, world, as_json=form == "json"))
    if errors:
        raise common_error(errors)


def common_error(errors: Sequence[LlmError]) -> LlmError:
    """The one error that stands for several: theirs if they share a status, else a `ProviderFailed`."""
    if len(errors) == 1:
        return errors[0]
    message = f"{len(errors)} providers failed"
    if len({error.status for error in errors}) == 1:
        return type(errors[0])(message)
    return ProviderFailed(message)


def _usable(config: Config, world: World) -> list[Ready | LlmError]:
    """
    Every provider that could answer: its key is there, or it is configured and needs none. What is wrong with a
    configured one is among them, unless it only lacks its key; a broken plugin that nobody configured is only said.
    """
    usable: list[Ready | LlmError] = []
    for listed in registry.every(config):
        configured = listed.id in config.providers
        if listed.problem and not configured:
            world.note(f"{listed.id}: {listed.problem}")
            continue
        found = ready_or_error(listed.id, config, world)
        if isinstance(found, LlmError):
            wanted = configured and not isinstance(found, AuthenticationFailed)
            if isinstance(found, BrokenPlugin) and not configured:
                world.note(found.message)
        else:
            native = isinstance(found.provider, NativeProvider) and not listed.guest
            wanted = configured or found.secret is not None or native
        if wanted:
            usable.append(found)
    return usable


def _rows(ready: Ready | LlmError, world: World) -> list[dict[str, Any]] | LlmError:
    """The models of a provider as they are listed, or what is wrong with it."""
    if isinstance(ready, LlmError):
        return ready
    provider_id = ready.provider.config.id
    try:
        models = list_models(ready, brief_call(ready, world, seconds=_SECONDS))
    except LlmError as exc:
        exc.provider = exc.provider or provider_id
        return exc
    return [{"provider": provider_id, **model._asdict()} for model in models]


def list_models(ready: Ready, call: Call) -> list[Model]:
    """The models of one provider: live, page by page, else the list that its class or configuration has."""
    provider = ready.provider
    if isinstance(provider, NativeProvider):
        return list(
            provider.models(native_call(provider, call, Deadlines(call.timeouts, started=call.started), stream=False))
        )
    if not isinstance(provider, HTTPProvider):
        raise ConfigurationError(f"{provider.config.id} is neither an HTTPProvider nor a NativeProvider")
    found: dict[str, Model] = {}
    cursor: str | None = None
    for _ in range(_PAGES):
        request = provider.models_request(cursor)
        if request is None:
            break
        page = provider.read_models(parse_json(perform(provider, request, call)))
        found |= {model.id: model for model in page.models}
        if page.next in (None, cursor):
            break
        cursor = page.next
    known = provider.config.models or provider.known_models
    return list(found.values()) or [Model(name) for name in known]


def _rendered(rows: Sequence[dict[str, Any]], world: World, *, as_json: bool) -> str:
    if as_json:
        return json_text(rows) + "\n"
    if not world.is_tty(world.stdout):
        return "".join(f"{row['provider']}/{row['id']}\n" for row in rows)
    shown = [{**row, "model": f"{row['provider']}/{row['id']}"} for row in rows]
    columns = ("model", "name", "context_length", "capabilities")
    return as_table(shown, columns, width=world.table_width(), spare=("capabilities", "name"))
