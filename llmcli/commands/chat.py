"""
`llmcli chat`: one prompt, from the shell to the last token. Layer 3: wires the layers below together.
"""

import gc
import json
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import ExitStack, closing
from functools import partial
from math import isfinite
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias, TypeVar

from llmcli import registry, signals
from llmcli.answer import Call, Fold, answer, streams
from llmcli.commands import progress
from llmcli.commands.prompt import Frame, as_text, read_prompt, read_stdin
from llmcli.commands.setup import Ready, make_ready, read_config, transport_for
from llmcli.commands.show_request import show_request
from llmcli.config import Config, with_times
from llmcli.errors import ConfigurationError, FinishedEarly, LlmError, UsageError
from llmcli.output import FORMATS, Look, OutputFile, Place, Sink, Stdout, extract, json_text, one_line
from llmcli.provider import HTTPProvider, Provider
from llmcli.retry import RetryPolicy
from llmcli.transport import Log, no_log
from llmcli.types import (
    Attachment,
    ChatRequest,
    Event,
    Finish,
    Json,
    Message,
    Reply,
    Text,
    Timeouts,
    Tool,
    ToolCall,
    message,
)
from llmcli.world import World

if TYPE_CHECKING:
    from llmcli.commands.attach import Attached
    from llmcli.commands.heard import Heard
    from llmcli.commands.kept_session import Kept
    from llmcli.commands.tool_use import Chosen
    from llmcli.prompt_templates import Template
    from llmcli.schemas import Wanted, Way
    from llmcli.turns import Turn

_E = TypeVar("_E")
Asked: TypeAlias = Generator[Any, None, Any]  # of events, and with tools of rounds
Messages: TypeAlias = tuple[Message, ...]
_Ask: TypeAlias = Callable[[Messages], Asked]

_FALLBACK_STATUSES = frozenset({4, 6, 7, 8, 9})


class Arguments(NamedTuple):
    """What was typed; `None` is "not said". The names are those of the command line."""

    prompt: Sequence[str]
    model: str | None
    provider: str | None
    base_url: str | None
    api_key_file: str | None
    system: str | None
    file: Sequence[str]
    temperature: float | None
    max_tokens: int | None
    top_p: float | None
    stop: Sequence[str]
    seed: int | None
    option: Sequence[str]
    stream: bool | None
    format: str | None
    json: bool
    jsonl: bool
    raw: bool
    show_thinking: bool | None
    extract: bool
    output: str | None
    usage: bool
    no_stdin: bool
    timeout: float | None
    connect_timeout: float | None
    first_timeout: float | None
    idle_timeout: float | None
    retries: int | None
    retry_max_wait: float | None
    strict: bool | None
    fallback: Sequence[str]
    dry_run: bool
    curl: bool
    config: str | None
    no_config: bool
    ca_bundle: str | None
    verbose: bool
    log_file: str | None
    debug: bool
    quiet: bool
    color: str | None
    tool: Sequence[str]
    tool_defs: str | None
    tool_choice: str | None
    max_tool_rounds: int
    yes: bool
    allow_tool: Sequence[str]
    schema: str | None
    schema_multi: bool
    schema_retries: int
    attach: Sequence[str]
    attach_private: bool
    template: str | None
    var: Sequence[str]
    thinking: str | None
    complete: bool
    session: str | None
    continue_: bool


