"""
What was typed behind `llmcli chat`, with what a template and the configuration say about the rest. Layer 3.
"""

import json
from collections.abc import Sequence
from math import isfinite
from typing import TYPE_CHECKING, NamedTuple

from llmcli.commands.prompt import as_text
from llmcli.config import Config
from llmcli.errors import ConfigurationError, UsageError
from llmcli.output import FORMATS
from llmcli.types import (
    Json,
)
from llmcli.world import World

if TYPE_CHECKING:
    from llmcli.prompt_templates import Template
    from llmcli.schemas import Wanted


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
    max_tool_rounds: int | None
    yes: bool
    allow_tool: Sequence[str]
    schema: str | None
    schema_multi: bool
    schema_retries: int | None
    attach: Sequence[str]
    attach_private: bool
    template: str | None
    var: Sequence[str]
    thinking: str | None
    complete: bool
    session: str | None
    continue_: bool


def with_defaults(arguments: Arguments, config: Config) -> Arguments:
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


def template_of(arguments: Arguments, world: World) -> "Template | None":
    """The template that is named, with a value for each of its variables."""
    if arguments.template is None:
        if arguments.var:
            raise UsageError("--var needs --template", hint="`llmcli templates` lists those that there are")
        return None
    if arguments.no_config:
        raise UsageError("--template is read from the configuration directory, and --no-config forbids that")
    from llmcli.commands import templates

    return templates.named(arguments.template, arguments.var, world)


def with_template(arguments: Arguments, template: "Template") -> Arguments:
    """What was not said on the command line, from the template."""
    from llmcli.commands import templates

    said = templates.defaults(template)
    given = {name: value for name, value in said.items() if getattr(arguments, name) in (None, (), [])}
    if arguments.provider is not None:
        given.pop("model", None)  # which would be that provider's, and is not
    more = {name: (*said.get(name, ()), *getattr(arguments, name)) for name in ("option", "tool")}
    return arguments._replace(**{**given, **more})


def schema_of(arguments: Arguments, template: "Template | None") -> "Wanted | None":
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


_LONGEST_NUMBER = 10  # digits; no model thinks for so many tokens


def thinking_of(said: str | None) -> str | int | None:
    """How much to think: a level, or a number of tokens."""
    if said is None or said in ("off", "low", "medium", "high"):
        return said
    if said.isascii() and said.isdecimal() and len(said) < _LONGEST_NUMBER and int(said) > 0:
        return int(said)
    raise UsageError(f"--thinking {said!r} should be off, low, medium, high, or a number of tokens")


def options_of(pairs: Sequence[str]) -> dict[str, Json]:
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


def check_bare(arguments: Arguments, schema: "Wanted | None") -> None:
    """Bare text that is continued has neither a system prompt nor anything else that a chat has."""
    if not arguments.complete:
        return
    names = ("system", "tool", "tool_defs", "attach", "thinking", "session", "continue_")
    for name, value in {**{name: getattr(arguments, name) for name in names}, "schema": schema}.items():
        if value:
            raise UsageError(f"--complete and --{name.rstrip('_').replace('_', '-')} exclude one another")


def check_partners(arguments: Arguments, schema: "Wanted | None") -> None:
    """Raise `UsageError` for an option that says something of another one, which is not there."""
    tools = arguments.tool or arguments.tool_defs
    for name, partner, is_there in (
        ("max_tool_rounds", "--tool", arguments.tool), ("tool_choice", "--tool", tools), ("yes", "--tool", tools),
        ("allow_tool", "--tool", tools), ("schema_retries", "--schema", schema),
    ):  # fmt: skip
        if getattr(arguments, name) not in (None, False, (), []) and not is_there:
            hint = "--tool FILE.py names its functions" if partner == "--tool" else None
            raise UsageError(f"--{name.replace('_', '-')} needs {partner}", hint=hint)
    if arguments.output == "":
        raise UsageError("-o needs the name of a file; this one is empty")


def check_times(arguments: Arguments) -> None:
    """Raise `UsageError` for a time that is no number of seconds."""
    for name in ("timeout", "connect_timeout", "first_timeout", "idle_timeout", "retry_max_wait"):
        value = getattr(arguments, name)
        if value is not None and not isfinite(value):
            raise UsageError(f"--{name.replace('_', '-')} should be a number of seconds", hint="0 means none")


def format_of(arguments: Arguments, world: World, *, plain: bool) -> str:
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
