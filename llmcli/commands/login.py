"""
`llmcli providers login`: a provider gets its key. Layer 3.

The key is typed unseen, or comes from stdin, a file or a command; it is tried with one cheap request, and only then
kept (`kept_key`). Without an id it is the guided first run.
"""

import os
import select
import shlex
from collections.abc import Sequence
from contextlib import closing
from importlib.util import find_spec
from typing import NamedTuple

from llmcli import installing, keys, registry
from llmcli.answer import Call, answer
from llmcli.commands.asking import agrees, ask, ask_unseen, can_ask
from llmcli.commands.choose import make_default
from llmcli.commands.directory import configuration_directory
from llmcli.commands.discover import Found, look_around
from llmcli.commands.health_stages import greeting
from llmcli.commands.kept_key import check_id, keep, told, what_holds
from llmcli.commands.models import NO_LIST, Listing, listing_of
from llmcli.commands.setup import Ready, brief_call, declared_key, make_ready, read_config
from llmcli.config import Config, nearest, provider_setup
from llmcli.errors import AuthenticationFailed, ConfigurationError, LlmError, UsageError
from llmcli.keys import Secret, Source
from llmcli.output import one_line
from llmcli.provider import ApiKey, HTTPProvider, Provider
from llmcli.world import World

_SECONDS = 20.0  # for the request that tries a key
_LONGEST = 64 * 1024  # bytes of a key on stdin
_PATIENCE = 3.0  # seconds until a person is told what is waited for
_UNTRIED = "the key is not kept; --no-test keeps it untried"


class Arguments(NamedTuple):
    """What was said: the fields are the options of the same name."""

    id: str | None
    key_file: str | None = None
    key_command: str | None = None
    keyring: bool = False
    test: bool = True
    config: str | None = None
    no_config: bool = False


def run(arguments: Arguments, world: World) -> None:
    """
    Take a key, try it, keep it, and say where. On a terminal without an id, what there is is shown and asked for.

    Raises `UsageError` for what cannot be, `AuthenticationFailed` for a key that is refused, and what else the request
    that tries it raises: then nothing is kept.
    """
    if arguments.key_command is not None and (arguments.key_file is not None or arguments.keyring):
        raise UsageError("--key-command keeps no key, so neither --key-file nor --keyring goes with it")
    if arguments.keyring and find_spec("keyring") is None:
        line = installing.line("keyring", installing.here())
        raise ConfigurationError("the library that speaks to the keyring is not installed", hint=line)
    configuration_directory(world)
    settings = read_config(world, arguments.config, no_config=arguments.no_config)
    if arguments.id is None:
        _guide(arguments, settings, world)
    else:
        world.print(_login(arguments.id, arguments, settings, world) + _next_steps(arguments.id))


def _login(provider_id: str, arguments: Arguments, settings: Config, world: World) -> str:
    """Take, try and keep the key of a provider, and return what is to be said of it."""
    check_id(provider_id)
    cls = registry.load(provider_id, settings, world.env, world.fence_stdout)
    if not _takes_a_key(provider_id, settings, world):
        raise UsageError(f"{provider_id} takes no key", hint=f'llmcli chat -m {provider_id} "hello"')
    declared = declared_key(cls, provider_setup(settings, provider_id, cls, world.env).api_key)
    if provider_id != cls.id:  # where its class has its keys from, this one has not
        declared = declared._replace(hint="", placeholder="")
    secret = keys.checked(_taken(_name(provider_id, cls), declared, arguments, world), declared)
    world.redactor.add(secret.value)
    ready = make_ready(provider_id, settings, world, key=secret)
    said = [_tried(ready, world) if arguments.test else f"the key of {_name(provider_id, cls)} was not tried"]
    said += keep(provider_id, secret, world, command=arguments.key_command, keyring=arguments.keyring)
    first = what_holds(provider_id, world, arguments.config, no_config=arguments.no_config)
    if first is not None and first != _kept_now(provider_id, arguments, world):
        world.note(f"another key comes before the one that is kept now: {told(first)}")
    return "".join(f"{line}\n" for line in said)


def _kept_now(provider_id: str, arguments: Arguments, world: World) -> Source:
    """Where the key has just been kept."""
    if arguments.key_command is not None:
        return Source("command", arguments.key_command, None)
    if arguments.keyring:
        return Source("keyring", provider_id, None)
    return Source("file", keys.kept_file(configuration_directory(world), provider_id), True)


def _takes_a_key(provider_id: str, settings: Config, world: World) -> bool:
    """Whether a provider has a use for a key, needed or not."""
    cls = registry.load(provider_id, settings, world.env, world.fence_stdout)
    declared = cls.api_key
    return bool(declared.required or declared.env or declared.hint or issubclass(cls, HTTPProvider))


def _next_steps(provider_id: str) -> str:
    return (
        f'  llmcli chat -m {provider_id} "hello"\n  llmcli providers use {provider_id}    # the default from now on\n'
    )


# --- taking it ------------------------------------------------------------------------------------


def _name(provider_id: str, cls: type[Provider]) -> str:
    """What a person calls a provider: one of the configuration by its id, of which its class knows nothing."""
    return one_line(cls.name if provider_id == cls.id else provider_id)


