"""
JMESPath expressions from a configuration: what they may say, what they see, and where they are wrong. Layer 1: knows
types, errors, framing and config; the only user of jmespath.

The language is that of the JMESPath specification (jmespath.org) with the functions `if(condition, then, else)`,
`now_ms()`, `from_json(text)` and `to_json(value)`, and with one rule of ours: an object that an expression itself
builds (`{a: b}`) has no nulls, so that what nobody said is not sent. An object that it only hands on keeps its own.
"""

import json
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import Any, cast

import jmespath.functions
import jmespath.parser
import jmespath.visitor
from jmespath.exceptions import JMESPathError, LexerError, ParseError

from llmcli.config import nearest
from llmcli.errors import ConfigurationError, LlmError, ProviderFailed, RequestRejected
from llmcli.framing import parse_json, parse_object
from llmcli.types import ChatRequest, Json, Message, Thinking, Tool, ToolCall, ToolResult

Node = Any  # a node of a syntax tree: a dictionary of type, value and children

ROOTS = (
    "model", "messages", "turns", "system", "prompt", "max_tokens", "temperature", "top_p", "stop", "seed", "stream",
    "tools", "tool_choice", "schema", "thinking", "options", "vars",
)  # fmt: skip
"""The names that the expression of a request sees; `scope` says what they are."""

_SETTINGS = ("max_tokens", "temperature", "top_p", "stop", "seed", "tools", "tool_choice", "schema", "thinking")
_UNSAID = (None, (), "auto")  # what a request says that need not be told; `auto` is what every API does by itself
_SHOWN = 80  # characters of a value that an error message shows
_JSON_TYPES: Mapping[type, str] = {
    str: "a string", int: "a number", float: "a number", bool: "true or false", list: "a list", dict: "an object",
    type(None): "null",
}  # fmt: skip
_NEW_SCOPES = frozenset(
    ("projection", "filter_projection", "value_projection", "subexpression", "index_expression", "pipe")
)


_SYNTAX_HINTS = {
    "end": "is a bracket not closed?",
    "number": "as a value a number is written in backquotes: `5`; of a list, in brackets: a[0]",
    "unknown": "JMESPath has no such sign: a path begins with a name, and no `$` stands before it",
}

# --- the language ---------------------------------------------------------------------------------


class _Functions(jmespath.functions.Functions):
    """The functions of the specification, and ours. `if` stands in the interpreter, because it is lazy."""

    @jmespath.functions.signature()
    def _func_now_ms(self) -> int:
        return int(time.time() * 1000)

    @jmespath.functions.signature({"types": ["string"]})
    def _func_from_json(self, text: str) -> object:
        try:
            return parse_json(text)
        except ProviderFailed as exc:
            raise ValueError(exc.message) from None

    @jmespath.functions.signature({"types": []})
    def _func_to_json(self, value: object) -> str:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def truth(value: object) -> bool:
    """Whether a value counts as true: everything does but null, false, and what is empty. 0 does."""
    return not (value is None or value is False or value in ("", [], {}))


class _Interpreter(jmespath.visitor.TreeInterpreter):
    def visit_function_expression(self, node: Node, value: object) -> object:
        if node["value"] != "if":
            return super().visit_function_expression(node, value)
        condition, then, *otherwise = node["children"]
        if truth(self.visit(condition, value)):
            return self.visit(then, value)
        return self.visit(otherwise[0], value) if otherwise else None

    def visit_multi_select_dict(self, node: Node, value: object) -> object:
        built = super().visit_multi_select_dict(node, value)
        return {name: item for name, item in built.items() if item is not None} if built else built


# One interpreter serves all: it keeps no state, and making one for each search costs three times the search.
_FUNCTIONS = _Functions()
_interpreter = _Interpreter(jmespath.visitor.Options(custom_functions=_FUNCTIONS))