def run(arguments: Arguments, world: World) -> None:
    """Ask, and write the answer to stdout or the output file. Raises an `LlmError` for everything that goes wrong."""
    _check_times(arguments)
    config = read_config(world, arguments.config, no_config=arguments.no_config)
    template = _template(arguments, world)
    arguments = _with_defaults(_with_template(arguments, template) if template else arguments, config)
    schema = _schema(arguments, template)
    _check_bare(arguments, schema)
    form = _format(arguments, world, plain=schema is not None)
    world.json_errors = form in ("json", "jsonl")
    log = progress.open_log(world, verbose=arguments.verbose, path=arguments.log_file) or no_log
    kept = _session(arguments, world)
    if kept and arguments.model is None and arguments.provider is None:
        arguments = arguments._replace(model=kept.model)
    if arguments.model is None and arguments.provider is None and config.default is None:
        from llmcli.commands import discover

        raise discover.nothing_chosen(config, world)
    wish = _Wish(_tools(arguments, form, config, world), schema)
    targets = [registry.resolve(arguments.model, arguments.provider, config)]
    targets += [registry.resolve(name, None, config) for name in arguments.fallback]
    job = _first_job(targets, arguments, wish, config, world)
    if _is_conversation(arguments, form, world):
        _converse(_Talk(job, arguments, wish, config, form, world, log), kept, arguments, world)
        return
    question = _question(arguments, template, job.ready, world, log)
    if kept is not None:
        question = _in_session(question, kept)
    if arguments.dry_run or arguments.curl:
        request = _said(
            job, job.request._replace(messages=question.to(job.ready.provider, tools=job.tools is not None))
        )
        stream = streams(job.ready.provider, arguments.stream)
        show_request(job.ready, request, world, stream=stream, curl=arguments.curl, key_file=arguments.api_key_file,
                     ca_bundle=arguments.ca_bundle)  # fmt: skip
        return
    another = partial(_next_job, targets, arguments, wish, config, world)
    _ask_in_turn(job, another, question, arguments, form, world, log)


class _Tools(NamedTuple):
    """What the model may ask for. Without `chosen` nothing is run: its calls are only told of."""

    offered: tuple[Tool, ...]
    chosen: "Chosen | None" = None


class _Wish(NamedTuple):
    """What is asked for besides an answer, of whichever provider."""

    tools: _Tools | None = None
    schema: "Wanted | None" = None


class _Job(NamedTuple):
    """
    One target, ready to be asked; the messages of its request are filled in when they have been read. `style` is how
    tools are told by text, where they are, and `stops` whether the service can be told where to stop. `way` is how the
    schema is asked for.
    """

    ready: Ready
    request: ChatRequest
    tools: _Tools | None = None
    style: str | None = None
    stops: bool = False
    schema: "Wanted | None" = None
    way: "Way" = "prompt"

    @property
    def name(self) -> str:
        return f"{self.ready.provider.config.id}/{self.request.model}"


def _tools(arguments: Arguments, form: str, config: Config, world: World) -> _Tools | None:
    """The tools that the call names. What nothing allows to run is refused before anything is sent."""
    if not (arguments.tool or arguments.tool_defs):
        for name in ("tool_choice", "yes", "allow_tool"):
            if getattr(arguments, name):
                raise UsageError(f"--{name.replace('_', '-')} needs --tool", hint="--tool FILE.py names its functions")
        return None
    from llmcli.commands import tool_use

    if arguments.tool_defs:
        if arguments.tool or arguments.yes or arguments.allow_tool:
            raise UsageError("--tool-defs runs nothing, and so excludes --tool, --yes and --allow-tool")
        if form not in ("json", "jsonl"):
            raise UsageError("--tool-defs needs --json or --jsonl, which show what the model asks for")
        return _Tools(tool_use.defined(arguments.tool_defs, arguments.tool_choice))
    chosen = tool_use.choose(
        arguments.tool, config, world, choice=arguments.tool_choice, yes=arguments.yes, allowed=arguments.allow_tool,
        runs=not (arguments.dry_run or arguments.curl),
    )  # fmt: skip
    return _Tools(tuple(each.tool for each in chosen.toolbox.values()), chosen)


def _first_job(targets: list[registry.Target], arguments: Arguments, wish: _Wish, config: Config, world: World) -> _Job:
    """
    The model that was asked for, or the first of `--fallback` that can be had where it cannot. `targets` is left with
    those that have not been tried.
    """
    target = targets.pop(0)
    try:
        return _prepare(arguments, target, wish, config, world, first=True)
    except LlmError as exc:
        if not targets or exc.status not in _FALLBACK_STATUSES:
            raise
        world.note(f"{target.provider}: {exc.message}")
        job = _next_job(targets, arguments, wish, config, world)
        if job is None:
            raise
        return job


