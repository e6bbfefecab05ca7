"""
`llmcli models`: what each provider offers, asked live and in parallel; a dead one costs one line on stderr. Layer 3.
"""

import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from math import isfinite
from typing import NamedTuple

from llmcli import registry
from llmcli.answer import Call, native_call, perform
from llmcli.commands import models_cache
from llmcli.commands.chosen import configured_ids
from llmcli.commands.model_rows import Row, as_lines, as_listing, legend, matching, near_names
from llmcli.commands.setup import Ready, brief_call, make_ready, read_config, ready_or_error
from llmcli.config import Config
from llmcli.deadlines import Deadlines
from llmcli.errors import AuthenticationFailed, ConfigurationError, LlmError, ProviderFailed, UnknownModel, UsageError
from llmcli.framing import parse_json
from llmcli.output import error_line, json_text, one_line
from llmcli.provider import HTTPProvider, NativeProvider, Provider
from llmcli.types import Model
from llmcli.world import World

_SECONDS = 15.0  # for one provider's list
_LONGEST = 10.0**6  # seconds: a week and more
_PAGES = 50  # more pages than any provider has
NO_LIST = (404, 405, 501)  # what a service answers that has no list of models
_AT_ONCE = 64  # providers that are asked at the same time


class Listing(NamedTuple):
    """
    The models of a provider. `source`: `live`, `configuration` (`models = [...]` of its table) or `built-in` (what its
    class knows). `note` is what a person should know of it.
    """

    provider: str
    models: Sequence[Model]
    source: str
    note: str | None = None

    def rows(self) -> list[Row]:
        """The models as they are printed as JSON."""
        return [{"provider": self.provider, **model._asdict(), "source": self.source} for model in self.models]


Answers = Mapping[str, Listing | LlmError]  # by the providers' ids


def run(
    names: Sequence[str], world: World, *, config: str | None, no_config: bool, search: str | None = None,
    cached: bool = False, timeout: float | None = None, form: str = "text",
) -> None:  # fmt: skip
    """
    List the models of the named providers, or of every one that can be asked, `timeout` seconds (15) for each; with
    `cached` those that are kept. What could be had is printed before the common error of those that failed is raised.
    """
    rows: list[Row] = []
    errors: list[LlmError] = []
    found = (
        _cached(names, world) if cached else _asked(names, world, config=config, no_config=no_config, timeout=timeout)
    )
    for each in found:
        if isinstance(each, LlmError):
            errors.append(each)
        else:
            rows += each
    shown = matching(rows, search)
    if search is not None and rows and not shown:
        world.note(f"none of {models_cache.count(len(rows))} has all words of {search!r} in its id or name")
    width = world.table_width()  # which nobody can tell once stdout is closed
    if rows or not errors:
        world.print(_rendered(shown, form, width))
    if form == "text" and width is not None and (mark := legend(shown)):
        world.note(mark)
    raise_common(errors, world)


def show(
    name: str, world: World, *, config: str | None, no_config: bool, timeout: float | None = None, as_json: bool
) -> None:
    """
    Show all that is known of one model: `provider/model`, an alias, or a provider's id for its default model.

    Raises `UnknownModel` when its provider does not list it.
    """
    settings = read_config(world, config, no_config=no_config)
    target = registry.resolve(name, None, settings)
    ready = _ready(target.provider, settings, world, _seconds(timeout), model=target.model)
    if isinstance(ready, LlmError):
        raise ready
    wanted = ready.model(target.model)
    listing = listing_of(ready, brief_call(ready, world, seconds=_seconds(timeout)))
    if listing.note:
        world.note(listing.note)
    unlisted = not listing.models and wanted == ready.provider.default_model  # where nothing lists, its name is known
    row = (
        Listing(listing.provider, [Model(wanted)], "configuration").rows()[0] if unlisted else _row_of(wanted, listing)
    )
    world.print(json_text(row) + "\n" if as_json else as_lines(row))


