"""
`llmcli chat`: one prompt, from the shell to the last token. Layer 3: wires the layers below together.
"""

import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

from llmcli import registry, signals
from llmcli.answer import streams
from llmcli.commands import progress, reading
from llmcli.commands.chat_arguments import (
    Arguments,
    check_bare,
    check_partners,
    check_times,
    format_of,
    schema_of,
    template_of,
    with_defaults,
    with_template,
)
from llmcli.commands.chat_asking import Question, ask_one, in_session, listener, timeouts_of
from llmcli.commands.chat_job import FALLBACK_STATUSES, Job, Wish, as_sent, first_job, next_job, prepare, tools_of
from llmcli.commands.prompt import Frame, as_text, read_prompt
from llmcli.commands.setup import Ready, read_config
from llmcli.config import Config
from llmcli.errors import ConfigurationError, LlmError, UsageError
from llmcli.output import OutputFile, Sink, Stdout
from llmcli.transport import Log, no_log
from llmcli.types import (
    Attachment,
    Reply,
    message,
)
from llmcli.world import World

if TYPE_CHECKING:
    from llmcli.commands.heard import Heard
    from llmcli.commands.kept_session import Kept
    from llmcli.prompt_templates import Template
    from llmcli.turns import Turn


def run(arguments: Arguments, world: World) -> None:
    """Ask, and write the answer to stdout or the output file. Raises an `LlmError` for everything that goes wrong."""
    check_times(arguments)
    config = read_config(world, arguments.config, no_config=arguments.no_config)
    template, said = template_of(arguments, world), arguments.model or arguments.provider
    arguments = with_defaults(with_template(arguments, template) if template else arguments, config)
    schema = schema_of(arguments, template)
    check_bare(arguments, schema)
    check_partners(arguments, schema)
    form = format_of(arguments, world, plain=schema is not None)
    world.json_errors = form in ("json", "jsonl")
    log = progress.open_log(world, verbose=arguments.verbose, path=arguments.log_file) or no_log
    kept = _session(arguments, world)
    if kept and arguments.model is None and arguments.provider is None:
        arguments = arguments._replace(model=kept.model)
    if arguments.model is None and arguments.provider is None and config.default is None:
        from llmcli.commands import discover

        raise discover.nothing_chosen(config, world)
    wish = Wish(tools_of(arguments, form, config, world), schema)
    targets = [_first(arguments, config, None if said else template, kept)]
    targets += [registry.resolve(name, None, config) for name in arguments.fallback]
    meant = targets[0].provider
    job = first_job(targets, arguments, wish, config, world)
    if _is_conversation(arguments, form, world):
        _converse(_Talk(job, meant, arguments, wish, config, form, world, log), kept, arguments, world)
        return
    question = _question(arguments, template, job.ready, world, log)
    if kept is not None:
        question = in_session(question, kept)
    if arguments.dry_run or arguments.curl:
        messages = question.to(job.ready.provider, tools=job.tools is not None)
        request = as_sent(job, job.request._replace(messages=messages))
        from llmcli.commands.show_request import show_request

        stream = streams(job.ready.provider, arguments.stream)
        show_request(job.ready, request, world, stream=stream, curl=arguments.curl, key_file=arguments.api_key_file,
                     ca_bundle=arguments.ca_bundle)  # fmt: skip
        return
    another = partial(next_job, targets, arguments, wish, config, world)
    _ask_in_turn(job, another, question, arguments, form, world, log)


def _first(
    arguments: Arguments, config: Config, template: "Template | None", kept: "Kept | None"
) -> registry.Target:  # fmt: skip
    """Who is asked first. What nobody typed is named by where it stands, when it means nobody."""
    try:
        return registry.resolve(arguments.model, arguments.provider, config)
    except ConfigurationError as exc:
        if template is not None and arguments.model == template.model:
            raise ConfigurationError(f"{template.path}: model: {exc.message}", hint=exc.hint) from exc
        if kept is not None and arguments.model == kept.model:
            told = f"the session {kept.name} was last asked of {kept.model}: {exc.message}"
            raise ConfigurationError(told, hint="-m chooses another model") from exc
        raise