def _next_job(
    targets: list[registry.Target], arguments: Arguments, wish: _Wish, config: Config, world: World
) -> _Job | None:
    """The next fallback that can be asked; what is wrong with one that cannot is said."""
    while targets:
        target = targets.pop(0)
        try:
            job = _prepare(arguments, target, wish, config, world, first=False)
        except LlmError as exc:
            world.note(f"{target.provider}: {exc.message}")
        else:
            world.note(f"asking {job.name}")
            return job
    return None


def _prepare(
    arguments: Arguments, target: registry.Target, wish: _Wish, config: Config, world: World, *, first: bool
) -> _Job:
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
    provider = ready.provider
    model = target.model or provider.default_model
    if model is None:
        raise ConfigurationError(
            f"{target.provider} has no default model",
            hint=f"say -m {target.provider}/MODEL; `llmcli models list {target.provider}` lists them",
        )
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
        options=_options(arguments.option),
        tools=wish.tools.offered if wish.tools else (),
        tool_choice=arguments.tool_choice,
        thinking=_thinking(arguments.thinking),
        complete=arguments.complete,
    )
    job = _Job(ready, request, wish.tools, _style(ready, world) if wish.tools else None, schema=wish.schema)
    if wish.schema is not None:
        from llmcli import schemas

        job = job._replace(way=schemas.way_of(provider, ready.setup.schema))
    if job.style is not None:
        job = job._replace(stops=_takes(provider, _said(job._replace(stops=True), request)))
    provider.check(_said(job, request))
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


def _takes(provider: Provider, request: ChatRequest) -> bool:
    """Whether a provider can be asked this."""
    try:
        provider.check(request)
        if isinstance(provider, HTTPProvider):
            provider.chat_request(request, stream=False)
    except LlmError:
        return False
    return True


def _said(job: _Job, request: ChatRequest) -> ChatRequest:
    """The request as the provider is asked: with tools by text where it has none, and with the schema."""
    if job.schema is not None:
        from llmcli import schemas

        request = schemas.asking(request, job.schema, job.way)
    if job.style is None:
        return request
    from llmcli import text_tools

    by_text = text_tools.told(request, job.style)
    return text_tools.with_stops(by_text, job.style) if job.stops else by_text


def _with_settings(job: _Job) -> _Job:
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
        ready.provider.check(_said(job, merged))
    except UsageError as exc:  # nobody gave it on the command line
        where = f"{ready.setup.path}: providers.{ready.setup.config.id}"
        raise ConfigurationError(f"{where}: {exc.message}", hint=exc.hint) from exc
    return job._replace(request=merged)


def _with_defaults(arguments: Arguments, config: Config) -> Arguments:
    """What was not said on the command line, from `[chat]`."""
    given = {name: value for name, value in config.chat.items() if getattr(arguments, name) in (None, (), [])}
    if arguments.json or arguments.jsonl or arguments.extract:
        given.pop("format", None)
    if "format" in given and given["format"] not in FORMATS:
        raise ConfigurationError(f"chat.format should be one of {', '.join(FORMATS)}, not {given['format']!r}")
    if given.get("color", "auto") not in ("auto", "always", "never"):
        raise ConfigurationError(f"chat.color should be auto, always or never, not {given['color']!r}")
    if arguments.output in ("-", "/dev/stdout"):
        given["output"] = None
    return arguments._replace(**given)


def _template(arguments: Arguments, world: World) -> "Template | None":
    """The template that is named, with a value for each of its variables."""
    if arguments.template is None:
        if arguments.var:
            raise UsageError("--var needs --template", hint="`llmcli templates` lists those that there are")
        return None
    if arguments.no_config:
        raise UsageError("--template is read from the configuration directory, and --no-config forbids that")
    from llmcli.commands import templates

    return templates.named(arguments.template, arguments.var, world)