def _row_of(wanted: str, listing: Listing) -> Row:
    """The row of one model. What Ollama calls `name:latest` may be said without its tag."""
    rows = {row["id"]: row for row in listing.rows()}
    row = rows.get(wanted) or rows.get(f"{wanted}:latest") or rows.get(wanted.removeprefix("models/"))
    if row is None:
        near = near_names(wanted, list(rows))
        provider = listing.provider
        raise UnknownModel(
            f"{provider} lists no model {wanted!r}",
            hint=f"did you mean {', '.join(f'{provider}/{one_line(each)}' for each in near)}?"
            if near
            else f"`llmcli models list {provider}` lists them; a model that is not listed may be there all the same",
            provider=provider,
        )
    return row


def raise_common(errors: Sequence[LlmError], world: World) -> None:
    """Raise the error that stands for several, if there are any; each of several is said."""
    if len(errors) > 1:
        for error in errors:
            world.say(error_line(error))
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


# --- several providers ----------------------------------------------------------------------------


def _asked(
    names: Sequence[str], world: World, *, config: str | None, no_config: bool, timeout: float | None
) -> list[list[Row] | LlmError]:
    """What each provider says, and on stderr what should be known of it."""
    settings = read_config(world, config, no_config=no_config)
    answers = ask_all(names, settings, world, timeout)
    for each in answers.values():
        if isinstance(each, Listing) and each.note:
            world.note(each.note)
        elif isinstance(each, Listing) and not each.models and names:
            world.note(f"{each.provider} lists no models; {_naming(each.provider)}")
    return [each if isinstance(each, LlmError) else each.rows() for each in answers.values()]


def ask_all(names: Sequence[str], settings: Config, world: World, timeout: float | None) -> Answers:
    """
    Ask the named providers, or every one that is set up, all at once. What is wrong with one is its answer; one that
    nobody named and that only lacks its key has none.
    """
    seconds = _seconds(timeout)
    ids = list(dict.fromkeys(names)) or configured_ids(settings, world, seconds)
    # A plugin is made ready here, because what it may do when it is made is not possible in every thread.
    guests = {each: _ready(each, settings, world, seconds) for each in ids if registry.listed(each, settings).guest}

    def ask(provider_id: str) -> Listing | LlmError | None:
        started = time.monotonic()
        ready = guests.get(provider_id) or _ready(provider_id, settings, world, seconds)
        return _ask(provider_id, ready, world, seconds, started, named=bool(names))

    with ThreadPoolExecutor(max_workers=min(_AT_ONCE, max(1, len(ids)))) as pool:
        answers = zip(ids, pool.map(ask, ids), strict=True)
        return {provider_id: found for provider_id, found in answers if found is not None}


def _ask(
    provider_id: str, ready: Ready | LlmError, world: World, seconds: float, started: float, *, named: bool
) -> Listing | LlmError | None:
    if isinstance(ready, AuthenticationFailed) and not named:
        return None
    if isinstance(ready, LlmError):
        return ready
    try:
        return listing_of(ready, brief_call(ready, world, seconds=seconds)._replace(started=started))
    except LlmError as exc:
        exc.provider = exc.provider or provider_id
        return exc


def _ready(
    provider_id: str, settings: Config, world: World, seconds: float, *, model: str | None = None
) -> Ready | LlmError:
    """
    A provider that can be asked, or what is wrong with it; a command that prints its key has so many `seconds`. Not
    every list needs a key.
    """
    ready = ready_or_error(provider_id, settings, world, model=model, command_seconds=seconds)
    if not isinstance(ready, AuthenticationFailed):
        return ready
    try:
        keyless = make_ready(provider_id, settings, world, model=model, need_key=False, run_command=False)
        provider = keyless.provider
        asks = not isinstance(provider, HTTPProvider) or (provider.models_need_key and provider.models_request())
    except LlmError:
        return ready
    return ready if asks else keyless


