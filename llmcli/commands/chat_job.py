"""
From what was typed to a provider that is ready to be asked: the model that was named, or one of `--fallback`. Layer 3.
"""

from typing import TYPE_CHECKING, NamedTuple

from llmcli import registry
from llmcli.answer import streams
from llmcli.commands.chat_arguments import Arguments, options_of, thinking_of
from llmcli.commands.setup import Ready, make_ready
from llmcli.config import Config
from llmcli.errors import ConfigurationError, LlmError, UsageError
from llmcli.provider import HTTPProvider, Provider
from llmcli.types import (
    Attachment,
    ChatRequest,
    Message,
    Text,
    Tool,
    message,
)
from llmcli.world import World

if TYPE_CHECKING:
    from llmcli.commands.tool_use import Chosen
    from llmcli.schemas import Wanted, Way


FALLBACK_STATUSES = frozenset({4, 6, 7, 8, 9})  # of errors that another provider may not have


class Tools(NamedTuple):
    """What the model may ask for. Without `chosen` nothing is run: its calls are only told of."""

    offered: tuple[Tool, ...]
    chosen: "Chosen | None" = None


class Wish(NamedTuple):
    """What is asked for besides an answer, of whichever provider."""

    tools: Tools | None = None
    schema: "Wanted | None" = None


class Job(NamedTuple):
    """
    One target, ready to be asked; the messages of its request are filled in when they have been read. `style` is how
    tools are told by text, where they are, and `stops` whether the service can be told where to stop. `way` is how the
    schema is asked for. `refused` is what its service has refused to be sent, once it has been asked.
    """

    ready: Ready
    request: ChatRequest
    tools: Tools | None = None
    style: str | None = None
    stops: bool = False
    schema: "Wanted | None" = None
    way: "Way" = "prompt"
    refused: set[str] | None = None

    @property
    def name(self) -> str:
        return f"{self.ready.provider.config.id}/{self.request.model}"


def tools_of(arguments: Arguments, form: str, config: Config, world: World) -> Tools | None:
    """The tools that the call names. What nothing allows to run is refused before anything is sent."""
    if not (arguments.tool or arguments.tool_defs):
        return None
    from llmcli.commands import tool_use

    if arguments.tool_defs:
        if arguments.tool or arguments.yes or arguments.allow_tool:
            raise UsageError("--tool-defs runs nothing, and so excludes --tool, --yes and --allow-tool")
        if form not in ("json", "jsonl"):
            raise UsageError("--tool-defs needs --json or --jsonl, which show what the model asks for")
        return Tools(tool_use.defined(arguments.tool_defs, arguments.tool_choice))
    chosen = tool_use.choose(
        arguments.tool, config, world, choice=arguments.tool_choice, yes=arguments.yes, allowed=arguments.allow_tool,
        runs=not (arguments.dry_run or arguments.curl),
        ends=world.started + arguments.timeout if arguments.timeout else None,
    )  # fmt: skip
    return Tools(tuple(each.tool for each in chosen.toolbox.values()), chosen)


def first_job(targets: list[registry.Target], arguments: Arguments, wish: Wish, config: Config, world: World) -> Job:
    """
    The model that was asked for, or the first of `--fallback` that can be had where it cannot. `targets` is left with
    those that have not been tried.
    """
    target = targets.pop(0)
    try:
        return prepare(arguments, target, wish, config, world, first=True)
    except LlmError as exc:
        if not targets or exc.status not in FALLBACK_STATUSES:
            raise
        world.note(f"{target.provider}: {exc.message}")
        job = next_job(targets, arguments, wish, config, world)
        if job is None:
            raise
        return job


def next_job(
    targets: list[registry.Target], arguments: Arguments, wish: Wish, config: Config, world: World
) -> Job | None:
    """The next fallback that can be asked; what is wrong with one that cannot is said."""
    while targets:
        target = targets.pop(0)
        try:
            job = prepare(arguments, target, wish, config, world, first=False)
        except LlmError as exc:
            world.note(f"{target.provider}: {exc.message}")
        else:
            world.note(f"asking {job.name}")
            return job
    return None


