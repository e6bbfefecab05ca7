"""
Writes the completions for bash, zsh and fish from the real option tree: `python completions/generate.py` writes them,
`--check` says which are out of date and exits 1.

The scripts are static: a TAB starts no Python. They complete commands, options, the values of options that are a
choice, files, and the ids of the built-in providers.
"""

import sys
from pathlib import Path
from typing import Any, NamedTuple

from typer.main import get_command

from llmcli import registry
from llmcli.cli import command_line

HERE = Path(__file__).parent
PROVIDER_OPTIONS = {"--provider", "--model", "--fallback"}
FILE_OPTIONS = {"--file", "--output", "--config", "--api-key-file", "--log-file", "--ca-bundle"}


class Option(NamedTuple):
    """An option: its names, what it means, whether it takes a value, and what can be that value."""

    names: tuple[str, ...]
    help: str
    takes_value: bool
    choices: tuple[str, ...]

    @property
    def is_file(self) -> bool:
        """Whether its value is a file."""
        return bool(FILE_OPTIONS & set(self.names))


class Command(NamedTuple):
    """A command by its path (`models list`), with its options and subcommands."""

    path: tuple[str, ...]
    help: str
    options: tuple[Option, ...]
    commands: tuple[str, ...]
    takes_provider: bool


def main() -> int:
    """Write or check the three scripts."""
    commands = list(_walk((), get_command(command_line())))
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


def _walk(path: tuple[str, ...], command: Any) -> "list[Command]":
    options = [_option(param) for param in command.params if param.param_type_name == "option"]
    options.append(Option(("-h", "--help"), "Show the help and exit.", False, ()))
    inner = getattr(command, "commands", {})
    arguments = [param.name for param in command.params if param.param_type_name == "argument"]
    walked = [Command(path, _sentence(command.help), tuple(options), tuple(inner), "provider" in arguments)]
    for name, sub in inner.items():
        walked += _walk((*path, name), sub)
    return walked


def _option(param: Any) -> Option:
    names = (*param.opts, *param.secondary_opts)
    choices = tuple(getattr(param.type, "choices", ()))
    if PROVIDER_OPTIONS & set(names):
        choices = tuple(registry.BUILT_IN)
    return Option(names, _sentence(param.help), not param.is_flag, choices)


def _sentence(text: str | None) -> str:
    return " ".join((text or "").split())


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"


# --- bash -----------------------------------------------------------------------------------------


def bash(commands: list[Command]) -> str:
    """The script for bash."""
    subcommands = "\n".join(
        f"        {_quoted(' '.join(command.path) or 'llmcli')}) words={_quoted(' '.join(command.commands))} ;;"
        for command in commands
    )
    options = "\n".join(
        f"        {_quoted(' '.join(command.path) or 'llmcli')}) "
        f"options={_quoted(' '.join(name for option in command.options for name in option.names))} ;;"
        for command in commands
    )
    values = "\n".join(
        f"        {'|'.join(option.names)}) mapfile -t COMPREPLY < <(compgen -W {_quoted(' '.join(option.choices))} -- "
        '"$current"); return ;;'
        for option in _with_choices(commands)
    )
    files = "|".join(sorted({name for option in _file_options(commands) for name in option.names}))
    plain = "|".join(sorted({name for option in _plain_options(commands) for name in option.names}))
    providers = "|".join(_quoted(" ".join(command.path)) for command in commands if command.takes_provider)
    return BASH.format(
        top="|".join(_quoted(f"llmcli {command.path[0]}") for command in commands if len(command.path) == 1),
        inner="|".join(_quoted(" ".join(command.path)) for command in commands if len(command.path) == 2),
        subcommands=subcommands, options=options, values=values, files=files, plain=plain, providers=providers,
        ids=" ".join(registry.BUILT_IN),
    )  # fmt: skip


BASH = """\
# bash completion for llmcli. Written by completions/generate.py; no Python is started.

_llmcli() {{
    local current=${{COMP_WORDS[COMP_CWORD]}} previous=${{COMP_WORDS[COMP_CWORD-1]}} command=llmcli words= options= word
    for word in "${{COMP_WORDS[@]:1:COMP_CWORD-1}}"; do
        [ "$word" = -- ] && return
        case "$command $word" in
            {top}) command=$word ;;
            {inner}) command="$command $word" ;;
        esac
    done
    case $previous in
{values}
        {files}) mapfile -t COMPREPLY < <(compgen -f -- "$current"); compopt -o filenames; return ;;
        {plain}) return ;;
    esac
    case $command in
{options}
    esac
    case $command in
{subcommands}
    esac
    case $command in
        {providers}) words='{ids}' ;;
    esac
    if [[ $current == -* ]]; then words=$options; fi
    mapfile -t COMPREPLY < <(compgen -W "$words" -- "$current")
}}
complete -F _llmcli llmcli
"""