def _cached(names: Sequence[str], world: World) -> list[list[Row] | LlmError]:
    """The lists that are kept, and on stderr how old each is."""
    found: list[list[Row] | LlmError] = []
    for provider_id in dict.fromkeys(names) if names else models_cache.kept_ids(world):
        try:
            kept = models_cache.kept(provider_id, world)
        except LlmError as exc:
            found.append(exc)
        else:
            world.note(f"{provider_id}: {kept}")
            found.append(kept.rows)
    return found


def _seconds(timeout: float | None) -> float:
    """The seconds that were said, where 0 is none; else those that are usual. Raises `UsageError` for what is none."""
    if timeout is not None and not isfinite(timeout):
        raise UsageError("--timeout should be a number of seconds", hint="0 means none")
    return _SECONDS if timeout is None else timeout or _LONGEST


# --- one provider ---------------------------------------------------------------------------------


def list_models(ready: Ready, call: Call) -> list[Model]:
    """The models of one provider: live, page by page, else the list that its configuration or class has."""
    return list(_listing(ready, call).models)


def listing_of(ready: Ready, call: Call) -> Listing:
    """
    The same with where they come from; and of a service that turns out to have no list, those of the configuration or
    of its class, if there are any.
    """
    provider_id = ready.provider.config.id
    try:
        return _listing(ready, call)
    except LlmError as exc:
        if exc.http_status not in NO_LIST:
            raise
        known = _known(ready.provider)
        if not known.models:
            exc.hint = f"check the base URL; where there is no list of models, {_naming(provider_id)}"
            raise
        named = "the configuration names" if known.source == "configuration" else "llmcli knows"
        return known._replace(note=f"{provider_id} has no list of models (HTTP {exc.http_status}): those that {named}")


def _naming(provider_id: str) -> str:
    return f"`models = [...]` under [providers.{provider_id}] would name them"


def _listing(ready: Ready, call: Call) -> Listing:
    provider = ready.provider
    known = _known(provider)
    if isinstance(provider, NativeProvider):
        native = native_call(provider, call, Deadlines(call.timeouts, started=call.started), stream=False)
        models, note = list(provider.models(native)), None
        if [model.id for model in models] == list(provider.known_models):  # which is what it says by default
            return known
    elif isinstance(provider, HTTPProvider):
        models, note = _pages(provider, call)
    else:
        raise ConfigurationError(f"{provider.config.id} is neither an HTTPProvider nor a NativeProvider")
    return Listing(provider.config.id, models, "live", note) if models else known


def _known(provider: Provider) -> Listing:
    """The models that are known without asking. None at all are what a service says that has none."""
    configured = provider.config.models
    names = configured or provider.known_models
    source = "configuration" if configured else "built-in" if names else "live"
    return Listing(provider.config.id, [Model(name) for name in names], source)


def _pages(provider: HTTPProvider, call: Call) -> tuple[list[Model], str | None]:
    """The models of all pages, each once, and what is to be said when they have no end."""
    found: dict[str, Model] = {}
    cursors: list[str | None] = [None]
    while len(cursors) <= _PAGES:
        request = provider.models_request(cursors[-1])
        if request is None:
            break
        text = perform(provider, request, call)
        if not text:
            raise ProviderFailed("the provider sent an empty answer")
        page = provider.read_models(parse_json(text))
        for model in page.models:
            found.setdefault(model.id, model)
        if page.next in cursors:  # None, or one that would lead in a circle
            break
        cursors.append(page.next)
    else:
        return list(found.values()), f"{provider.config.id}: only the first {_PAGES} pages of its models are listed"
    return list(found.values()), None


# --- what is printed ------------------------------------------------------------------------------


def _rendered(rows: Sequence[Row], form: str, width: int | None) -> str:
    if form == "json":
        return json_text(rows) + "\n"
    if form == "jsonl":
        return "".join(f"{json_text(row)}\n" for row in rows)
    return as_listing(rows, width=width)