def _with_template(arguments: Arguments, template: "Template") -> Arguments:
    """What was not said on the command line, from the template."""
    from llmcli.commands import templates

    said = templates.defaults(template)
    given = {name: value for name, value in said.items() if getattr(arguments, name) in (None, (), [])}
    if arguments.provider is not None:
        given.pop("model", None)  # which would be that provider's, and is not
    more = {name: (*said.get(name, ()), *getattr(arguments, name)) for name in ("option", "tool")}
    return arguments._replace(**{**given, **more})


def _schema(arguments: Arguments, template: "Template | None") -> "Wanted | None":
    """What the answer has to satisfy: as the command line says, else as the template does."""
    if arguments.schema is None and arguments.schema_multi:
        raise UsageError("--schema-multi needs --schema")
    if arguments.schema is None and (template is None or template.schema is None):
        return None
    for name in ("extract", "tool_defs"):
        if getattr(arguments, name):
            raise UsageError(f"a schema and --{name.replace('_', '-')} exclude one another")
    if arguments.schema is None:
        return template.schema if template else None
    from llmcli import schemas

    return schemas.read(as_text(arguments.schema), many=arguments.schema_multi)


def _thinking(said: str | None) -> str | int | None:
    """How much to think: a level, or a number of tokens."""
    if said is None or said in ("off", "low", "medium", "high"):
        return said
    if said.isdecimal() and int(said) > 0:
        return int(said)
    raise UsageError(f"--thinking {said!r} should be off, low, medium, high, or a number of tokens")


def _check_bare(arguments: Arguments, schema: "Wanted | None") -> None:
    """Bare text that is continued has neither a system prompt nor anything else that a chat has."""
    if not arguments.complete:
        return
    names = ("system", "tool", "tool_defs", "attach", "thinking", "session", "continue_")
    for name, value in {**{name: getattr(arguments, name) for name in names}, "schema": schema}.items():
        if value:
            raise UsageError(f"--complete and --{name.rstrip('_').replace('_', '-')} exclude one another")


def _check_times(arguments: Arguments) -> None:
    for name in ("timeout", "connect_timeout", "first_timeout", "idle_timeout", "retry_max_wait"):
        value = getattr(arguments, name)
        if value is not None and not isfinite(value):
            raise UsageError(f"--{name.replace('_', '-')} should be a number of seconds", hint="0 means none")


def _format(arguments: Arguments, world: World, *, plain: bool) -> str:
    """The format that is asked for, else the best for where it goes; `plain`: the answer is no Markdown."""
    chosen = [name for name in ("json", "jsonl") if getattr(arguments, name)]
    chosen += [arguments.format] if arguments.format else []
    if len(set(chosen)) > 1:
        raise UsageError(f"{' and '.join(chosen)}: only one format at a time")
    if arguments.extract and chosen and chosen[0] in ("json", "jsonl"):
        raise UsageError(f"--extract and --{chosen[0]} exclude one another")
    if chosen:
        return "text" if plain and chosen[0] == "markdown" else chosen[0]
    rendered = not (arguments.output or arguments.raw or arguments.extract or plain) and world.is_tty(world.stdout)
    return "markdown" if rendered and world.env.get("TERM") != "dumb" else "text"


