"""
`llmcli chat`: one prompt, from the shell to the last token. Layer 3: wires the layers below together.
"""

import gc
import json
import shlex
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from typing import Any, NamedTuple

from llmcli import registry, signals
from llmcli.answer import Call, Fold, answer, prepared
from llmcli.commands import progress
from llmcli.commands.prompt import as_text, read_prompt
from llmcli.commands.setup import Ready, make_ready, read_config, transport_for
from llmcli.config import Config, with_times
from llmcli.errors import ConfigurationError, FinishedEarly, LlmError, RequestRejected, UsageError
from llmcli.output import FORMATS, Look, OutputFile, Place, Sink, Stdout, extract, one_line
from llmcli.provider import HTTPProvider
from llmcli.retry import RetryPolicy
from llmcli.transport import Log, no_log
from llmcli.types import ChatRequest, Event, HttpRequest, Json, Message, Reply, ToolCall, message
from llmcli.world import World

_FALLBACK_STATUSES = frozenset({4, 6, 7, 8, 9})
_KEY_PLACE = "LLMCLI-THE-KEY-GOES-HERE"
_LONGEST_ARGUMENT = 100_000  # characters; Linux takes 128 KiB in one argument, and a shell's own printf any number


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
    config = read_config(world, arguments.config, no_config=arguments.no_config)
    arguments = _with_defaults(arguments, config)
    form = _format(arguments, world)
    world.json_errors = form in ("json", "jsonl")
    log = progress.open_log(world, verbose=arguments.verbose, path=arguments.log_file) or no_log
    jobs = _jobs(arguments, config, world)
    job = next(jobs)
    messages = _messages(arguments, job.ready.setup.timeouts.total, world)
    if arguments.dry_run or arguments.curl:
        _show_request(job, job.request._replace(messages=messages), arguments, world)
        return
    _ask_in_turn(job, jobs, messages, arguments, form, world, log)


class _Job(NamedTuple):
    """One target, ready to be asked; the messages of its request are filled in when they have been read."""

    ready: Ready
    request: ChatRequest

    @property
    def name(self) -> str:
        return f"{self.ready.provider.config.id}/{self.request.model}"


def _jobs(arguments: Arguments, config: Config, world: World) -> Iterator[_Job]:
    """
    The model that was asked for, and then each of `--fallback`, prepared when its turn comes. What cannot be had for a
    reason that does not concern the next is passed over; the last one's error is raised.
    """
    targets = [registry.resolve(arguments.model, arguments.provider, config)]
    targets += [registry.resolve(name, None, config) for name in arguments.fallback]
    for number, target in enumerate(targets, 1):
        try:
            job = _prepare(arguments, target, config, world, first=number == 1)
        except LlmError as exc:
            if number == len(targets) or exc.status not in _FALLBACK_STATUSES:
                raise
            world.note(f"{target.provider}: {exc.message}; trying {targets[number].provider}")
        else:
            yield job


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
    if arguments.stream and not provider.capabilities.stream:
        raise RequestRejected(f"{target.provider} cannot stream", hint="leave --stream out: the answer comes whole")
    return _Job(ready, _with_settings(request, ready))


def _with_settings(request: ChatRequest, ready: Ready) -> ChatRequest:
    """The request with what the configuration says about what the call left open."""
    settings = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in ready.setup.config.settings.items()
        if getattr(request, name) in (None, ())
    }
    return request._replace(options={**ready.setup.config.options, **request.options}, **settings)  # type: ignore[arg-type]  # config.SETTING_KEYS holds the types


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
    timeout = total if arguments.timeout is None else arguments.timeout
    prompt = read_prompt(arguments.prompt, arguments.file, no_stdin=arguments.no_stdin, timeout=timeout, world=world)
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
        except ValueError:
            options[name] = value
    return options


# --- asking ---------------------------------------------------------------------------------------


