"""
What a request says about tools, about how much to think and about the form of the answer, in Gemini's fields.

Sources: the SDK google-genai 3.4.0 (`types.py`), and Google's pages on function calling, thinking and structured output
(ai.google.dev).
"""

import json
import re

from llmcli.types import ChatRequest, Json, Tool

from llmcli_gemini import schema

# Models whose thinking is a number of tokens, and models that do not think at all. All others take a level.
_BY_BUDGET = re.compile(r"\bgemini-2\.[5-9]")
_NEVER_THINKS = re.compile(r"\bgemini-(?:1|2\.[0-4])|\bgemma-[1-3]")
_BUDGETS = {"off": 0, "low": 1024, "medium": 8192, "high": 24576}
_LEVELS = {"off": "MINIMAL", "low": "LOW", "medium": "MEDIUM", "high": "HIGH"}

FORM = "responseJsonSchema"  # in `ChatRequest.without`: the form of the answer is asked for in words instead
_FORM_REFUSED = re.compile(
    r"(?i)response.?(?:mime.?type|(?:json.?)?schema)|json mode|controlled generation|structured output|specified schema"
)
_THINKS_ALWAYS = re.compile(r"(?i)only works in thinking mode|\bminimal\b.*not supported|budget 0 is invalid")


def tool_fields(request: ChatRequest) -> dict[str, Json]:
    """The functions that the model may call, and whether it has to."""
    fields: dict[str, Json] = {}
    if request.tools:
        fields["tools"] = [{"functionDeclarations": [_declaration(tool) for tool in request.tools]}]
        if request.tool_choice is not None:
            fields["toolConfig"] = {"functionCallingConfig": _choice(request.tool_choice)}
    return fields


def _declaration(tool: Tool) -> Json:
    """A function; one that takes nothing has no schema, because an object without properties was long refused."""
    declared: dict[str, Json] = {"name": tool.name}
    if tool.description:
        declared["description"] = tool.description
    if tool.parameters.get("properties"):
        declared["parametersJsonSchema"] = schema.accepted(tool.parameters)
    return declared


def _choice(asked: str) -> dict[str, Json]:
    modes = {"auto": "AUTO", "none": "NONE", "required": "ANY"}
    return {"mode": modes[asked]} if asked in modes else {"mode": "ANY", "allowedFunctionNames": [asked]}


def thinking_config(request: ChatRequest) -> dict[str, Json]:
    """
    How much to think, and that the thoughts be told. A model takes a budget or a level, and never both; one that never
    thinks has nothing that could be turned off.
    """
    asked = request.thinking
    if asked is None or (asked in ("off", 0) and _NEVER_THINKS.search(request.model)):
        return {}
    told: dict[str, Json] = {} if asked in ("off", 0) else {"includeThoughts": True}
    if _BY_BUDGET.search(request.model):
        return {**told, "thinkingBudget": asked if isinstance(asked, int) else _BUDGETS[asked]}
    return {**told, "thinkingLevel": _LEVELS[_level(asked)]}


def _level(asked: str | int) -> str:
    """The lowest level that allows so many tokens."""
    if isinstance(asked, str):
        return asked
    return next((level for level, tokens in _BUDGETS.items() if asked <= tokens), "high")


def always_thinks(complaint: str) -> bool:
    """Whether a model refuses not to think."""
    return bool(_THINKS_ALWAYS.search(complaint))


def form(request: ChatRequest) -> dict[str, Json]:
    """The form of the answer, as a part of `generationConfig`; an empty schema wants any JSON."""
    if request.schema is None or FORM in request.without:
        return {}
    constraint = {FORM: schema.accepted(request.schema.document)} if request.schema.document else {}
    return {"responseMimeType": "application/json", **constraint}


def form_in_words(request: ChatRequest) -> str:
    """The same as an instruction, for models that have no such field, or not beside functions."""
    if request.schema is None or FORM not in request.without:
        return ""
    wanted = json.dumps(dict(request.schema.document), ensure_ascii=False)
    return f"Answer with nothing but one JSON document that this JSON schema allows:\n{wanted}"


def refuses_form(request: ChatRequest, complaint: str) -> bool:
    """Whether it is the form that a model refuses, and could still be asked for in words."""
    if request.schema is None or request.schema.firm or FORM in request.without:
        return False
    return bool(_FORM_REFUSED.search(complaint))