class _Question(NamedTuple):
    """
    What is asked, of whichever provider: what is attached may be handed to each in another way. In a session, that and
    the beginning of its next turn.
    """

    messages: Messages
    attached: "Attached | None" = None
    kept: "Kept | None" = None
    turn: "Turn" = ()

    def to(self, provider: Provider, *, tools: bool = False) -> Messages:
        """The messages for one provider. `tools`: some are offered to it."""
        if self.kept is None:
            return (*self.messages[:-1], self._last(provider))
        from llmcli.turns import to_send

        return to_send((*self.kept.turns, self.begun(provider)), provider, tools=tools)

    def begun(self, provider: Provider) -> "Turn":
        """The beginning of the turn, as it is kept when this provider has answered."""
        return (*self.turn[:-1], self.turn[-1]._replace(message=self._last(provider)))

    def _last(self, provider: Provider) -> Message:
        last = self.messages[-1]
        if self.attached is None:
            return last
        return last._replace(parts=(*self.attached.parts(provider), *last.parts))


def _in_session(question: _Question, kept: "Kept") -> _Question:
    from llmcli.commands import kept_session

    return question._replace(kept=kept, turn=kept_session.question(question.messages, kept))


def _session(arguments: Arguments, world: World) -> "Kept | None":
    if arguments.session is None and not arguments.continue_:
        return None
    from llmcli.commands import kept_session

    return kept_session.opened(arguments.session, last=arguments.continue_, world=world)


def _question(
    arguments: Arguments, template: "Template | None", ready: Ready, world: World, log: Log
) -> _Question:  # fmt: skip
    """All that is read: the words, the files, stdin, and what is attached."""
    timeouts = _timeouts(ready, arguments)
    prompt = read_prompt(
        arguments.prompt, arguments.file, no_stdin=arguments.no_stdin, timeout=timeouts.total, world=world,
        attached=list(arguments.attach).count("-"), frame=_frame(template),
    )  # fmt: skip
    system = (message("system", as_text(arguments.system)),) if arguments.system else ()
    messages = (*system, message("user", prompt))
    if not arguments.attach:
        return _Question(messages)
    from llmcli.commands.attach import Attached, Fetching, in_time

    how = Fetching(private=arguments.attach_private, off=arguments.dry_run, ca_bundle=arguments.ca_bundle, log=log)
    attached = Attached(
        arguments.attach, world, stdin=lambda: bytes(read_stdin(world, timeouts.total)),
        fetching=in_time(how, timeouts.total, world),
    )  # fmt: skip
    question = _Question(messages, attached)
    question.to(ready.provider)  # what cannot be had ends it here, and asks no other provider
    return question


def _frame(template: "Template | None") -> Frame | None:
    """The prompt of the template, if it has one."""
    if template is None:
        return None
    from llmcli.commands import templates

    return templates.frame(template)


def _options(pairs: Sequence[str]) -> dict[str, Json]:
    """`key=value` pairs; a value that is JSON is that, anything else is text."""
    options: dict[str, Json] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not name:
            raise UsageError(f"--option {pair!r} should be key=value")
        try:
            options[name] = json.loads(value)
        except (ValueError, RecursionError):
            options[name] = value
    return options


# --- a conversation -------------------------------------------------------------------------------


def _is_conversation(arguments: Arguments, form: str, world: World) -> bool:
    """Whether somebody sits there and has not said what to ask."""
    asked = (
        arguments.prompt,
        arguments.file,
        arguments.attach,
        arguments.template,
        arguments.schema,
        arguments.complete,
    )
    other = (arguments.no_stdin, arguments.output, arguments.extract, arguments.dry_run, arguments.curl)
    if any(asked) or any(other) or form in ("json", "jsonl"):
        return False
    return world.is_tty(world.stdin) and world.is_tty(world.stdout)