class Expression:
    """
    One expression. `place` says where it stands (`FILE: providers.acme.chat.content`), for every message about it.

    Raises `ConfigurationError` with the position for a text that is none, or that asks for a function that does not
    exist, in the wrong number of arguments, or - where `roots` are given - for a name that is not among them. `failing`
    is the error that is raised when a search goes wrong: what is wrong with a request is the configuration's fault,
    what is wrong with an answer the provider's. `hint` is what to do when something else stands where it looks.
    """

    def __init__(
        self,
        text: str,
        place: str,
        *,
        roots: Iterable[str] | None = None,
        failing: type[LlmError] = ProviderFailed,
        hint: str | None = None,
    ) -> None:
        self.text = text
        self.place = place
        self.hint = hint
        self._failing = failing
        self._tree = _parsed(text, place)
        _check_functions(self._tree, text, place)
        if roots is not None:
            _check_roots(self._tree, text, place, tuple(roots))
        self._steps = _steps(self._tree)
        self._run = _compiled(self._tree)

    def find(self, document: Any) -> Json:
        """What the expression finds in a document; `None` is "nothing there"."""
        if self._steps is None:
            return self._search(document)  # anything but a plain path
        return cast(Json, _walked(self._steps, document))

    def text_in(self, document: object) -> str | None:
        """The text that it finds, or `None`. Raises the error of `wrong` for anything else."""
        found = self.find(document)
        if found is None or type(found) is str:
            return found
        raise self.wrong(document, found, "a string")

    def object_in(self, document: object) -> Mapping[str, Json]:
        """The object that it finds, or an empty one. Raises the error of `wrong` for anything else."""
        found = self.find(document)
        if found is None:
            return {}
        if isinstance(found, dict):
            return found
        raise self.wrong(document, found, "an object")

    def wrong(self, document: object, found: object, wanted: str) -> LlmError:
        """The error for an answer that does not have what the expression promised: the path, and what stands there."""
        return self._failing(
            f"{self.place} should find {wanted}, but {self._where(document, found)}",
            hint=self.hint,
            retryable=False,
        )

    def uses(self, name: str) -> bool:
        """Whether it asks for a name of its outermost document (`prompt`), or for a field of one (`options.style`)."""
        name, _, field = name.partition(".")
        asked = [node for node in _root_fields(self._tree) if node["value"] == name]
        if not field:
            return bool(asked)
        fields = [node["children"][1] for node in _nodes(self._tree) if _is_field_of(node, name)]
        return len(asked) > len(fields) or field in {each["value"] for each in fields}

    def _search(self, document: object) -> Json:
        try:
            return cast(Json, self._run(document))
        except (JMESPathError, TypeError, ValueError, ArithmeticError, AttributeError, RecursionError) as exc:
            reason = "it is nested too deeply" if isinstance(exc, RecursionError) else shortened(str(exc))
            raise self._failing(f"{self.place} cannot be worked out: {reason}") from exc

    def _where(self, document: object, found: object) -> str:
        """What was found, and for a plain path how far it goes."""
        at, seen = document, ""
        for step in self._steps or ():
            inner = at.get(step) if isinstance(at, dict) else _item(at, step)
            if inner is None:
                break
            at, seen = inner, f"{seen}{_step_text(step, seen)}"
        else:
            return f"{self.text} is {described(found)}"
        return f"{self.text} is null: {seen or 'the document'} is {described(at)}"


def described(value: object) -> str:
    """What a value is, for a message: an object by its keys, a list by its length, anything else by itself."""
    if isinstance(value, dict):
        return f"an object with {shortened(', '.join(map(str, value)))}" if value else "an empty object"
    if isinstance(value, list):
        return f"a list of {len(value)}"
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    return f"{_JSON_TYPES.get(type(value), type(value).__name__)}: {shortened(json.dumps(value, ensure_ascii=False))}"


def shortened(text: str) -> str:
    """As much of a text as a message has room for."""
    text = " ".join(text.split())
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "…"


# --- plain paths ----------------------------------------------------------------------------------


