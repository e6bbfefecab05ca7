"""
`llmcli chat`: one prompt, from the shell to the last token. Layer 3: wires the layers below together.
"""

import gc
import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing
from math import isfinite
from typing import NamedTuple

from llmcli import registry, signals
from llmcli.answer import Call, Fold, answer, streams
from llmcli.commands import progress
from llmcli.commands.prompt import as_text, read_prompt
from llmcli.commands.setup import Ready, make_ready, read_config, transport_for
from llmcli.commands.show_request import show_request
from llmcli.config import Config, with_times
from llmcli.errors import ConfigurationError, FinishedEarly, LlmError, UsageError
from llmcli.output import FORMATS, Look, OutputFile, Place, Sink, Stdout, extract, one_line
from llmcli.provider import HTTPProvider
from llmcli.retry import RetryPolicy
from llmcli.transport import Log, no_log
from llmcli.types import ChatRequest, Event, Json, Message, Reply, Timeouts, ToolCall, message
from llmcli.world import World

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


def run(arguments: Arguments, world: World) -> None:
    """Ask, and write the answer to stdout or the output file. Raises an `LlmError` for everything that goes wrong."""
    _check_times(arguments)
    config = read_config(world, arguments.config, no_config=arguments.no_config)
    arguments = _with_defaults(arguments, config)
    form = _format(arguments, world)
    world.json_errors = form in ("json", "jsonl")
    log = progress.open_log(world, verbose=arguments.verbose, path=arguments.log_file) or no_log
    if arguments.model is None and arguments.provider is None and config.default is None:
        from llmcli.commands import discover

        raise discover.nothing_chosen(config, world)
    targets = [registry.resolve(arguments.model, arguments.provider, config)]
    targets += [registry.resolve(name, None, config) for name in arguments.fallback]
    job = _first_job(targets, arguments, config, world)
    messages = _messages(arguments, _timeouts(job.ready, arguments).total, world)
    if arguments.dry_run or arguments.curl:
        request = job.request._replace(messages=messages)
        stream = streams(job.ready.provider, arguments.stream)
        show_request(job.ready, request, world, stream=stream, curl=arguments.curl, key_file=arguments.api_key_file,
                     ca_bundle=arguments.ca_bundle)  # fmt: skip
        return
    _ask_in_turn(job, lambda: _next_job(targets, arguments, config, world), messages, arguments, form, world, log)


class _Job(NamedTuple):
    """One target, ready to be asked; the messages of its request are filled in when they have been read."""

    ready: Ready
    request: ChatRequest

    @property
    def name(self) -> str:
        return f"{self.ready.provider.config.id}/{self.request.model}"


def _first_job(targets: list[registry.Target], arguments: Arguments, config: Config, world: World) -> _Job:
    """
    The model that was asked for, or the first of `--fallback` that can be had where it cannot. `targets` is left with
    those that have not been tried.
    """
    target = targets.pop(0)
    try:
        return _prepare(arguments, target, config, world, first=True)
    except LlmError as exc:
        if not targets or exc.status not in _FALLBACK_STATUSES:
            raise
        world.note(f"{target.provider}: {exc.message}")
        job = _next_job(targets, arguments, config, world)
        if job is None:
            raise
        return job


def _next_job(targets: list[registry.Target], arguments: Arguments, config: Config, world: World) -> _Job | None:
    """The next fallback that can be asked; what is wrong with one that cannot is said."""
    while targets:
        target = targets.pop(0)
        try:
            job = _prepare(arguments, target, config, world, first=False)
        except LlmError as exc:
            world.note(f"{target.provider}: {exc.message}")
        else:
            world.note(f"asking {job.name}")
            return job
    return None


def _prepare(arguments: Arguments, target: registry.Target, config: Config, world: World, *, first: bool) -> _Job:
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
    )
    provider.check(request)
    streams(provider, arguments.stream)
    return _Job(ready, _with_settings(request, ready))


def _with_settings(request: ChatRequest, ready: Ready) -> ChatRequest:
    """The request with what the configuration says about what the call left open."""
    settings = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in ready.setup.config.settings.items()
        if getattr(request, name) in (None, ())
    }
    options = {**ready.setup.config.options, **request.options}
    merged = request._replace(options=options, **settings)  # type: ignore[arg-type]  # config.SETTING_KEYS holds the types
    try:
        ready.provider.check(merged)
    except UsageError as exc:  # nobody gave it on the command line
        where = f"{ready.setup.path}: providers.{ready.setup.config.id}"
        raise ConfigurationError(f"{where}: {exc.message}", hint=exc.hint) from exc
    return merged


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