class _Talk:
    """Who answers in a conversation; see `conversation.Talk`."""

    def __init__(
        self, job: _Job, arguments: Arguments, wish: _Wish, config: Config, form: str, world: World, log: Log
    ) -> None:  # fmt: skip
        self._job = job
        self._arguments = arguments._replace(usage=False, strict=False)  # the conversation tells, and goes on
        self._wish = wish
        self._config = config
        self._form = form
        self._world = world
        self._log = log

    @property
    def name(self) -> str:
        return self._job.name

    @property
    def asks(self) -> bool:
        return self._wish.tools is not None

    def choose(self, model: str) -> None:
        self._prepare(registry.resolve(model, None, self._config), self._wish)

    def attachments(self, words: Sequence[str]) -> tuple[Attachment, ...]:
        from llmcli.commands import attach

        def no_stdin() -> bytes:
            raise UsageError("/attach takes files and URLs")

        fetching = attach.Fetching(ca_bundle=self._arguments.ca_bundle, log=self._log)
        attached = attach.Attached(words, self._world, stdin=no_stdin, fetching=fetching)
        return attached.parts(self._job.ready.provider)

    def offer(self, tool: str) -> str:
        arguments = self._arguments._replace(tool=(*self._arguments.tool, tool))
        tools = _tools(arguments, self._form, self._config, self._world)
        wish = self._wish._replace(tools=tools)
        self._prepare(registry.Target(self._job.ready.provider.config.id, self._job.request.model), wish)
        self._arguments, self._wish = arguments, wish
        return ", ".join(each.name for each in tools.offered) if tools else ""

    def _prepare(self, target: registry.Target, wish: _Wish) -> None:
        same = target.provider == self._job.ready.provider.config.id
        self._job = _prepare(self._arguments, target, wish, self._config, self._world, first=same)

    def ask(self, turns: "Sequence[Turn]", heard: "Heard") -> Reply:
        from llmcli.turns import to_send

        self._world.started = time.monotonic()  # which the total timeout of each answer counts from
        sink = Stdout(self._world.stdout)
        try:
            question = _Question(to_send(turns, self._job.ready.provider, tools=self._wish.tools is not None))
            reply = _ask(self._job, question, self._arguments, self._form, sink, self._world, self._log, heard)
            sink.flush()
        except BaseException:
            sink.abort()
            raise
        return reply


def _converse(talk: _Talk, kept: "Kept | None", arguments: Arguments, world: World) -> None:
    from llmcli.commands import conversation

    system = as_text(arguments.system) if arguments.system else None
    name, turns = (kept.name, kept.turns) if kept else (None, ())
    conversation.run(talk, conversation.Start(name, turns, system, usage=arguments.usage), world)


# --- asking ---------------------------------------------------------------------------------------


def _ask_in_turn(
    job: _Job, another: Callable[[], _Job | None], question: _Question, arguments: Arguments, form: str, world: World,
    log: Log,
) -> None:  # fmt: skip
    """Ask the first; another only before any output, and only for what another provider may do better."""
    if arguments.output:
        signals.care()  # for the temporary file
    sink: Sink = OutputFile(arguments.output) if arguments.output else Stdout(world.stdout)
    heard = _heard(question)
    try:
        while True:
            try:
                reply = _ask(job, question, arguments, form, sink, world, log, heard)
                break
            except LlmError as exc:
                if not arguments.fallback or exc.status not in _FALLBACK_STATUSES:
                    raise
                world.note(f"{job.name}: {exc.message}")
                found = another()
                if found is None:
                    raise
                job = found
        sink.commit()
    except BaseException as exc:
        sink.abort()
        if isinstance(exc, LlmError):
            exc.bytes_out = sink.written
        raise
    if question.kept is not None and heard is not None:
        from llmcli.commands import kept_session

        kept_session.keep(question.kept, (*question.begun(job.ready.provider), *heard.whole(reply)), job.name, world)


def _heard(question: _Question) -> "Heard | None":
    """What listens to an answer that is to be kept."""
    if question.kept is None:
        return None
    from llmcli.commands.heard import Heard

    return Heard()


