"""
Prompts that are kept: `templates/NAME.toml` in the configuration directory, each with what it needs to be asked. Layer
1: knows config, schemas and errors.

A place of a prompt is `{name}`; `{{name}}` is those words themselves, and any other brace is only a brace, so that a
prompt may hold JSON. Values are put in once: what stands in them is never looked at again.
"""

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from math import isfinite
from typing import Any, NamedTuple

from llmcli import schema_short_form, schemas
from llmcli.config import SETTING_KEYS, Key, check_table, nearest, read_toml
from llmcli.errors import ConfigurationError, LlmError, UsageError
from llmcli.schemas import Wanted
from llmcli.types import NOTHING, Json

STDIN, WORDS = "stdin", "prompt"  # places that are not filled by --var
_OURS = frozenset((STDIN, WORDS))
_PLACE = re.compile(r"\{\{([A-Za-z_]\w*)\}\}|\{([A-Za-z_]\w*)\}", re.ASCII)
_NAME = re.compile(r"[A-Za-z0-9][\w.-]*", re.ASCII)

KEYS: dict[str, Key] = {
    "description": Key((str,), "What it is for, in a few words; `llmcli templates` shows it."),
    "system": Key((str,), "The system prompt; it may hold `{name}`."),
    "prompt": Key(
        (str,), "The prompt; it may hold `{name}`, `{stdin}` and `{prompt}` (the words of the command line)."
    ),
    "model": Key((str,), "The model where -m and -p say nothing."),
    "settings": Key((dict,), "temperature, max_tokens, top_p, stop, seed: where the command line says nothing."),
    "options": Key((dict,), "The provider's own, as `--option`."),
    "schema": Key((str, dict), "What the answer has to satisfy: as `--schema` takes it, or a JSON schema as a table."),
    "schema_multi": Key((bool,), "The answer is a list of such values."),
    "tools": Key((list,), "Tools that the model may call, as `--tool` names them.", items=str),
    "vars": Key((dict,), 'Values where --var says nothing: `name = "value"`.', items=str),
}


class Template(NamedTuple):
    """
    A template, checked. `names` are the variables that it has, in the order of their places; `values` what some of them
    are where nobody says otherwise.
    """

    name: str
    path: str
    description: str = ""
    system: str | None = None
    prompt: str | None = None
    model: str | None = None
    settings: Mapping[str, Json] = NOTHING
    options: Mapping[str, Json] = NOTHING
    schema: Wanted | None = None
    tools: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    values: Mapping[str, str] = NOTHING

    @property
    def places(self) -> frozenset[str]:
        """Whether the prompt says where stdin goes, and where the words of the command line."""
        return frozenset(_places([self.prompt or ""])) & _OURS


# --- files ----------------------------------------------------------------------------------------


def names(directory: str | None) -> list[str]:
    """The names of all templates, sorted."""
    folder = f"{directory}/templates"
    try:
        files = os.listdir(folder) if directory is not None else []
    except OSError:
        return []
    found = (file.removesuffix(".toml") for file in files if file.endswith(".toml") and _may_be_one(f"{folder}/{file}"))
    return sorted(name for name in found if _NAME.fullmatch(name))


def _may_be_one(path: str) -> bool:
    """Whether it is a file, or something that was meant to be one: what lies there may not keep us waiting."""
    return os.path.isfile(path) or not os.path.exists(path)


def every(directory: str | None) -> list[tuple[str, Template | LlmError]]:
    """All templates by their names, or what is wrong with them."""
    found: list[tuple[str, Template | LlmError]] = []
    for name in names(directory):
        try:
            found.append((name, load(name, directory)))
        except LlmError as exc:
            found.append((name, exc))
    return found


def load(name: str, directory: str | None) -> Template:
    """
    A template by its name, checked whole. Raises `ConfigurationError` that names the file and the key which is wrong,
    or the nearest name where there is no such template.
    """
    known = names(directory)
    if name not in known:
        near = nearest(name, known)
        hint = f"did you mean {near}?" if near else "`llmcli templates` lists those that there are"
        where = f" in {directory}/templates" if directory is not None else ""
        raise ConfigurationError(f"there is no template {name!r}{where}", hint=hint)
    path = f"{directory}/templates/{name}.toml"
    table = read_toml(path)
    check_table(table, KEYS, path, "")
    check_table(table.get("settings", {}), SETTING_KEYS, path, "settings")
    for key in ("schema", "options"):
        _check_json(table.get(key), path, key)
    for option in table.get("options", {}):
        if "=" in option:
            raise ConfigurationError(f"{path}: options.{option}: the name of an option holds no =")
    tools = tuple(_from_here(word, path) if _is_python(word) else word for word in table.get("tools", ()))
    for word in filter(_is_python, tools):
        file = word if word.endswith(".py") else word.rpartition(":")[0]
        if not os.path.isfile(file):
            raise ConfigurationError(f"{path}: tools: there is no file {file}")
    used = tuple(dict.fromkeys(_places([table.get("system", ""), table.get("prompt", "")])))
    _check_places(table, used, path)
    return Template(
        name,
        path,
        description=table.get("description", ""),
        system=table.get("system"),
        prompt=table.get("prompt"),
        model=table.get("model"),
        settings=table.get("settings", {}),
        options=table.get("options", {}),
        schema=_schema(table, path),
        tools=tools,
        names=tuple(each for each in used if each not in _OURS),
        values=table.get("vars", {}),
    )


