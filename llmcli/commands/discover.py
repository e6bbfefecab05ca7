"""
What would work although nothing is configured: keys in the environment, and model servers on this machine. Layer 3.

Nothing but loopback addresses is asked, all at once and for a moment only; the value of a key is never looked at.
"""

import shlex
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple
from urllib.parse import urlsplit

from llmcli import registry
from llmcli.config import Config, is_there, provider_setup
from llmcli.deadlines import Deadlines
from llmcli.errors import ConfigurationError, LlmError
from llmcli.framing import decode_body, parse_json
from llmcli.keys import kept_file
from llmcli.output import one_line
from llmcli.provider import HTTPProvider, Provider
from llmcli.transport import Transport, is_loopback
from llmcli.types import Timeouts
from llmcli.world import World

_SECONDS = 0.4  # for one server, which is on this machine
_TIMEOUTS = Timeouts(connect=0.3, first=_SECONDS, idle=_SECONDS, total=_SECONDS)

# Where servers are found besides the address that their class has.
_ALSO_AT: Mapping[str, tuple[str, ...]] = {"llamacpp": ("http://localhost:8080/v1",)}
# The servers that name themselves as the owner of their models, by the ids of their providers.
_OWNERS = ("llamacpp", "vllm")


class Found(NamedTuple):
    """
    A provider that could be used: why one thinks so, and the command that makes it the default. `works`: nothing else
    is needed, as far as can be told.
    """

    provider_id: str
    why: str
    command: str
    works: bool


class Looked(NamedTuple):
    """What was found, and in words what was looked for."""

    found: list[Found]
    looked_for: list[str]


def look_around(config: Config, world: World) -> Looked:
    """Look for model servers on this machine and for the keys of the providers that llmcli knows."""
    known = _known(config, world)
    places = _places(known)
    with ThreadPoolExecutor(max_workers=max(1, len(places))) as pool:
        servers = pool.map(lambda url: _server(url, places[url], known, world), places)
        seen = [each for each in servers if each is not None]
    seen += [each for provider in known.values() for each in _with_key(provider, config, world.env)]
    found: dict[str, Found] = {}
    for each in sorted(seen, key=lambda each: not each.works):
        found.setdefault(each.provider_id, each)
    ports = (f"{' or '.join(each.name for each in others)} {urlsplit(url).port}" for url, others in places.items())
    variables = sum(len(provider.api_key.env) for provider in known.values())
    return Looked(
        list(found.values()),
        [f"servers on this machine ({', '.join(ports)})", f"keys in {variables} environment variables"],
    )


def nothing_chosen(config: Config, world: World) -> ConfigurationError:
    """The error for a call that names no model where there is no default: what was looked for, and what mends it."""
    if set_up := _set_up(config, world):
        ids = ", ".join(provider.config.id for provider in set_up[:4])
        return ConfigurationError(
            f"no model is chosen and there is no default; set up: {ids}",
            hint=f"`{_use(set_up[0])}` makes one the default, -m {set_up[0].config.id} asks it this once",
        )
    looked = look_around(config, world)
    if not looked.found:
        return ConfigurationError(
            f"no model is chosen and nothing is configured; looked for {' and '.join(looked.looked_for)}",
            hint="`llmcli providers login openai` and `llmcli providers use openai` set one up; "
            '`llmcli chat -m echo "hi"` needs neither',
        )
    first, *others = looked.found
    login = "" if first.works else f"`llmcli providers login {first.provider_id}` and "
    rest = f"; so could {', '.join(each.provider_id for each in others[:3])}" if others else ""
    return ConfigurationError(
        f"no model is chosen and there is no default; {first.provider_id} could be it: {first.why}{rest}",
        hint=f'{login}`{first.command}` would make it so; `llmcli chat -m echo "hi"` needs nothing',
    )


def _set_up(config: Config, world: World) -> list[Provider]:
    """The providers that somebody has set up: with a table, or with a key that `providers login` keeps."""
    found = []
    for provider_id in dict.fromkeys([*registry.in_files(config), *_kept(config)]):
        try:
            found.append(_made(provider_id, config, world))
        except LlmError:  # which is said when it is used
            continue
    return found


def _kept(config: Config) -> list[str]:
    """The built-in providers whose key is kept."""
    if config.directory is None:
        return []
    return [each for each in registry.BUILT_IN if is_there(kept_file(config.directory, each))]


def _known(config: Config, world: World) -> dict[str, HTTPProvider]:
    """The built-in providers over HTTP, as the configuration has them."""
    known = {}
    for provider_id in registry.BUILT_IN:
        try:
            provider = _made(provider_id, config, world)
        except LlmError:  # which is said when it is used
            continue
        if isinstance(provider, HTTPProvider):
            known[provider_id] = provider
    return known


