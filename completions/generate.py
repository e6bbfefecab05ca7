"""
Writes the completions for bash, zsh and fish from the real option tree: `python completions/generate.py` writes them,
`--check` says which are out of date and exits 1.

What a shell does by itself stands in `templates/`, with `@names@` where the tables of commands, options and values go.
The scripts start no process: a TAB starts no Python.
"""

import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from typer.main import get_command

from llmcli import registry
from llmcli.cli import command_line
from llmcli.provider import Capabilities

HERE = Path(__file__).parent
LINES = 5000  # of a list that a TAB reads; the longest of a provider has some hundreds

# What can stand where, beyond words that are known: names that a shell looks up when the TAB is pressed.
MODELS, PROVIDERS, ALIASES, FILES, DIRECTORIES = "models", "providers", "aliases", "files", "directories"


class Value(NamedTuple):
    """What completes a value: a kind of names that are looked up, or words; neither where nobody can know it."""

    kind: str = ""
    words: tuple[str, ...] = ()


class Option(NamedTuple):
    """An option: its names, what it means, what its value is called (empty: it takes none), and what can be that."""

    names: tuple[str, ...]
    help: str
    metavar: str = ""
    value: Value = Value()


class Argument(NamedTuple):
    """An argument that is no option: what it is called, what it can be, and whether more of it may follow."""

    metavar: str
    value: Value
    repeatable: bool


class Command(NamedTuple):
    """A command by its path (`models list`), with what belongs to it; `commands` are the names of its own commands."""

    path: tuple[str, ...]
    help: str
    options: tuple[Option, ...]
    arguments: tuple[Argument, ...]
    commands: tuple[str, ...]

    @property
    def model_of_argument(self) -> bool:
        """Whether its first argument is the provider whose models its --model is one of."""
        return bool(
            self.arguments
            and self.arguments[0].value.kind == PROVIDERS
            and any(option.value.kind == MODELS for option in self.options)
        )


# By what the help calls a value.
KINDS = {
    "PROVIDER/MODEL": MODELS,
    "ID/MODEL": MODELS,
    "PROVIDER": PROVIDERS,
    "ID": PROVIDERS,
    "FILE": FILES,
    "DIR": DIRECTORIES,
}
# What the help's word does not tell, by command and parameter; `None` stands for every command.
EXCEPTIONS: dict[tuple[str | None, str], Value] = {
    ("providers add", "id"): Value(),  # a new one
    ("models alias", "name"): Value(ALIASES),
    ("providers", "capability"): Value(words=Capabilities._fields),
    ("providers read", "model"): Value(MODELS),
    ("providers check", "model"): Value(MODELS),
    (None, "ca_bundle"): Value(FILES),
    (None, "attach"): Value(FILES),
    (None, "schema"): Value(FILES),
}


def main() -> int:
    """Write or check the three scripts."""
    commands = list(walk((), get_command(command_line())))
    stale = []
    for name, text in {"llmcli.bash": bash(commands), "_llmcli": zsh(commands), "llmcli.fish": fish(commands)}.items():
        path = HERE / name
        if path.exists() and path.read_text() == text:
            continue
        stale.append(name)
        if "--check" not in sys.argv:
            path.write_text(text)
    if "--check" in sys.argv and stale:
        print(f"out of date: {', '.join(stale)}; run `python completions/generate.py`", file=sys.stderr)
        return 1
    return 0


# --- the tree -------------------------------------------------------------------------------------


def walk(path: tuple[str, ...], command: Any) -> Iterator[Command]:
    """A command of the program and all that are below it."""
    params = [param for param in command.params if not getattr(param, "hidden", False)]
    options = [_option(path, param) for param in params if param.param_type_name == "option"]
    options.append(Option(("-h", "--help"), "Show the help and exit."))
    arguments = tuple(_argument(path, param) for param in params if param.param_type_name == "argument")
    inner = {name: sub for name, sub in getattr(command, "commands", {}).items() if not sub.hidden}
    summary = _sentence(command.help).partition(". ")[0].removesuffix(".")
    yield Command(path, summary, tuple(options), arguments, tuple(inner))
    for name, sub in inner.items():
        yield from walk((*path, name), sub)


def _option(path: tuple[str, ...], param: Any) -> Option:
    names = (*param.opts, *param.secondary_opts)
    if param.is_flag:
        return Option(names, _sentence(param.help))
    return Option(names, _sentence(param.help), _metavar(param), _value(path, param))


def _argument(path: tuple[str, ...], param: Any) -> Argument:
    return Argument(_metavar(param), _value(path, param), param.nargs == -1)