def _check_times(arguments: Arguments) -> None:
    for name in ("timeout", "connect_timeout", "first_timeout", "idle_timeout", "retry_max_wait"):
        value = getattr(arguments, name)
        if value is not None and not isfinite(value):
            raise UsageError(f"--{name.replace('_', '-')} should be a number of seconds", hint="0 means none")


def _format(arguments: Arguments, world: World) -> str:
    chosen = [name for name in ("json", "jsonl") if getattr(arguments, name)]
    chosen += [arguments.format] if arguments.format else []
    if len(set(chosen)) > 1:
        raise UsageError(f"{' and '.join(chosen)}: only one format at a time")
    if arguments.extract and chosen and chosen[0] in ("json", "jsonl"):
        raise UsageError(f"--extract and --{chosen[0]} exclude one another")
    if chosen:
        return chosen[0]
    rendered = arguments.output is None and not arguments.raw and not arguments.extract and world.is_tty(world.stdout)
    return "markdown" if rendered and world.env.get("TERM") != "dumb" else "text"


def _messages(arguments: Arguments, total: float | None, world: World) -> tuple[Message, ...]:
    prompt = read_prompt(arguments.prompt, arguments.file, no_stdin=arguments.no_stdin, timeout=total, world=world)
    system = (message("system", as_text(arguments.system)),) if arguments.system else ()
    return (*system, message("user", prompt))


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


# --- asking ---------------------------------------------------------------------------------------


def _ask_in_turn(
    job: _Job, another: Callable[[], _Job | None], messages: tuple[Message, ...], arguments: Arguments, form: str,
    world: World, log: Log,
) -> None:  # fmt: skip
    """Ask the first; another only before any output, and only for what another provider may do better."""
    if arguments.output:
        signals.care()  # for the temporary file
    sink: Sink = OutputFile(arguments.output) if arguments.output else Stdout(world.stdout)
    try:
        while True:
            try:
                _ask(job, messages, arguments, form, sink, world, log)
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


def _ask(
    job: _Job, messages: tuple[Message, ...], arguments: Arguments, form: str, sink: Sink, world: World, log: Log
) -> None:
    request = job.request._replace(messages=messages)
    provider = job.ready.provider
    call = _call(job.ready, arguments, world, log)._replace(before_wait=sink.flush)
    fold = Fold(provider.config.id, request.model, keep=form == "json")
    color = arguments.color or "auto"
    look = Look(
        raw=arguments.raw, color=world.color(color, world.stdout), width=max(20, world.columns()),
        live=not arguments.verbose,
    )  # fmt: skip
    with ExitStack() as stack:
        seen: Iterator[Event] = fold.watch(_watched(stack.enter_context(closing(answer(provider, request, call)))))
        place: Place = sink
        spinner: progress.Spinner | None = None
        if not world.quiet and world.is_tty(world.stderr) and not arguments.verbose:
            signals.care()  # for the line that the spinner stands on
            spinner = stack.enter_context(progress.Spinner(world, job.name))
            if arguments.output is None:
                place = progress.AfterSpinner(sink, spinner)
        if _shows_thinking(arguments, form, world):
            before = [sink.flush] if spinner is None else [spinner.stop, sink.flush]
            seen = progress.thinking_shown(seen, world, color=world.color(color, world.stderr), before=before)
        if arguments.extract:
            seen = extract(seen)
        FORMATS[form](seen, place, look, fold.reply)
    sink.flush()
    _close_up(fold, arguments, world, log, form)


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


def _watched(events: Iterator[Event]) -> Iterator[Event]:
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


def _close_up(fold: Fold, arguments: Arguments, world: World, log: Log, form: str) -> None:
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
        if isinstance(part, ToolCall) and not part.valid:
            world.note(f"the tool call {one_line(part.name) or 'without a name'} is not valid; do not run it")
    if reason == "tool_calls" and form in ("text", "markdown"):
        world.note("the model asks for a tool call; --json shows it")
    elif not fold.characters:
        world.note(f"the model gave no visible text (finish reason {reason})")
