"""
Prompts that are kept: what `chat --template` makes of one, and `llmcli templates`, which lists and shows them. Layer 3.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from llmcli import prompt_templates, registry
from llmcli.commands.prompt import Frame, as_text
from llmcli.commands.setup import read_config
from llmcli.commands.table import as_table
from llmcli.config import Config
from llmcli.errors import ConfigurationError, LlmError
from llmcli.output import json_text, one_line, visible
from llmcli.prompt_templates import Template
from llmcli.world import World


def named(name: str, variables: Sequence[str], world: World) -> Template:
    """
    The template of a name, with a value for each of its variables: those of `--var`, else its own. Raises
    `ConfigurationError` for a template that is broken or not there, `UsageError` for variables that are not right.
    """
    template = prompt_templates.load(name, world.directory)
    given = prompt_templates.variables(map(as_text, variables))
    return template._replace(values=prompt_templates.chosen(template, given))


def defaults(template: Template) -> dict[str, Any]:
    """What a template says in the place of the command line, by the names of `chat`'s arguments."""
    said = {**template.settings, "model": template.model, "tool": template.tools}
    if template.system is not None:
        said["system"] = prompt_templates.filled(template.system, template.values)
    said["option"] = tuple(f"{name}={json.dumps(value)}" for name, value in template.options.items())
    return said


def frame(template: Template) -> Frame | None:
    """The prompt of a template, which waits for the words and for stdin."""
    pattern = template.prompt
    if pattern is None:
        return None
    return Frame(template.places, lambda said: prompt_templates.filled(pattern, {**template.values, **said}))


# --- llmcli templates -----------------------------------------------------------------------------


def run(world: World, *, as_json: bool) -> None:
    """
    Print all templates: a line for each, with its variables and what it is for; what is wrong with one stands there
    too. Raises nothing for a template that is broken.
    """
    config = read_config(world, None, no_config=False, lenient=True)
    rows = [_row(name, found, config) for name, found in prompt_templates.every(world.directory)]
    if as_json:
        world.print(json_text(rows) + "\n")
        return
    if not rows:
        world.note(f"there are no templates in {world.directory}/templates" if world.directory else "there is no home")
        return
    shown = [{**row, "variables": " ".join(map(_shown, row.get("variables", ())))} for row in rows]
    columns = ("name", "variables", "model", "description")
    world.print(as_table(shown, columns, width=world.table_width(), spare=("model", "description")))


def show(name: str, world: World, *, as_json: bool) -> None:
    """Print one template, as it is checked. Raises `ConfigurationError` when it is broken or not there."""
    template = prompt_templates.load(name, world.directory)
    document = _document(template)
    if as_json:
        world.print(json_text(document) + "\n")
        return
    lines = [f"file: {one_line(template.path)}"]
    for key in ("description", "model"):
        lines += [f"{key}: {one_line(document[key])}"] if document[key] else []
    for key in ("settings", "options", "tools"):
        lines += [f"{key}: {json_text(document[key])}"] if document[key] else []
    lines += [f"variable: {_shown(each)}" for each in document["variables"]]
    lines += [f"schema: {json_text(document['schema'])}"] if document["schema"] else []
    for key in ("system", "prompt"):
        lines += [f"{key}:", *(f"  {line}" for line in visible(document[key]).splitlines())] if document[key] else []
    world.print("".join(f"{line}\n" for line in lines))


def _row(name: str, found: Template | LlmError, config: Config) -> dict[str, Any]:
    if isinstance(found, Template) and found.model is not None:
        try:
            registry.resolve(found.model, None, config)
        except LlmError as exc:
            found = ConfigurationError(f"{found.path}: model: {exc.message}")
    if isinstance(found, LlmError):
        return {"name": name, "description": "", "model": None, "variables": [], "problem": found.message}
    return {"name": name, "description": found.description, "model": found.model, "variables": _variables(found)}


def _document(template: Template) -> dict[str, Any]:
    return {
        "name": template.name,
        "path": template.path,
        "description": template.description,
        "model": template.model,
        "system": template.system,
        "prompt": template.prompt,
        "settings": dict(template.settings),
        "options": dict(template.options),
        "schema": template.schema.document if template.schema else None,
        "tools": list(template.tools),
        "variables": _variables(template),
        "stdin": prompt_templates.STDIN in template.places,
    }


def _variables(template: Template) -> list[dict[str, Any]]:
    return [{"name": name, "default": template.values.get(name)} for name in template.names]


def _shown(variable: Mapping[str, Any]) -> str:
    """`name`, or `name=value` where it has a value of its own."""
    default = variable["default"]
    return variable["name"] if default is None else f"{variable['name']}={one_line(default)}"