def _taken(name: str, declared: ApiKey, arguments: Arguments, world: World) -> Secret:
    if arguments.key_command is not None:
        return Secret(keys.run_key_command(arguments.key_command), "the command")
    if arguments.key_file is not None:
        return Secret(keys.read_key_file(arguments.key_file), arguments.key_file)
    if can_ask(world):
        if declared.hint:
            world.note(f"get one at {declared.hint}" if declared.hint.startswith("http") else declared.hint)
        example = f" ({declared.placeholder})" if declared.placeholder else ""
        return Secret(ask_unseen(world, f"{declared.label} for {name}{example}"), "the terminal")
    if world.stdin is None or world.is_tty(world.stdin):
        raise UsageError("there is nobody to ask for the key", hint="put it on stdin, or say --key-file FILE")
    return Secret(_from_stdin(world.stdin, world), "stdin")


def _from_stdin(fd: int, world: World) -> str:
    data = bytearray()
    if not select.select([fd], [], [], _PATIENCE)[0]:
        world.note("waiting for the key on stdin")
    while piece := os.read(fd, 4096):
        data += piece
        if len(data) > _LONGEST:
            raise UsageError("what stands on stdin is too long for a key")
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise UsageError("what stands on stdin is no text") from None


# --- trying it ------------------------------------------------------------------------------------


def _tried(ready: Ready, world: World) -> str:
    """Try the key, and return what a person should know of it. What is in the way is no reason to lose the key."""
    try:
        return _answered(ready, brief_call(ready, world, seconds=_SECONDS))
    except AuthenticationFailed:
        raise
    except LlmError as exc:
        exc.hint = f"{exc.hint}; the key is not kept, --no-test keeps it untried" if exc.hint else _UNTRIED
        raise


def _answered(ready: Ready, call: Call) -> str:
    """Ask the cheapest question whose answer depends on the key: the list of models, else for a few tokens."""
    provider, name = ready.provider, _name(ready.provider.config.id, type(ready.provider))
    if isinstance(provider, HTTPProvider) and provider.models_need_key and provider.models_request() is not None:
        listing = _listing_or_none(ready, call)
        if listing is not None and listing.source == "live":
            return f"{name} accepts the key, and lists {len(listing.models)} models"
    model = provider.default_model or next(iter(provider.config.models), None)
    if model is None:
        return f"the key was not tried: without a default model there is nothing to ask {name} that needs it"
    with closing(answer(provider, greeting(provider, model), call)) as events:
        next(events)
    return f"{name} accepts the key: {one_line(model)} answers"


def _listing_or_none(ready: Ready, call: Call) -> Listing | None:
    """The list of models, `None` where it turns out that the service has none."""
    try:
        return listing_of(ready, call)
    except LlmError as exc:
        if exc.http_status in NO_LIST:
            return None
        raise


# --- a first run ----------------------------------------------------------------------------------


def _guide(arguments: Arguments, settings: Config, world: World) -> None:
    """Show what there is, ask which it shall be, log in where that needs a key, and offer to make it the default."""
    if not can_ask(world):
        raise UsageError("which provider?", hint="llmcli providers login ID; `llmcli providers` lists them")
    chosen = _chosen(look_around(settings, world).found, settings, world)
    done = "" if chosen.works else _login(chosen.provider_id, arguments, settings, world)
    command, name = chosen.command, _to_be_used(chosen.command, world)
    if name is not None and agrees(world, f"Ask {name} when no model is named?"):
        done += make_default(name, world, config=arguments.config, no_config=arguments.no_config)
        command = 'llmcli chat "hello"'
    world.print(f"{done}  {command}\n")


def _to_be_used(command: str, world: World) -> str | None:
    """What a command would make the default, if that is all that it does; where a model is wanted, it is asked for."""
    *before, name = shlex.split(command)
    if before != ["llmcli", "providers", "use"]:
        return None
    provider_id, _, model = name.partition("/")
    if model != "MODEL":
        return name
    said = ask(world, f"Which model? `llmcli models list {provider_id}` lists them; Enter leaves it open")
    return f"{provider_id}/{said}" if said else None


def _chosen(found: Sequence[Found], settings: Config, world: World) -> Found:
    """One of what was found, by its number, or any provider by its id."""
    for number, each in enumerate(found, 1):
        world.say(f"{number:3}  {each.provider_id}: {each.why}")
    if not found:
        world.say("No model server answers on this machine, and no key stands in the environment.")
        world.say("With a key of OpenAI, Anthropic, Groq... say its id; `llmcli providers` lists them all.")
    known = registry.known_ids(settings)

    def check(said: str) -> None:
        if not (said.isdecimal() and 0 < int(said) <= len(found)) and said not in known:
            near = nearest(said, known)
            raise UsageError(f"there is no {said!r}", hint=f"did you mean {near}?" if near else None)

    question, default = ("Which provider? Its number or its id", "1") if found else ("Which provider? Its id", "")
    said = ask(world, question, default, check)
    if said.isdecimal():
        return found[int(said) - 1]
    if there := next((each for each in found if each.provider_id == said), None):
        return there
    cls = registry.load(said, settings, world.env, world.fence_stdout)
    name = said if cls.default_model else f"{said}/MODEL"
    return Found(said, "", f"llmcli providers use {name}", works=not cls.api_key.required)