def prepare(
    arguments: Arguments, target: registry.Target, wish: Wish, config: Config, world: World, *, first: bool
) -> Job:
    """Check everything that can be checked before anything is read or sent."""
    ready = make_ready(
        target.provider,
        config,
        world,
        model=target.model,
        base_url=arguments.base_url if first else None,
        key_file=arguments.api_key_file if first else None,
        need_key=not (arguments.dry_run or arguments.curl),
    )
    provider, model = ready.provider, ready.model(target.model)
    if isinstance(provider, HTTPProvider):
        provider.url("")
    request = ChatRequest(
        model=model,
        messages=(message("user", "..."),),  # the real ones are read when all else is known to be right
        max_tokens=arguments.max_tokens,
        temperature=arguments.temperature,
        top_p=arguments.top_p,
        stop=tuple(arguments.stop),
        seed=arguments.seed,
        options=options_of(arguments.option),
        tools=wish.tools.offered if wish.tools else (),
        tool_choice=arguments.tool_choice,
        thinking=thinking_of(arguments.thinking),
        complete=arguments.complete,
    )
    style = _style(ready, world) if wish.tools else None
    job = Job(ready, request, wish.tools, style, schema=wish.schema, refused=set())
    if wish.schema is not None:
        from llmcli import schemas

        way = schemas.way_of(provider, ready.setup.schema)
        if job.style is not None:  # a service that enforces a form keeps the model from calling tools by text
            way = "prompt"
        job = job._replace(way=way, schema=schemas.as_asked(wish.schema, way))
    if job.style is not None:
        job = job._replace(stops=_takes(provider, as_sent(job._replace(stops=True), request), arguments.stream))
    provider.check(as_sent(job, request))
    if arguments.attach:
        pictured = Message("user", (Text("..."), Attachment("image/png")))
        provider.check(request._replace(messages=(pictured,)))
    streams(provider, arguments.stream)
    return _with_settings(job)


def _style(ready: Ready, world: World) -> str | None:
    """How the model is told of tools by text; `None` where its API has them."""
    wanted = ready.setup.tools
    if wanted is None and not ready.provider.capabilities.tools:
        world.note(f"{ready.provider.config.id} has no tools; the model is told of them by text")
        return "text"
    return None if wanted in (None, "native") else wanted


def _takes(provider: Provider, request: ChatRequest, wanted: bool | None) -> bool:
    """Whether a provider can be asked this, with the answer in pieces or whole as it will be."""
    try:
        provider.check(request)
        if isinstance(provider, HTTPProvider):
            provider.chat_request(request, stream=streams(provider, wanted))
    except LlmError:
        return False
    return True


def as_sent(job: Job, request: ChatRequest) -> ChatRequest:
    """The request as the provider is asked: with tools by text where it has none, and with the schema."""
    if job.schema is not None:
        from llmcli import schemas

        request = schemas.asking(request, job.schema, job.way)
        if request.schema is not None and job.ready.setup.schema is not None:
            request = request._replace(schema=request.schema._replace(firm=True))
    if job.style is None:
        return request
    from llmcli import text_tools

    by_text = text_tools.told(request, job.style)
    return text_tools.with_stops(by_text, job.style) if job.stops else by_text


def _with_settings(job: Job) -> Job:
    """The job with what the configuration says about what the call left open."""
    ready, request = job.ready, job.request
    settings = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in ready.setup.config.settings.items()
        if getattr(request, name) in (None, ())
    }
    options = {**ready.setup.config.options, **request.options}
    merged = request._replace(options=options, **settings)  # type: ignore[arg-type]  # config.SETTING_KEYS holds the types
    try:
        ready.provider.check(as_sent(job, merged))
    except UsageError as exc:  # nobody gave it on the command line
        where = f"{ready.setup.path}: providers.{ready.setup.config.id}"
        raise ConfigurationError(f"{where}: {exc.message}", hint=exc.hint) from exc
    return job._replace(request=merged)
