"""
`llmcli providers add`: a table of the configuration, written to `providers.d/ID.toml` from flags or from questions.
Layer 3.
"""

import os
import re
import tomllib
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from llmcli.commands.asking import ask, can_ask
from llmcli.commands.kept_key import forget
from llmcli.commands.setup import make_ready, read_config
from llmcli.config import Config, check_url, nearest
from llmcli.errors import ConfigurationError, LlmError, UsageError
from llmcli.expressions import ROOTS, Expression
from llmcli.registry import BUILT_IN, known_ids
from llmcli.stored import write_table
from llmcli.world import World

_ID = r"[a-z0-9][a-z0-9._-]*"
Table = dict[str, Any]


class Arguments(NamedTuple):
    """What was said: the fields are the options of the same name. `set` are `KEY=VALUE` with a dotted key."""

    id: str
    adapter: str | None = None
    base_url: str | None = None
    default_model: str | None = None
    key_env: str | None = None
    key_command: str | None = None
    key_header: str | None = None
    path: str | None = None
    request: str | None = None
    content: str | None = None
    set: Sequence[str] = ()
    replace: bool = False
    config: str | None = None
    no_config: bool = False


class _Question(NamedTuple):
    field: str
    text: str
    default: str = ""
    for_adapter: str | None = None


_QUESTIONS = (
    _Question("adapter", "who speaks to it (openai-compatible, http, or the id of a provider)", "openai-compatible"),
    _Question("base_url", "its base URL"),
    _Question("default_model", "the model when none is named (empty: none)"),
    _Question("key_env", "the environment variable that holds the key (empty: none is needed)"),
    _Question("key_header", "the header that the key goes into (empty: Authorization: Bearer)", "", "http"),
    _Question("path", "the path of a chat", "/chat", "http"),
    _Question("request", "an expression for the request", "{model: model, messages: messages}", "http"),
    _Question("content", "an expression for the text of the answer", "text", "http"),
)


def run(arguments: Arguments, world: World) -> None:
    """
    Check the table as a chat would, write it, and say to which file and what to do next. On a terminal what no flag
    said is asked for, unless flags said enough.

    Raises `UsageError` for a table that is there already (without `replace`) or an id that is none, and whatever the
    table's own mistakes raise: then nothing is written.
    """
    if not re.fullmatch(_ID, arguments.id):
        raise UsageError(f"{arguments.id!r} is no id: small letters, digits, and . _ - between them")
    if world.directory is None:
        raise ConfigurationError("there is no configuration directory: set HOME or XDG_CONFIG_HOME")
    path = f"{world.directory}/providers.d/{arguments.id}.toml"
    settings = read_config(world, arguments.config, no_config=arguments.no_config)
    _check_free(arguments, path, settings)
    if arguments.base_url is None and not arguments.set and can_ask(world):
        arguments = _asked(arguments, settings, world)
    table = _table(arguments)
    changed = settings._replace(
        providers={**settings.providers, arguments.id: table}, sources={**settings.sources, arguments.id: path}
    )
    ready = make_ready(arguments.id, changed, world, need_key=False, run_command=False)
    if ready.url is None:
        raise UsageError(f"{arguments.id} needs an address", hint="--base-url URL")
    gone = _forget_key(arguments.id, settings, ready.url, world) if arguments.replace else []
    write_table(path, {"providers": {arguments.id: table}}, replace=arguments.replace)
    model = arguments.id if ready.provider.default_model else f"{arguments.id}/MODEL"
    world.print(
        "".join(f"{line}\n" for line in gone) + f"wrote {path}\n"
        f"  llmcli chat -m {model} --dry-run hello    # what would be sent\n"
        f"  llmcli chat -m {model} hello\n"
    )


def _forget_key(provider_id: str, settings: Config, url: str, world: World) -> list[str]:
    """A key that is kept is for the address that the old table has, and does not go to another one."""
    try:
        before = make_ready(provider_id, settings, world, need_key=False, run_command=False).url
    except LlmError:  # a broken table says nothing of an address
        before = None
    return [] if before is not None and _origin(before) == _origin(url) else forget(provider_id, world)


def _origin(url: str) -> tuple[str, str]:
    """What a key is bound to: how and where a URL leads."""
    parts = urlsplit(url)
    return parts.scheme, parts.netloc


def _check_free(arguments: Arguments, path: str, settings: Config) -> None:
    there = settings.sources.get(arguments.id)
    if there is not None and there != path:
        raise UsageError(f"{arguments.id} has a table already, in {there}", hint="it is yours to change")
    if os.path.exists(path) and not arguments.replace:
        raise UsageError(f"{path} is there already", hint="--replace writes it anew")


# --- the table ------------------------------------------------------------------------------------


def _table(arguments: Arguments) -> Table:
    """The table that the flags describe."""
    adapter = arguments.adapter
    if adapter is None and arguments.id not in BUILT_IN:
        told = (arguments.path, arguments.request, arguments.content)
        adapter = "openai-compatible" if told == (None, None, None) else "http"
    table: Table = {
        "adapter": adapter,
        "base_url": arguments.base_url,
        "default_model": arguments.default_model,
        "api_key": _filled(
            {"env": arguments.key_env, "command": arguments.key_command, "header": arguments.key_header}
        ),
        "chat": _filled({"path": arguments.path, "request": arguments.request, "content": arguments.content}),
    }
    table = _filled(table)
    for assignment in arguments.set:
        key, equals, text = assignment.partition("=")
        if not equals or not key.strip():
            raise UsageError(f"--set {assignment!r} is not KEY=VALUE", hint="for instance --set stream.delta=text")
        _put(table, key.strip().split("."), _value(text))
    return table


def _filled(table: Mapping[str, Any]) -> Table:
    return {name: value for name, value in table.items() if value not in (None, "", {})}


def _put(table: Table, steps: Sequence[str], value: Any) -> None:
    for step in steps[:-1]:
        table = table.setdefault(step, {})
        if not isinstance(table, dict):
            raise UsageError(f"--set {'.'.join(steps)}: {step} is no table")
    table[steps[-1]] = value


def _value(text: str) -> Any:
    """A value of `--set`: what TOML reads as a number, true or false, a list or a table; anything else is text."""
    if "#" in text or "\n" in text or not re.match(r'-?\d|true$|false$|\[.*\]$|\{.*=.*\}$|".*"$', text):
        return text
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def _asked(arguments: Arguments, settings: Config, world: World) -> Arguments:
    """The arguments with the answers of a person for what no flag has said; what cannot be is asked for again."""
    for question in _QUESTIONS:
        if getattr(arguments, question.field) is not None:
            continue
        if question.for_adapter not in (None, arguments.adapter):
            continue
        check = partial(_check_answer, question.field, settings)
        said: dict[str, Any] = {question.field: ask(world, question.text, question.default, check) or None}
        arguments = arguments._replace(**said)
    return arguments


def _check_answer(field: str, settings: Config, answer: str) -> None:
    """Raise the error for an answer that cannot be, while its question is still there to be asked again."""
    if field == "adapter" and answer not in known_ids(settings):
        near = nearest(answer, known_ids(settings))
        raise UsageError(f"there is no {answer!r}", hint=f"did you mean {near}?" if near else None)
    if field == "base_url":
        check_url(answer, "this", ("https", "http") if "://" not in answer else (answer.partition("://")[0],))
    if field == "key_env" and answer and not re.fullmatch(r"[A-Za-z_]\w*", answer, re.ASCII):
        raise UsageError("that is no name of an environment variable; the key itself is not asked for")
    if field in ("request", "content"):
        Expression(answer, "it", roots=ROOTS if field == "request" else None)