def _metavar(param: Any) -> str:
    """What the help calls it, without the brackets and dots that say how often it may stand there."""
    shown: str = param.metavar or param.name
    return shown.removesuffix("...").replace("[", "").replace("]", "")


def _value(path: tuple[str, ...], param: Any) -> Value:
    for command in (" ".join(path), None):
        if (command, param.name) in EXCEPTIONS:
            return EXCEPTIONS[command, param.name]
    choices = getattr(param.type, "choices", ())
    return Value(words=tuple(choices)) if choices else Value(KINDS.get(_metavar(param), ""))


def _sentence(text: str | None) -> str:
    return " ".join((text or "").split())


def _valued(commands: Iterable[Command]) -> list[str]:
    """The names of the options that take a value. One that does so in one command only would confuse people too."""
    options = [option for command in commands for option in command.options]
    valued = {name: None for option in options if option.metavar for name in option.names}
    flags = {name for option in options if not option.metavar for name in option.names}
    if both := flags & valued.keys():
        raise SystemExit(f"with a value in one command and without in another: {', '.join(sorted(both))}")
    return list(valued)


def _filled(template: str, tables: dict[str, str]) -> str:
    """A template with its tables."""
    text = (HERE / "templates" / template).read_text()
    for name, table in tables.items():
        text = text.replace(f"@{name}@", table)
    return text


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"


# --- bash -----------------------------------------------------------------------------------------


def bash(commands: list[Command]) -> str:
    """The script for bash. A command is named by its path with a blank before each word of it."""
    valued = _valued(commands)
    letters = "".join(name[1] for name in valued if len(name) == 2)
    every = [(command, option) for command in commands for option in command.options]
    flags = {name[1] for _, option in every for name in option.names if len(name) == 2} - set(letters)
    arguments = [
        (f"{_bash_path(command)} {'*' if argument.repeatable else place}", argument.value)
        for command in commands
        for place, argument in enumerate(command.arguments)
    ]
    values = [
        (f"{_bash_path(command)} {name}", option.value)
        for command, option in every
        if option.metavar
        for name in option.names
    ]
    return _filled(
        "llmcli.bash",
        {
            "flags": "".join(sorted(flags)),
            "letters": letters,
            "valued": " | ".join(valued),
            "commands": " | ".join(_quoted(_bash_path(command)) for command in commands if command.path),
            "provider_arguments": " | ".join(
                _quoted(f"{_bash_path(command)} 0") for command in commands if command.model_of_argument
            ),
            "values": _bash_kinds(values),
            "arguments": _bash_kinds(arguments),
            "options": _bash_words(commands, lambda command: _names(command.options)),
            "subcommands": _bash_words(commands, lambda command: command.commands),
            "lines": str(LINES),
            "ids": " ".join(registry.BUILT_IN),
        },
    )


_MARGIN = " " * 12  # of the lines of a `case` in the template


def _bash_path(command: Command) -> str:
    return "".join(f" {word}" for word in command.path)


def _names(options: Iterable[Option]) -> Iterable[str]:
    return (name for option in options for name in option.names)


def _bash_words(commands: Iterable[Command], words: Callable[[Command], Iterable[str]]) -> str:
    rows = [(_quoted(_bash_path(command)), " ".join(words(command))) for command in commands]
    return "\n".join(f"{_MARGIN}{pattern}) kind={_quoted(found)} ;;" for pattern, found in rows if found)


def _bash_kinds(places: Iterable[tuple[str, Value]]) -> str:
    """A line of a `case` for each value, with all the places where it can stand."""
    patterns: dict[Value, list[str]] = {}
    for place, value in places:
        if value != Value():
            quoted = f"{_quoted(place[:-1])}*" if place.endswith("*") else _quoted(place)
            patterns.setdefault(value, []).append(quoted)
    return "\n".join(
        f"{_MARGIN}{' | '.join(where)}) kind={_quoted(_bash_kind(value))} ;;" for value, where in patterns.items()
    )


def _bash_kind(value: Value) -> str:
    return f":{value.kind}" if value.kind else " ".join(value.words)


# --- zsh ------------------------------------------------------------------------------------------


def zsh(commands: list[Command]) -> str:
    """The script for zsh: a function for each command, which hands its specification to `_arguments`."""
    helps = {command.path: command.help for command in commands}
    return _filled(
        "_llmcli",
        {
            "functions": "\n".join(_zsh_function(command, helps) for command in commands),
            "ids": " ".join(registry.BUILT_IN),
        },
    )


_ZSH_COMMANDS = """\
    local -a found=({found})
    case $state in
        command) _describe -t commands command found ;;
        arguments) case $words[1] in
{cases}
        esac ;;
    esac
"""