def _ask(
    job: _Job, question: _Question, arguments: Arguments, form: str, sink: Sink, world: World, log: Log,
    heard: "Heard | None" = None,
) -> Reply:  # fmt: skip
    provider = job.ready.provider
    request = job.request._replace(messages=question.to(provider, tools=job.tools is not None))
    call = _call(job.ready, arguments, world, log)._replace(before_wait=sink.flush)
    tools = job.tools.chosen if job.tools else None
    keep = form == "json" or heard is not None
    fold = Fold(provider.config.id, request.model, keep=keep and tools is None and job.schema is None)
    color = arguments.color or "auto"
    look = Look(
        raw=arguments.raw, color=world.color(color, world.stdout), width=max(20, world.columns()),
        live=not arguments.verbose,
    )  # fmt: skip
    before, after = [sink.flush], list[Callable[[], None]]()  # others write to the terminal
    with ExitStack() as stack:
        asked, reply = _answered(job, request, call), fold.reply
        if tools is not None or job.schema is not None:
            asked, reply = _in_turns(job, request, call, fold, arguments, form, before, after)
        seen = fold.watch(_watched(stack.enter_context(closing(asked))))
        if heard is not None:
            seen = heard.listen(seen)
        place: Place = sink
        if not world.quiet and world.is_tty(world.stderr) and not arguments.verbose:
            signals.care()  # for the line that the spinner stands on
            spinner = stack.enter_context(progress.Spinner(world, job.name))
            before.insert(0, spinner.stop)
            after.append(spinner.again)
            if arguments.output is None:
                place = progress.AfterSpinner(sink, spinner)
        if _shows_thinking(arguments, form, world):
            seen = progress.thinking_shown(seen, world, color=world.color(color, world.stderr), before=before)
        if tools is not None and form in ("text", "markdown") and (arguments.extract or not sink.tty):
            seen = tools.last_words(seen)
        if arguments.extract:
            seen = extract(seen)
        FORMATS[form](seen, place, look, reply)
    sink.flush()
    _close_up(fold, arguments, world, log, form, ran=tools is not None)
    return reply()


def _answered(job: _Job, request: ChatRequest, call: Call) -> Asked:
    """The events of one answer; where tools are told by text, with the calls that stand in it."""
    events = answer(job.ready.provider, _said(job, request), call)
    if job.style is None:
        return events
    from llmcli import text_tools

    return text_tools.heard(events, request.tools, job.style)


def _in_turns(
    job: _Job, request: ChatRequest, call: Call, fold: Fold, arguments: Arguments, form: str,
    before: Sequence[Callable[[], None]], after: Sequence[Callable[[], None]],
) -> tuple[Asked, Callable[[], Reply]]:  # fmt: skip
    """
    The events of an answer for which a model may be asked more than once (while it asks for tools, until the answer
    satisfies the schema), and what tells the reply once they are over.
    """
    messages: list[Messages] = []
    ask = _asker(job, request, call, messages)
    if job.tools is not None and job.tools.chosen is not None:
        ask = _with_tools(ask, job.tools.chosen, call, arguments.max_tool_rounds, before, after)
    if job.schema is not None:
        ask = _with_schema(ask, job.schema, messages, call, arguments.schema_retries, form)
    last: list[Reply] = []

    def asked() -> Asked:
        last.append((yield from ask(request.messages)))

    return asked(), lambda: fold.reply()._replace(message=last[0].message)


def _with_tools(
    ask: _Ask, tools: "Chosen", call: Call, most: int, before: Sequence[Callable[[], None]],
    after: Sequence[Callable[[], None]],
) -> _Ask:  # fmt: skip
    """The same, with tools run until the model asks for none."""
    from llmcli.commands.rounds import rounds

    total = call.timeouts.total

    def left() -> float | None:
        return None if total is None else call.started + total - time.monotonic()

    def asked(messages: Messages) -> Asked:
        return rounds(ask, messages, tools.runner(left=left, before=before, after=after), most)

    return asked


def _with_schema(ask: _Ask, schema: "Wanted", asked: list[Messages], call: Call, retries: int, form: str) -> _Ask:
    """The same, until the answer satisfies the schema. `asked` has what the model was last asked with."""
    from llmcli import schemas

    end = "\n" if form == "text" else ""
    return lambda messages: schemas.until_valid(
        ask, messages, schema, retries=retries, note=call.note, printed=lambda value: json_text(value) + end,
        so_far=lambda: asked[-1],
    )  # fmt: skip