def _session(arguments: Arguments, world: World) -> "Kept | None":
    if arguments.session is None and not arguments.continue_:
        return None
    from llmcli.commands import kept_session

    return kept_session.opened(arguments.session, last=arguments.continue_, world=world)


def _question(
    arguments: Arguments, template: "Template | None", ready: Ready, world: World, log: Log
) -> Question:  # fmt: skip
    """All that is read: the words, the files, stdin, and what is attached."""
    timeouts = timeouts_of(ready, arguments)
    prompt = read_prompt(
        arguments.prompt, arguments.file, no_stdin=arguments.no_stdin, timeout=timeouts.total, world=world,
        attached=list(arguments.attach).count("-"), frame=_frame(template), complete=arguments.complete,
    )  # fmt: skip
    system = (message("system", as_text(arguments.system)),) if arguments.system else ()
    messages = (*system, message("user", prompt))
    if not arguments.attach:
        return Question(messages)
    from llmcli.commands.attach import Attached, Fetching, in_time

    how = Fetching(private=arguments.attach_private, off=arguments.dry_run, ca_bundle=arguments.ca_bundle, log=log)
    attached = Attached(
        arguments.attach, world, read=lambda path: bytes(reading.contents(path, world, timeouts.total)),
        fetching=in_time(how, timeouts.total, world),
    )  # fmt: skip
    question = Question(messages, attached)
    question.to(ready.provider)  # what cannot be had ends it here, and asks no other provider
    return question


def _frame(template: "Template | None") -> Frame | None:
    """The prompt of the template, if it has one."""
    if template is None:
        return None
    from llmcli.commands import templates

    return templates.frame(template)


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
        self, job: Job, meant: str, arguments: Arguments, wish: Wish, config: Config, form: str, world: World, log: Log
    ) -> None:  # fmt: skip
        self._job = job
        self._meant = meant  # the provider that the command line speaks of: its address, its key, its options
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

        def read(path: str) -> bytes:
            if path == "-":
                raise UsageError("/attach takes files and URLs")
            return bytes(reading.contents(path, self._world, None))

        fetching = attach.Fetching(
            private=self._arguments.attach_private, ca_bundle=self._arguments.ca_bundle, log=self._log
        )
        attached = attach.Attached(words, self._world, read=read, fetching=fetching)
        return attached.parts(self._job.ready.provider)

    def offer(self, tool: str) -> str:
        self._world.started = time.monotonic()  # which the total timeout counts from
        arguments = self._arguments._replace(tool=(*self._arguments.tool, tool))
        tools = tools_of(arguments, self._form, self._config, self._world)
        wish = self._wish._replace(tools=tools)
        self._prepare(registry.Target(self._job.ready.provider.config.id, self._job.request.model), wish)
        self._arguments, self._wish = arguments, wish
        return ", ".join(each.name for each in tools.offered) if tools else ""

    def _prepare(self, target: registry.Target, wish: Wish) -> None:
        first = target.provider == self._meant
        arguments = self._arguments if first else self._arguments._replace(option=())
        self._job = prepare(arguments, target, wish, self._config, self._world, first=first)

    def ask(self, turns: "Sequence[Turn]", heard: "Heard") -> Reply:
        from llmcli.turns import to_send

        self._world.started = time.monotonic()  # which the total timeout of each answer counts from
        sink = Stdout(self._world.stdout)
        try:
            question = Question(to_send(turns, self._job.ready.provider, tools=self._wish.tools is not None))
            reply = ask_one(self._job, question, self._arguments, self._form, sink, self._world, self._log, heard)
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


def _ask_in_turn(
    job: Job, another: Callable[[], Job | None], question: Question, arguments: Arguments, form: str, world: World,
    log: Log,
) -> None:  # fmt: skip
    """Ask the first; another only before any output, and only for what another provider may do better."""
    if arguments.output:
        signals.care()  # for the temporary file
    sink: Sink = OutputFile(arguments.output) if arguments.output else Stdout(world.stdout)
    heard = listener(question)
    try:
        while True:
            try:
                reply = ask_one(job, question, arguments, form, sink, world, log, heard)
                break
            except LlmError as exc:
                if not arguments.fallback or exc.status not in FALLBACK_STATUSES:
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