def _ask_in_turn(
    job: _Job, others: Iterator[_Job], messages: tuple[Message, ...], arguments: Arguments, form: str,
    world: World, log: Log,
) -> None:  # fmt: skip
    """Ask the first; another only before any output, and only for what another provider may do better."""
    sink: Sink = OutputFile(arguments.output) if arguments.output else Stdout(world.stdout)
    if arguments.output:
        signals.care()
    try:
        while True:
            try:
                _ask(job, messages, arguments, form, sink, world, log)
                break
            except LlmError as exc:
                another = next(others, None) if exc.status in _FALLBACK_STATUSES else None
                if another is None:
                    raise
                world.note(f"{job.name}: {exc.message}; asking {another.name}")
                job = another
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
    look = Look(raw=arguments.raw, color=world.color(color, world.stdout), width=_width(world))
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
            seen = progress.thinking_shown(seen, world, color=world.color(color, world.stderr), spinner=spinner)
        if arguments.extract:
            seen = extract(seen)
        FORMATS[form](seen, place, look, fold.reply)
    _close_up(fold, request, arguments, world, log, form)


def _call(ready: Ready, arguments: Arguments, world: World, log: Log) -> Call:
    given = {
        "connect": arguments.connect_timeout,
        "first": arguments.first_timeout,
        "idle": arguments.idle_timeout,
        "total": arguments.timeout,
    }
    return Call(
        transport_for(ready, world, ca_bundle=arguments.ca_bundle, log=log),
        ready.secret.value if ready.secret else None,
        with_times(ready.setup.timeouts, given),
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


def _width(world: World) -> int:
    import shutil

    return max(20, shutil.get_terminal_size((80, 24)).columns)


def _close_up(fold: Fold, request: ChatRequest, arguments: Arguments, world: World, log: Log, form: str) -> None:
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


# --- showing instead of asking --------------------------------------------------------------------


def _show_request(job: _Job, request: ChatRequest, arguments: Arguments, world: World) -> None:
    """`--dry-run` and `--curl`: the request as it would be sent, without the key."""
    provider = job.ready.provider
    if not isinstance(provider, HTTPProvider):
        raise RequestRejected(f"{provider.config.id} sends no HTTP request that could be shown")
    stream = provider.capabilities.stream if arguments.stream is None else arguments.stream
    has_key = job.ready.secret is not None or provider.api_key.required
    wire = prepared(provider, provider.chat_request(request, stream=stream), _KEY_PLACE if has_key else None)
    sink = Stdout(world.stdout)
    if arguments.curl:
        shown = _as_curl(wire, _key_for_shell(job.ready, arguments.api_key_file))
        sink.write((world.redactor.clean(shown) + "\n").encode())
    else:
        document: dict[str, Any] = {"method": wire.method, "url": wire.url, "headers": _masked(wire.headers)}
        document["body"] = json.loads(wire.body) if wire.body else None
        text = json.dumps(document, ensure_ascii=False, indent=2).replace(_KEY_PLACE, "***")
        sink.write((world.redactor.clean(text) + "\n").encode())
    sink.commit()


def _masked(headers: Mapping[str, str]) -> dict[str, str]:
    return {name: value.replace(_KEY_PLACE, "***") for name, value in headers.items()}


def _key_for_shell(ready: Ready, key_file: str | None) -> str:
    """Where the curl command finds the key: in its file, or in the environment variable that has it, if one has."""
    if key_file is not None:
        return f"$(cat {shlex.quote(key_file)})"
    own = ready.setup.api_key.get("env")
    names = (str(own),) if own else ready.provider.api_key.env or ("LLMCLI_API_KEY",)
    return "$" + (ready.secret.source if ready.secret and ready.secret.source in names else names[0])


def _as_curl(wire: HttpRequest, key: str) -> str:
    """A curl command that runs: `key` is how the shell finds the key, everything else is quoted for it."""
    words = ["curl", "-sS", "-N", "-X", wire.method]
    for name, value in wire.headers.items():
        quoted = shlex.quote(f"{name}: {value}")
        if _KEY_PLACE in value:
            quoted = f'"{name}: {value}"'.replace(_KEY_PLACE, key)
        words += ["-H", quoted]
    body = "" if wire.body is None else shlex.quote(wire.body.decode())
    from_stdin = len(body) > _LONGEST_ARGUMENT
    if body:
        words += ["--data-binary", "@-" if from_stdin else body]
    words.append(shlex.quote(wire.url).replace(_KEY_PLACE, f"'\"{key}\"'"))
    command = " ".join(words)
    return f"printf %s {body} | {command}" if from_stdin else command