def _steps(tree: Node) -> tuple[str | int, ...] | None:
    """
    The steps of a plain path (`choices[0].delta.content`), which nearly every expression of an answer is; `None` for
    anything else. Walking them takes a fifth of the interpreter's time, for every piece of every stream.
    """
    kind = tree["type"]
    if kind in ("field", "index"):
        return (tree["value"],)
    if kind in ("identity", "current"):
        return ()
    if kind in ("subexpression", "index_expression"):
        parts = [_steps(child) for child in tree["children"]]
        if None not in parts:
            return tuple(step for part in parts for step in cast("tuple[str | int, ...]", part))
    return None


def _is_field_of(node: Node, name: str) -> bool:
    """Whether a node is `name.field`."""
    children = node.get("children", ())
    return node["type"] == "subexpression" and all(
        child["type"] == "field" and value in (None, child["value"])
        for child, value in zip(children, (name, None), strict=True)
    )


def _compiled(tree: Node) -> Callable[[Any], Any]:
    """
    The interpreter's work for a tree, without walking the tree again for every record: for what the expressions of
    streams are made of. Whatever else there is goes to the interpreter.
    """
    kind, children = tree["type"], tree.get("children", ())
    if (steps := _steps(tree)) is not None:
        return partial(_walked, steps)
    if kind == "literal":
        return lambda document: tree["value"]
    if kind == "comparator" and tree["value"] in ("eq", "ne"):
        compare = _interpreter.COMPARATOR_FUNC[tree["value"]]
        left, right = map(_compiled, children)
        return lambda document: compare(left(document), right(document))
    if kind == "function_expression" and tree["value"] == "if":
        condition, then, *rest = map(_compiled, children)
        otherwise = rest[0] if rest else lambda document: None
        return lambda document: (then if truth(condition(document)) else otherwise)(document)
    if kind == "or_expression":
        first, second = map(_compiled, children)
        return lambda document: found if truth(found := first(document)) else second(document)
    if kind == "and_expression":
        first, second = map(_compiled, children)
        return lambda document: second(document) if truth(found := first(document)) else found
    if kind in ("pipe", "subexpression"):
        return partial(_one_after_the_other, tuple(map(_compiled, children)))
    return partial(_interpreter.visit, tree)


def _one_after_the_other(parts: tuple[Callable[[Any], Any], ...], document: Any) -> Any:
    for part in parts:
        document = part(document)
    return document


def _walked(steps: tuple[str | int, ...], document: Any) -> Any:
    for step in steps:
        document = document.get(step) if type(step) is str and type(document) is dict else _item(document, step)
    return document


def _item(document: object, at: str | int) -> object:
    if type(document) is list and type(at) is int and -len(document) <= at < len(document):
        return document[at]
    return None


def _step_text(step: str | int, before: str) -> str:
    if isinstance(step, int):
        return f"[{step}]"
    name = step if re.fullmatch(r"[A-Za-z_]\w*", step) else json.dumps(step)
    return f".{name}" if before else name


# --- what is wrong with an expression -------------------------------------------------------------


def _parsed(text: str, place: str) -> Node:
    try:
        return cast(Node, jmespath.parser.Parser().parse(text).parsed)
    except ParseError as exc:
        at = exc.lexer_position if isinstance(exc, LexerError) else exc.lex_position
        said = exc.message if isinstance(exc, LexerError) else f"unexpected {exc.token_value!r}"
        mistake = _mistake(text, place, at, said if at < len(text) else "it ends too early")
        mistake.hint = _SYNTAX_HINTS.get(exc.token_type.lower() if at < len(text) else "end")
        raise mistake from exc
    except JMESPathError as exc:
        raise ConfigurationError(f"{place}: the expression is empty") from exc