def _check_places(table: Mapping[str, Any], used: Sequence[str], path: str) -> None:
    for name in _places([table.get("system", "")]):
        if name in _OURS:
            raise ConfigurationError(
                f"{path}: system holds {{{name}}}, which belongs into the prompt",
                hint=f"the words themselves are written {{{{{name}}}}}",
            )
    if _places([table.get("prompt", "")]).count(STDIN) > 1:
        raise ConfigurationError(f"{path}: prompt holds {{{STDIN}}} more than once")
    for name in table.get("vars", {}):
        if name in _OURS:
            raise ConfigurationError(f"{path}: vars.{name} cannot be chosen: {{{name}}} is filled by the call")
        if name not in used:
            near = nearest(name, used)
            raise ConfigurationError(
                f"{path}: vars.{name} is used nowhere", hint=f"did you mean {near}?" if near else None
            )


def _check_json(value: Any, path: str, dotted: str) -> None:
    """TOML has dates, times and numbers that are none, and JSON has not."""
    if isinstance(value, dict | list):
        for name, each in value.items() if isinstance(value, dict) else enumerate(value, 1):
            _check_json(each, path, f"{dotted}.{name}")
    elif not isinstance(value, str | int | float | None):
        raise ConfigurationError(f"{path}: {dotted} is a date or time, which JSON does not have")
    elif isinstance(value, float) and not isfinite(value):
        raise ConfigurationError(f"{path}: {dotted} is {value}, which JSON does not have")


def _schema(table: Mapping[str, Any], path: str) -> Wanted | None:
    """The schema of a template. A file is looked for beside the template."""
    many = table.get("schema_multi", False)
    if "schema" not in table:
        if many:
            raise ConfigurationError(f"{path}: schema_multi needs a schema")
        return None
    said = table["schema"]
    try:
        if isinstance(said, dict):
            return schemas.wanted(said, f"{path}: schema", many=many)
        is_file = not schema_short_form.is_short(said) and not said.lstrip().startswith("{")
        return schemas.read(_from_here(said, path) if is_file else said, many=many)
    except UsageError as exc:
        told = exc.message if path in exc.message else f"{path}: schema: {exc.message.removeprefix('--schema: ')}"
        raise ConfigurationError(told, hint=exc.hint) from exc


def _from_here(file: str, path: str) -> str:
    """A file that a template names, as it is found from anywhere."""
    return os.path.join(os.path.dirname(path), os.path.expanduser(file))


def _is_python(word: str) -> bool:
    return word.endswith(".py") or word.rpartition(":")[0].endswith(".py")


# --- variables ------------------------------------------------------------------------------------


def variables(pairs: Iterable[str]) -> dict[str, str]:
    """What `--var name=value` says. Raises `UsageError` for what is none, or is said twice."""
    found: dict[str, str] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not re.fullmatch(r"[A-Za-z_]\w*", name, re.ASCII):
            raise UsageError(f"--var {pair!r} should be name=value")
        if name in found:
            raise UsageError(f"--var {name} is said twice")
        found[name] = value
    return found


def chosen(template: Template, given: Mapping[str, str]) -> dict[str, str]:
    """The value of each variable: what is given, else what the template says. Raises `UsageError` for what is amiss."""
    for name in given:
        if name not in template.names:
            near = nearest(name, template.names)
            known = f"its variables: {', '.join(template.names) or 'none'}"
            raise UsageError(
                f"the template {template.name} has no variable {name!r}",
                hint=f"did you mean {near}?" if near else known,
            )
    values = {**template.values, **given}
    missing = [name for name in template.names if name not in values]
    if missing:
        raise UsageError(
            f"the template {template.name} needs {', '.join(missing)}",
            hint=" ".join(f"--var {name}=..." for name in missing),
        )
    return values


def filled(pattern: str, values: Mapping[str, str]) -> str:
    """A pattern with its places filled. A place without a value stays as it is."""

    def value(found: re.Match[str]) -> str:
        literal, name = found.groups()
        return f"{{{literal}}}" if literal else values.get(name, found[0])

    return _PLACE.sub(value, pattern)


def _places(patterns: Iterable[str]) -> list[str]:
    return [found[2] for pattern in patterns for found in _PLACE.finditer(pattern) if found[2]]
