"""
Definitions of tools that somebody else runs, as OpenAI's API has them: `--tool-defs FILE`. Layer 2.
"""

import json
from typing import Any

from llmcli import validation
from llmcli.errors import UsageError
from llmcli.tools.offered import is_name
from llmcli.types import Tool


def read(path: str) -> tuple[Tool, ...]:
    """
    The tools that a file defines: a list of `{"type": "function", "function": {...}}`, or of what stands inside one;
    or an object whose `tools` are such a list. Raises `UsageError` that names the file and the entry.
    """
    try:
        with open(path, "rb") as file:
            document: Any = json.loads(file.read())
    except OSError as exc:
        raise UsageError(f"cannot read {path}: {exc.strerror}") from exc
    except (ValueError, RecursionError) as exc:
        raise UsageError(f"{path} is no JSON: {exc}") from None
    listed = document.get("tools", [document]) if isinstance(document, dict) else document
    if not isinstance(listed, list) or not listed:
        raise UsageError(f"{path} defines no tools", hint='[{"type": "function", "function": {"name": ...}}]')
    tools = tuple(_tool(each, f"{path}: tool {number}") for number, each in enumerate(listed, 1))
    names = [tool.name for tool in tools]
    for name in names:
        if names.count(name) > 1:
            raise UsageError(f"{path}: two tools are called {name}")
    return tools


def _tool(entry: Any, place: str) -> Tool:
    function = entry.get("function", entry) if isinstance(entry, dict) else None
    if not isinstance(function, dict):
        raise UsageError(f"{place} is no object")
    name, description = function.get("name"), function.get("description") or ""
    if not isinstance(name, str) or not is_name(name):
        raise UsageError(f"{place} has no name of letters, digits, _ and -, at most 64 of them")
    if not isinstance(description, str):
        raise UsageError(f"{place} ({name}): its description is no text")
    parameters = function.get("parameters") or function.get("input_schema") or {"type": "object", "properties": {}}
    if not isinstance(parameters, dict):
        raise UsageError(f"{place} ({name}): its parameters are no JSON schema")
    if problem := validation.schema_problem(parameters):
        raise UsageError(f"{place} ({name}): its parameters are no JSON schema: {problem}")
    return Tool(name, description, parameters)