def _mistake(text: str, place: str, at: int, problem: str) -> ConfigurationError:
    """The error for a mistake at a position: the line and column of it, and what stands there."""
    line, column = text.count("\n", 0, at) + 1, at - (text.rfind("\n", 0, at) + 1) + 1
    where = f"line {line}, column {column}" if "\n" in text.strip() else f"column {column}"
    there = " ".join(text[at : at + 30].split())
    return ConfigurationError(f"{place}: {problem} at {where}" + (f": {there}" if there else ""))


def _check_functions(tree: Node, text: str, place: str) -> None:
    for node in _nodes(tree):
        if node["type"] != "function_expression":
            continue
        name, given = node["value"], len(node["children"])
        least, most = _arity(name)
        if name == "if" and any(child["type"] == "expref" for child in node["children"]):
            raise _mistake(text, place, _position(text, name, r"\s*\("), "if() takes values, not an expression (&),")
        if least is None:
            mistake = _mistake(text, place, _position(text, name, r"\s*\("), f"unknown function {name}()")
            near = nearest(name, ["if", *_FUNCTIONS.FUNCTION_TABLE])
            mistake.hint = f"did you mean {near}()?" if near else None
            raise mistake
        if given < least or (most is not None and given > most):
            wanted = f"{least}" if most == least else f"{least} to {most}" if most else f"{least} or more"
            problem = f"{name}() takes {wanted} argument{'' if wanted == '1' else 's'}, not {given},"
            raise _mistake(text, place, _position(text, name, r"\s*\("), problem)


def _arity(name: str) -> tuple[int | None, int | None]:
    """The least and the most arguments of a function; no least: there is none of this name; no most: any number."""
    if name == "if":
        return 2, 3
    spec = _FUNCTIONS.FUNCTION_TABLE.get(name)
    if spec is None:
        return None, None
    signature = spec["signature"]
    variadic = bool(signature and signature[-1].get("variadic"))
    return len(signature), None if variadic else len(signature)


def _check_roots(tree: Node, text: str, place: str, roots: tuple[str, ...]) -> None:
    for node in _root_fields(tree):
        if node["value"] not in roots:
            name = node["value"]
            mistake = _mistake(text, place, _position(text, name, r"\b"), f"unknown name {name}")
            mistake.hint = _name_hint(name, roots)
            raise mistake


def _name_hint(name: str, roots: tuple[str, ...]) -> str:
    if name in ("true", "false", "null"):
        return f"as a value it is written in backquotes: `{name}`"
    if not name.isidentifier():
        return f"a text is written in single quotes: '{name}'"
    near = nearest(name, roots)
    return f"did you mean {near}?" if near else f"it sees {', '.join(roots)}"


def _position(text: str, name: str, then: str) -> int:
    """Where a name stands. The syntax tree does not say, and a message may point at the first of several."""
    found = re.search(rf"(?<![\w.]){re.escape(name)}{then}", text) or re.search(re.escape(name), text)
    return found.start() if found else 0


def _nodes(tree: Node) -> Iterator[Node]:
    yield tree
    for child in tree.get("children", ()):
        if isinstance(child, dict):  # the children of a slice are numbers
            yield from _nodes(child)


def _root_fields(tree: Node) -> Iterator[Node]:
    """The fields that are looked up in the outermost document, and not in what was found there."""
    kind, children = tree["type"], tree.get("children", ())
    if kind == "field":
        yield tree
    elif kind == "expref":
        return
    elif kind in _NEW_SCOPES:
        yield from _root_fields(children[0])
    else:
        for child in children:
            if isinstance(child, dict):
                yield from _root_fields(child)


# --- what the expression of a request sees ---------------------------------------------------------