def _asker(job: _Job, request: ChatRequest, call: Call, asked: list[Messages]) -> _Ask:
    """
    What asks the model with other messages: it yields the events, but for `Finish`, and returns the whole reply.
    `asked` is left with the messages of the last time.
    """

    def ask(messages: Messages) -> Generator[Event, None, Reply]:
        asked[:] = [messages]
        more = messages[len(request.messages) :]
        again = any(each.role == "tool" for each in more) and request.tool_choice != "none"
        choice = None if again else request.tool_choice  # who had to call a tool has done so
        fold = Fold(job.ready.provider.config.id, request.model, keep=True)
        with closing(_answered(job, request._replace(messages=messages, tool_choice=choice), call)) as events:
            yield from (event for event in fold.watch(events) if type(event) is not Finish)
        return fold.reply()

    return ask


def _timeouts(ready: Ready, arguments: Arguments) -> Timeouts:
    """Those of the flags, else of the configuration; 0 is none."""
    given = {
        "connect": arguments.connect_timeout,
        "first": arguments.first_timeout,
        "idle": arguments.idle_timeout,
        "total": arguments.timeout,
    }
    return with_times(ready.setup.timeouts, given)


def _call(ready: Ready, arguments: Arguments, world: World, log: Log) -> Call:
    return Call(
        transport_for(ready, world, ca_bundle=arguments.ca_bundle, log=log),
        ready.secret.value if ready.secret else None,
        _timeouts(ready, arguments),
        RetryPolicy(
            2 if arguments.retries is None else arguments.retries,
            60.0 if arguments.retry_max_wait is None else arguments.retry_max_wait,
        ),
        started=world.started,
        stream=arguments.stream,
        note=world.note,
        log=log,
        key_source=ready.secret.source if ready.secret else None,
    )


def _watched(events: Iterator[_E]) -> Iterator[_E]:
    """The same events. From the first on there is something to care for when a signal comes, and much to allocate."""
    for event in events:
        signals.care()
        gc.freeze()
        gc.enable()
        yield event
        break
    yield from events


def _shows_thinking(arguments: Arguments, form: str, world: World) -> bool:
    if arguments.show_thinking is not None:
        return arguments.show_thinking
    return form in ("text", "markdown") and not world.quiet and world.is_tty(world.stderr)


def _close_up(fold: Fold, arguments: Arguments, world: World, log: Log, form: str, *, ran: bool) -> None:
    """Say what a person should know about an answer that is complete."""
    reply: Reply = fold.reply()
    seconds = time.monotonic() - world.started
    if arguments.usage:
        world.say(f"llmcli: {progress.usage_line(fold, seconds)}")
    log(
        "answer",
        model=reply.model,
        finish_reason=reply.finish.reason,
        characters=fold.characters,
        tokens=fold.usage.total_tokens if fold.usage else None,
        seconds=round(seconds, 3),
        first_event=round(fold.first_event_at - world.started, 3) if fold.first_event_at else None,
    )
    reason = reply.finish.reason
    if reason in ("length", "content_filter"):
        what = {"length": "stopped at its limit of tokens", "content_filter": "was stopped by a content filter"}[reason]
        if arguments.strict:
            raise FinishedEarly(f"the answer {what} (finish reason {reason})", provider=reply.provider)
        world.note(f"the answer {what} (finish reason {reason})")
    for part in reply.message.parts:
        if isinstance(part, ToolCall) and not part.valid and not ran:
            world.note(f"the tool call {one_line(part.name) or 'without a name'} is not valid; do not run it")
    if reason == "tool_calls" and form in ("text", "markdown"):
        world.note("the model asks for a tool call; --json shows it")
    elif not fold.characters:
        world.note(f"the model gave no visible text (finish reason {reason})")