def _zsh_function(command: Command, helps: dict[tuple[str, ...], str]) -> str:
    specs = [_zsh_option(option) for option in command.options]
    specs += [_zsh_argument(place, argument) for place, argument in enumerate(command.arguments, 1)]
    after = ""
    if command.commands:
        specs += ["'1:command:->command'", "'*::arguments:->arguments'"]
        found = " ".join(_quoted(f"{name}:{_escaped(helps[*command.path, name])}") for name in command.commands)
        cases = "\n".join(f"            {name}) {_zsh_name((*command.path, name))} ;;" for name in command.commands)
        after = _ZSH_COMMANDS.format(found=found, cases=cases)
    known = "provider_of_argument=1 " if command.model_of_argument else ""
    arguments = " \\\n        ".join(specs)
    return (
        f"{_zsh_name(command.path)}() {{\n    local {known}curcontext=$curcontext state line\n"
        f"    local -A opt_args\n    _arguments -C -s -S \\\n        {arguments}\n{after}}}\n"
    )


def _zsh_name(path: tuple[str, ...]) -> str:
    return "_".join(("_llmcli", *path))


def _escaped(text: str) -> str:
    """Help as it stands in a specification."""
    return text.replace("\\", "\\\\").replace(":", "\\:").replace("[", "\\[").replace("]", "\\]")


def _zsh_option(option: Option) -> str:
    described = f"[{_escaped(option.help)}]"
    if not option.metavar:
        names = option.names
    else:
        # `=`: its value may follow in the same word, behind a `=`; `+`: right behind it.
        names = tuple(f"{name}=" if name.startswith("--") else f"{name}+" for name in option.names)
        described += f":{option.metavar.lower()}:{_zsh_action(option.value)}"
    if len(names) == 1:
        return _quoted(f"*{names[0]}{described}")
    return f"'*'{{{','.join(names)}}}{_quoted(described)}"


def _zsh_argument(place: int, argument: Argument) -> str:
    where = "*" if argument.repeatable else place
    return _quoted(f"{where}:{argument.metavar.lower()}:{_zsh_action(argument.value)}")


def _zsh_action(value: Value) -> str:
    actions = {"": " ", FILES: "_files", DIRECTORIES: "_files -/"}
    if value.words:
        return f"({' '.join(value.words)})"
    return actions.get(value.kind, f"__llmcli_{value.kind}")


# --- fish -----------------------------------------------------------------------------------------


def fish(commands: list[Command]) -> str:
    """The script for fish: a line for each thing that can stand somewhere, and the command that it belongs to."""
    helps = {command.path: command.help for command in commands}
    return _filled(
        "llmcli.fish",
        {
            "valued": " ".join(_valued(commands)),
            "commands": " ".join(_fish_quoted(" ".join(command.path)) for command in commands if command.path),
            "provider_arguments": " ".join(
                _fish_quoted(" ".join(command.path)) for command in commands if command.model_of_argument
            ),
            "completions": "\n".join(line for command in commands for line in _fish_lines(command, helps)),
            "lines": str(LINES),
            "ids": " ".join(registry.BUILT_IN),
        },
    )


def _fish_lines(command: Command, helps: dict[tuple[str, ...], str]) -> Iterator[str]:
    path = " ".join(command.path)
    for name in command.commands:
        yield f"{_fish_at(path)} -a {name} -d {_fish_quoted(helps[*command.path, name])}"
    for place, argument in enumerate(command.arguments):
        if argument.value != Value():
            yield f"{_fish_at(path, '' if argument.repeatable else str(place))} {_fish_value(argument.value)}"
    for option in command.options:
        names = " ".join(f"-l {name[2:]}" if name.startswith("--") else f"-s {name[1:]}" for name in option.names)
        value = f" -r {_fish_value(option.value)}" if option.metavar else ""
        yield f"{_fish_at(path)} {names}{value} -d {_fish_quoted(option.help)}"


def _fish_at(path: str, place: str = "") -> str:
    condition = f"__llmcli_at {_fish_quoted(path)} {place}".rstrip()
    return f"complete -c llmcli -n {_fish_quoted(condition)}"


def _fish_value(value: Value) -> str:
    if value.words:
        return f"-f -a {_fish_quoted(' '.join(value.words))}"
    actions = {"": "-f", FILES: "-F", DIRECTORIES: "-f -a '(__fish_complete_directories)'"}
    return actions.get(value.kind, f"-f -a '(__llmcli_{value.kind})'")


def _fish_quoted(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


if __name__ == "__main__":
    sys.exit(main())