def _made(provider_id: str, config: Config, world: World) -> Provider:
    cls = registry.load(provider_id, config, world.env, world.fence_stdout)
    return cls(provider_setup(config, provider_id, cls, world.env).config)


# --- the environment ------------------------------------------------------------------------------


def _with_key(provider: HTTPProvider, config: Config, env: Mapping[str, str]) -> Iterator[Found]:
    """A provider whose key is in the environment or kept, or whose address on another machine a variable holds."""
    provider_id = provider.config.id
    use = _use(provider)
    for name in provider.api_key.env:
        if env.get(name, "").strip():
            yield Found(provider_id, f"{name} is set", use, works=True)
            return
    if config.directory is not None and is_there(kept_file(config.directory, provider_id)):
        yield Found(provider_id, "its key is kept", use, works=True)
        return
    for name in provider.base_url_env:
        away = provider.base_url and not is_loopback(urlsplit(provider.base_url).hostname or "")
        if env.get(name, "").strip() and away and not provider.api_key.required:
            yield Found(provider_id, f"{name} says where it is, on another machine", use, works=True)
            return


def _use(provider: Provider) -> str:
    return f"llmcli providers use {provider.config.id}" + ("" if provider.default_model else "/MODEL")


# --- this machine ---------------------------------------------------------------------------------


def _places(known: Mapping[str, HTTPProvider]) -> dict[str, list[HTTPProvider]]:
    """The addresses on this machine, and who may be there."""
    places: dict[str, list[HTTPProvider]] = {}
    for provider_id, provider in known.items():
        for url in filter(None, (provider.base_url, *_ALSO_AT.get(provider_id, ()))):
            if is_loopback(urlsplit(url).hostname or "") and provider.models_request() is not None:
                places.setdefault(url, []).append(provider)
    return places


def _server(
    url: str, providers: Sequence[HTTPProvider], known: Mapping[str, HTTPProvider], world: World
) -> Found | None:
    """Who answers at an address, if it is one of those that may be there, or one that says who it is."""
    where = one_line(urlsplit(url).netloc)
    try:
        status, document = _ask(url, providers[0], world)
        if status in (401, 403) and isinstance(document, dict) and len(providers) == 1:
            return _locked(providers[0], where)
        rows = _rows(document) if status == 200 else None
        if rows is None:
            return None
        provider = known.get(_owner(rows), providers[-1])
        models = [model.id for model in provider.read_models(document).models]
    except LlmError:  # no model server
        return None
    if not models:
        return None
    count = "one model" if len(models) == 1 else f"{len(models)} models"
    provider_id = provider.config.id
    return Found(provider_id, f"it answers at {where}, with {count}", _command(provider, models[0], url), works=True)


def _ask(url: str, provider: HTTPProvider, world: World) -> tuple[int, object]:
    """Ask for the models: the status and the document. Raises an `LlmError` where no JSON comes in time."""
    request = provider.models_request()
    if request is None or provider.base_url is None:
        return 404, None
    request = request._replace(url=url + request.url.removeprefix(provider.base_url))
    deadlines = Deadlines(_TIMEOUTS, started=time.monotonic())
    with Transport(env=world.env).send(request, deadlines) as answer:
        return answer.status, parse_json(decode_body(answer.read()))


def _locked(provider: HTTPProvider, where: str) -> Found:
    """A model server that wants a key says so as an API does; a web server with a password does not."""
    provider_id = provider.config.id
    use = _use(provider)
    return Found(provider_id, f"it answers at {where}, and wants a key", use, works=False)


def _rows(document: object) -> list[object] | None:
    """The entries of a list of models; `None` for a document that is no such list."""
    if isinstance(document, dict):
        document = document.get("data", document.get("models"))
    return document if isinstance(document, list) else None


def _owner(rows: Sequence[object]) -> str:
    """The server that the entries name as the owner of a model, where it is one that does."""
    owners = (row.get("owned_by") for row in rows if isinstance(row, dict))
    return next((owner for owner in owners if owner in _OWNERS), "")


def _command(provider: HTTPProvider, model: str, url: str) -> str:
    """What makes a model of a server the default; one at an address of its own needs a table first."""
    provider_id, model = provider.config.id, one_line(model)
    if provider.base_url == url:
        return f"llmcli providers use {shlex.quote(f'{provider_id}/{model}')}"
    return (
        f"llmcli providers add {provider_id} --base-url {shlex.quote(url)} --default-model {shlex.quote(model)}"
        f" && llmcli providers use {provider_id}"
    )