def _all_options(commands: list[Command]) -> list[Option]:
    return list(dict.fromkeys(option for command in commands for option in command.options))


def _with_choices(commands: list[Command]) -> list[Option]:
    return [option for option in _all_options(commands) if option.choices]


def _file_options(commands: list[Command]) -> list[Option]:
    return [option for option in _all_options(commands) if option.is_file]


def _plain_options(commands: list[Command]) -> list[Option]:
    """Those that take a value which nobody can complete."""
    return [
        option for option in _all_options(commands) if option.takes_value and not option.choices and not option.is_file
    ]


# --- zsh ------------------------------------------------------------------------------------------


def zsh(commands: list[Command]) -> str:
    """The script for zsh."""
    functions = "\n".join(_zsh_function(command, commands) for command in commands)
    return (
        f'#compdef llmcli\n# Written by completions/generate.py; no Python is started.\n\n{functions}\n_llmcli "$@"\n'
    )


def _zsh_function(command: Command, commands: list[Command]) -> str:
    lines = [_zsh_option(option) for option in command.options]
    ids = " ".join(registry.BUILT_IN)
    after = ""
    if command.commands:
        names = " ".join(
            _quoted(f"{name}:{_escaped(_help_of((*command.path, name), commands))}") for name in command.commands
        )
        lines += ["'1:command:->command'", "'*::arguments:->arguments'"]
        cases = "\n".join(f"        {name}) {_zsh_name((*command.path, name))} ;;" for name in command.commands)
        after = (
            f"    case $state in\n    command) local -a found; found=({names}); _describe command found ;;\n"
            f"    arguments) case $words[1] in\n{cases}\n        esac ;;\n    esac\n"
        )
    elif command.takes_provider:
        lines.append(f"'*:provider:({ids})'")
    arguments = " \\\n        ".join(lines)
    return f"{_zsh_name(command.path)}() {{\n    local state\n    _arguments -C \\\n        {arguments}\n{after}}}\n"


def _zsh_name(path: tuple[str, ...]) -> str:
    return "_".join(("_llmcli", *path))


def _help_of(path: tuple[str, ...], commands: list[Command]) -> str:
    return next(command.help for command in commands if command.path == path)


def _escaped(text: str) -> str:
    return text.replace(":", "\\:").replace("[", "\\[").replace("]", "\\]")


def _zsh_option(option: Option) -> str:
    value = ""
    if option.takes_value:
        what = f"({' '.join(option.choices)})" if option.choices else "_files" if option.is_file else " "
        value = f":value:{what}"
    described = f"[{_escaped(option.help)}]{value}"
    if len(option.names) == 1:
        return _quoted(f"*{option.names[0]}{described}")
    return f"'*'{{{','.join(option.names)}}}{_quoted(described)}"


# --- fish -----------------------------------------------------------------------------------------


def fish(commands: list[Command]) -> str:
    """The script for fish."""
    lines = ["# fish completion for llmcli. Written by completions/generate.py; no Python is started.", ""]
    lines.append("complete -c llmcli -f")
    for command in commands:
        condition = _fish_condition(command, commands)
        for name in command.commands:
            shown = _quoted(_help_of((*command.path, name), commands))
            lines.append(f"complete -c llmcli -n {condition} -a {name} -d {shown}")
        if command.takes_provider:
            lines.append(f"complete -c llmcli -n {condition} -a {_quoted(' '.join(registry.BUILT_IN))}")
        lines += [f"complete -c llmcli -n {condition} {_fish_option(option)}" for option in command.options]
    return "\n".join(lines) + "\n"


def _fish_condition(command: Command, commands: list[Command]) -> str:
    seen = "; and ".join(f"__fish_seen_subcommand_from {name}" for name in command.path)
    top = " ".join(commands[0].commands)
    inner = " ".join(command.commands)
    if not command.path:
        return _quoted(f"not __fish_seen_subcommand_from {top}")
    return _quoted(f"{seen}; and not __fish_seen_subcommand_from {inner}" if inner else seen)


def _fish_option(option: Option) -> str:
    names = " ".join(f"-l {name[2:]}" if name.startswith("--") else f"-s {name[1:]}" for name in option.names)
    value = ""
    if option.takes_value:
        value = (
            f" -x -a {_quoted(' '.join(option.choices))}" if option.choices else " -r -F" if option.is_file else " -x"
        )
    return f"{names}{value} -d {_quoted(option.help)}"


if __name__ == "__main__":
    sys.exit(main())