def scope(request: ChatRequest, *, stream: bool, variables: Mapping[str, Json]) -> dict[str, Json]:
    """
    What the expression of a request sees; what was not said is null.

    `messages`: all of them, `{role, content}` with `content` always a string, an assistant's `thinking`, its
    `signature` and `tool_calls` where it has them (each call with what else the service said of it), and what came of
    each call as a message of its own, `{role: 'tool', content, name, tool_call_id}`, with `failed` where it did;
    `turns`: the same without the system message; `system` and `prompt`: the texts of the system message and of the last
    message of the user; `options`: what `--option` gave; `tools`: those that the model may call, or the option of that
    name; `tool_choice`: `auto`, `none`, `required` or the name of one; `schema`: the JSON schema of the answer;
    `thinking`: `off`, `low`, `medium`, `high` or a number of tokens; `vars`: the table of that name. Tools and calls
    are in OpenAI's form.
    """
    messages: list[Json] = [each for message in request.messages for each in _messages(message)]
    tools: list[Json] = [_tool(each) for each in request.tools]
    return {
        "model": request.model,
        "messages": messages,
        "turns": [each for message in request.messages if message.role != "system" for each in _messages(message)],
        "system": "\n\n".join(each.text for each in request.messages if each.role == "system") or None,
        "prompt": next((each.text for each in reversed(request.messages) if each.role == "user"), None),
        "max_tokens": request.max_tokens,
        "temperature": request.temperature,
        "top_p": request.top_p,
        "stop": list(request.stop) or None,
        "seed": request.seed,
        "stream": stream,
        "tools": request.options.get("tools", tools or None),
        "tool_choice": request.tool_choice,
        "schema": dict(request.schema.document) if request.schema is not None else None,
        "thinking": request.thinking,
        "options": dict(request.options),
        "vars": dict(variables),
    }


def check_used(request: ChatRequest, uses: Callable[[str], bool], whose: str, place: str) -> None:
    """
    Raise `RequestRejected` for what a request says and no expression uses: it would be dropped without a word. `place`
    is where the expression stands that could use it.
    """
    said = [name for name in _SETTINGS if getattr(request, name) not in _UNSAID]
    if any(isinstance(part, ToolResult) for message in request.messages for part in message.parts):
        said.append("turns" if uses("turns") else "messages")
    if any(each.role == "system" for each in request.messages) and not uses("messages"):
        said.append("system")
    unused = [name for name in said if not uses(name)]
    for name in request.options:
        if not (uses(f"options.{name}") or (name == "tools" and uses("tools"))):
            unused.append(f"options.{name}")
    if unused:
        raise RequestRejected(
            f"{whose} cannot be told {unused[0]}: no expression of it uses that", hint=f"use {unused[0]} in {place}"
        )


def _messages(message: Message) -> Iterator[Json]:
    """A message as the expressions see it: what came of each tool call, and what is said besides."""
    results = [part for part in message.parts if isinstance(part, ToolResult)]
    for each in results:
        failed: dict[str, Json] = {"failed": True} if each.failed else {}
        yield {"role": "tool", "content": each.content, "name": each.name, "tool_call_id": each.id, **failed}
    if not results or message.text:
        yield _said(message)


def _said(message: Message) -> Json:
    said: dict[str, Json] = {"role": message.role, "content": message.text}
    if thinking := "".join(part.text for part in message.parts if isinstance(part, Thinking)):
        said["thinking"] = thinking
    thoughts = (part for part in message.parts if isinstance(part, Thinking))
    if signatures := [part.opaque["signature"] for part in thoughts if "signature" in part.opaque]:
        said["signature"] = signatures[-1]
    calls = [part for part in message.parts if isinstance(part, ToolCall)]
    if calls:
        said["tool_calls"] = [
            {
                **call.opaque,
                "id": call.id,
                "type": "function",
                "function": {"name": call.name, "arguments": _arguments(call)},
            }
            for call in calls
        ]
    return said


def _arguments(call: ToolCall) -> str:
    """Always the JSON of an object, so that `from_json` reads it: what the model wrote and is none stands in one."""
    if parse_object(call.arguments) is not None:
        return call.arguments
    return json.dumps({"arguments": call.arguments}, ensure_ascii=False)


def _tool(tool: Tool) -> Json:
    described: dict[str, Json] = {"description": tool.description} if tool.description else {}
    return {"type": "function", "function": {"name": tool.name, **described, "parameters": dict(tool.parameters)}}
