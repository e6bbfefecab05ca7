"""
Text in which a model calls tools, in the forms that models were trained on or are asked for -> the calls. Layer 2:
values in, values out; knows types and framing.

Braces are never counted by a regular expression: a JSON body is read by a decoder, which knows what a string is. What
stands in a fence of code, in a thought or behind a backtick is quoted, and a marker that no call follows is prose.
"""

import ast
import json
import re
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from llmcli.framing import json_decoder
from llmcli.types import Tool

MOST_CALLS = 32  # of one answer; the rest is noise
_MOST_MARKERS = 2 * MOST_CALLS  # that are looked at; nobody may make us read a long text again and again
_MOST_END_TOKENS = 4
_LONGEST = 256 * 1024  # characters of one call that are read leniently
_NAMES = ("name", "tool", "function", "action")
_ARGUMENTS = ("arguments", "parameters", "params", "args", "input", "action_input")
_BESIDE = {"id", "type", "index"}  # what else an object may hold that is a call
_PREFIXES = ("functions.", "default_api:", "default_api.")
_DECODER = json_decoder()
_LENIENT = json_decoder(strict=False)
_CLOSERS = {"{": "}", "[": "]"}
_NOTHING = object()


class Found(NamedTuple):
    """A call as it was found. An id is there only where the model wrote one."""

    name: str
    arguments: str
    valid: bool = True
    id: str = ""


class Form(NamedTuple):
    """The tools that were offered, and how the model was asked to call them."""

    tools: tuple[Tool, ...]
    style: str

    def offers(self, name: str) -> bool:
        """Whether there is a tool of this name."""
        return any(tool.name == name for tool in self.tools)

    def only_parameter(self, name: str) -> str | None:
        """The parameter of a tool that has one."""
        for tool in self.tools:
            if tool.name == name and len(properties := tool.parameters.get("properties", {})) == 1:
                return str(next(iter(properties)))
        return None

    def may_be_a_call(self, text: str) -> bool:
        """Whether a message that begins like this may as a whole be a call without any marker."""
        start = text.lstrip()
        if start.startswith("```"):
            word, newline, start = start[3:].partition("\n")
            if not newline:
                return any(each.startswith(word.strip()) for each in ("json", "tool_call", "tool_code"))
            if word.strip() not in ("", "json", "tool_call", "tool_code"):
                return False
            start = start.lstrip()
        elif start.startswith("`"):
            return "```".startswith(start)
        if start.startswith("["):
            # `[TOOL_CALLS]` is a marker; a list of calls begins with an object, or with the name of a tool.
            inner = start[1:].lstrip()
            return not inner or inner[0] == "{" or any(_begins(inner, tool.name) for tool in self.tools)
        return not start or start[0] == "{"


def _begins(text: str, name: str) -> bool:
    call = f"{name}("
    return text.startswith(call) or call.startswith(text)


def whole_message(text: str, form: Form, *, complete: bool) -> list[Found]:
    """
    The calls of a message that is nothing else: JSON with a name and arguments, or Python's own calls. There is no
    marker, so each must name a tool that there is. `complete` is that of `calls_in`.
    """
    bare = re.sub(r"^```\w*\s*\n|\n?```$", "", _without_end_tokens(text.strip())).strip()
    found = _of_documents(bare, form, complete=complete) or _pythonic(bare, form)
    return found[:MOST_CALLS] if all(form.offers(each.name) for each in found) else []


def _without_end_tokens(text: str) -> str:
    """The text without the special tokens at its end, such as `<|eom_id|>`, which some servers hand on."""
    for _ in range(_MOST_END_TOKENS):
        at = text.rfind("<")
        if at < 0 or not re.fullmatch(r"<\|\w+\|>|</s>", text[at:]):
            break
        text = text[:at].rstrip()
    return text


def _of_documents(text: str, form: Form, *, complete: bool) -> list[Found]:
    """The calls of JSON documents, perhaps with semicolons between; nothing if anything else is in the text."""
    at, found = 0, list[Found]()
    while at < len(text) and len(found) < MOST_CALLS:
        body = _json_from(text, at, complete=complete)
        documents = body.value if isinstance(body.value, list) else [body.value]
        if not documents or not all(_has_arguments(each) for each in documents):
            return []
        found += _of_json(documents, form)
        rest = text[body.end :].lstrip("; \t\r\n")
        at = len(text) - len(rest)
    return found


def _has_arguments(document: Any) -> bool:
    if not isinstance(document, dict):
        return False
    inner = document.get("function")
    return not {*_ARGUMENTS}.isdisjoint(inner if isinstance(inner, dict) else document)


def calls_in(text: str, form: Form, *, complete: bool) -> tuple[str, list[Found]]:
    """
    What stands before the first call in a text that begins with a marker, and the calls, up to what looks like a
    result, which the model has made up. `complete` says that the text came to an end, so that a bracket which is
    missing there is only that.

    Some servers begin the thought for the model, so that only its end is in the text: what comes before that was one.
    """
    found: list[Found] = []
    at, begins = 0, len(text)
    for _ in range(_MOST_MARKERS):
        marker = _next_marker(text, at, form, amid_calls=bool(found))
        if marker is None:
            break
        if marker.lastgroup == "thought_over":
            found, at, begins = [], marker.end(), len(text)
            continue
        calls, at = _READERS[marker.lastgroup or ""](text, marker, form, complete)
        if calls and not found:
            begins = marker.start()
        found += calls
    return text[:begins], found[:MOST_CALLS]


# --- what is quoted -------------------------------------------------------------------------------

_LINE = r"(?:^|(?<=\n)|(?<=</think>))"  # where a line begins; a thought may end in the middle of one
_FENCED = r"[ \t]*(?:(?:>|(?:[-*+]|\d{1,9}[.)])[ \t])[ \t]*)*(?:`{3,}|~{3,})"  # in a list or a quotation, too
_FENCE = re.compile(_FENCED)
_THINK_TAG = re.compile(r"(?<!`)(?:<think>|(?P<thought_over></think>))")
_THOUGHT_ENDS = re.compile(r"(?<!`)</think>")


def is_code(line: str, at: int = 0) -> bool:
    """Whether a line begins as code in a fence does, be it in a list or a quotation. No call stands in such a line."""
    return _FENCE.match(line, at) is not None


def fence_of(line: str, at: int = 0) -> str:
    """The fence that a line opens, if it opens one: not if it closes it itself."""
    found = _FENCE.match(line, at)
    fence = found[0].lstrip(" \t>-*+.)0123456789") if found else ""
    return "" if found and fence[0] == "`" and "`" in line[found.end() :] else fence


def closes(line: str, fence: str) -> bool:
    """Whether a line closes a fence."""
    inside = line.lstrip("> \t").rstrip()
    return inside.startswith(fence) and not inside.strip(fence[0])


def _next_marker(text: str, at: int, form: Form, *, amid_calls: bool) -> re.Match[str] | None:
    """
    The next marker that is one, neither quoted nor prose, or the end of a thought whose beginning is not there. Behind
    a call none comes after a result.
    """
    while found := _NEXT.search(text, at):
        if found.lastgroup == "fence":
            at = _behind_code(text, found.start(), found.end())
        elif found.lastgroup == "thought":
            ends = _THOUGHT_ENDS.search(text, found.end())
            at = ends.end() if ends else len(text)
        elif found.lastgroup == "invented":
            if amid_calls:
                tag = _THINK_TAG.search(text, found.end())
                return tag if tag and tag.lastgroup == "thought_over" else None
            at = found.end()
        elif found.lastgroup == "thought_over":
            return found
        elif is_prose(found) or found.lastgroup == ("plain" if form.style == "text-react" else "react"):
            at = found.end()
        else:
            return found
    return None


def _behind_code(text: str, start: int, at: int) -> int:
    """Where the code ends that begins with a fence at `start`; `at` is behind the fence."""
    line, at = _line_at(text, start, at)
    fence = fence_of(line)
    while fence and at < len(text):
        line, at = _line_at(text, at, at)
        if closes(line, fence):
            break
    return at


def _line_at(text: str, start: int, at: int) -> tuple[str, int]:
    """The text from `start` to the end of the line that `at` is in, and where the next line begins."""
    end = text.find("\n", at) + 1 or len(text)
    return text[start:end], end


def marker_at(line: str, at: int) -> re.Match[str] | None:
    """The marker that begins at a place, if a whole one does."""
    return _MARKER.match(line, at)


def is_prose(marker: re.Match[str]) -> bool:
    """Whether what follows a marker on its line cannot be a call: `TOOL_CALL: is what it writes` is an explanation."""
    return not _FOLLOWING[marker.lastgroup or ""].match(marker.string, marker.end())


# --- the forms ------------------------------------------------------------------------------------

_Read = tuple[list[Found], int]
_WORD = r"(?:tool[ _])?(?:arguments?|parameters?|params|args|(?:action[ _])?input)"
_LABEL = (  # what stands before arguments, however it is decorated; without a colon only where JSON follows
    rf"(?:[-*+>][ \t]+)?(?P<around>[*_`\"']*){_WORD}"
    r"(?:(?P=around)[ \t]*[:=]|[ \t]*[:=](?:[ \t]*(?P=around))?|(?P=around)(?=\s*(?:```\w*\s*)?[{\[]))"
)
_INTRODUCED = rf"\s*(?:[^\n:{{}}]{{1,60}}\b{_WORD}\b[^\n:{{}}]{{0,60}}:[ \t]*\n\s*)?"  # `Here are the arguments:`
_OBJECT = r"(?:```\w*\s*)?\{"
_GIVEN = re.compile(rf"{_INTRODUCED}(?:{_LABEL}[ \t]*|(?={_OBJECT}))", re.IGNORECASE)
_BARE = re.compile(rf"\s*{_OBJECT}")
_NAMED = re.compile(
    r"[ \t]*[*`'\"]*(?P<name>[\w.:-]{1,64})(?:\(\))?[*`'\"]*,?[ \t]*"
    rf"(?=\r?\n|\Z|(?:```\w*\s*)?\{{|{_LABEL})",
    re.IGNORECASE,
)
_OVER = r"\s*(?:\Z|</?(?:tool_call|tool_response|think|s)>|<function=|<\||\[/?TOOL_|\**(?:TOOL_CALL|TOOL_RESULT{})\**:)"
_PLAIN_OVER = re.compile(_OVER.format("|Observation"))
_REACT_OVER = re.compile(_OVER.format("|Observation|Action|Thought|Final Answer"))


def _plain(text: str, marker: re.Match[str], form: Form, complete: bool) -> _Read:
    """`TOOL_CALL: name`, and below it `ARGUMENTS: {...}`."""
    named = _NAMED.match(text, marker.end())
    if not named:
        body = _json_from(text, marker.end(), complete=complete)
        return _of_json(body.value, form), body.end
    name, at = _clean(named["name"]), named.end()
    if given := _GIVEN.match(text, at):
        return _with_json(name, text, given.end(), form, complete=complete)
    return _without_arguments(name, text, at, _PLAIN_OVER)


def _without_arguments(name: str, text: str, at: int, over: re.Pattern[str]) -> _Read:
    """
    A call behind whose name the text is `over`. If something else follows, it may be meant for arguments, and so the
    call is not valid: the tool must not run with its defaults instead.
    """
    if over.match(text, at):
        return [Found(name, "{}")], at
    return [Found(name, text[at:].lstrip().partition("\n")[0].strip(), valid=False)], at


def _react(text: str, marker: re.Match[str], form: Form, complete: bool) -> _Read:
    """`Action: name`, and below it `Action Input:` with JSON or plain text."""
    named = _NAMED.match(text, marker.end())
    if not named:
        return [], marker.end()
    name, at = _clean(named["name"]), named.end()
    given = _GIVEN.match(text, at)
    at = given.end() if given else at
    if re.compile(r"\s*(?:```\w*\s*)?[\[{\"]").match(text, at):
        return _with_json(name, text, at, form, complete=complete)
    if not given:
        return _without_arguments(name, text, at, _REACT_OVER)
    ends = re.compile(r"\n[ \t*]*(?:Observation|Thought|Action|Final Answer)\**:|\Z").search(text, at)
    end = ends.start() if ends else len(text)
    return [_call(name, text[at:end].strip(), form)], end


def _hermes(text: str, marker: re.Match[str], form: Form, complete: bool) -> _Read:
    """`<tool_call>{"name": ..., "arguments": ...}</tool_call>`, or with a `<function=name>` inside."""
    if inside := re.compile(rf"\s*{_FUNCTION}").match(text, marker.end()):
        return _function(text, inside, form, complete)
    body = _json_from(text, marker.end(), complete=complete)
    if body.value is _NOTHING:
        name = re.compile(r'\s*(?:\{\s*)?"?name"?\s*:\s*"([^"\n]+)"').match(text, marker.end())
        if not name:  # where code begins in what cannot be read, it is still looked for
            return [], marker.end() if "```" in text[marker.end() : body.end] else body.end
        return [Found(_clean(name[1]), text[marker.end() : body.end].strip(), valid=False)], body.end
    closing = re.compile(r"\s*(?:```)?\s*</tool_call>").match(text, body.end)
    return _of_json(body.value, form), closing.end() if closing else body.end


def _mistral(text: str, marker: re.Match[str], form: Form, complete: bool) -> _Read:
    """`[TOOL_CALLS]` and a list of calls, or `name[ARGS]{...}`, perhaps with an id between."""
    named = re.compile(r"\s*([\w.:-]+)(?:\[CALL_ID\]([\w-]+))?\[ARGS\]").match(text, marker.end())
    if not named:
        body = _json_from(text, marker.end(), complete=complete)
        return _of_json(body.value, form), body.end
    calls, at = _with_json(_clean(named[1]), text, named.end(), form, complete=complete)
    return [call._replace(id=named[2] or "") for call in calls], at


def _llama(text: str, marker: re.Match[str], form: Form, complete: bool) -> _Read:
    """`<|python_tag|>` and JSON, several of them between semicolons, or `name.call(key="value")` on one line."""
    at, found = marker.end(), list[Found]()
    while len(found) < MOST_CALLS and (body_at := re.compile(r"[\s;]*(?=[{\[])").match(text, at)):
        body = _json_from(text, body_at.end(), complete=complete)
        found += _of_json(body.value, form)
        at = body.end
    if found:
        return found, at
    line = text[at:].partition("<|e")[0].strip().partition("\n")[0]
    return _pythonic(line, form), at


def _function(text: str, marker: re.Match[str], form: Form, complete: bool) -> _Read:
    """`<function=name>{...}</function>`, or with a `<parameter=name>` for each argument."""
    name = _clean(marker[0].strip().removeprefix("<function=").removesuffix(">"))
    ends = re.compile(r"</function>|\Z").search(text, marker.end())
    end = ends.end() if ends else len(text)
    whole = text[marker.end() : text.rfind("</parameter>", marker.end(), end) + len("</parameter>")]
    pattern = re.compile(r"<parameter=([^>\n]{1,100})>\n?(.*?)\n?</parameter>", re.DOTALL)
    given = pattern.findall(whole)
    if given and "<parameter=" in pattern.sub("", text[marker.end() : end]):
        return [Found(name, text[marker.end() : end].strip(), valid=False)], end
    if given:
        return [Found(name, json.dumps({key.strip(): _value(said) for key, said in given}, ensure_ascii=False))], end
    if not text[marker.end() : end].replace("</function>", "").strip():
        return [Found(name, "{}")], end
    return _with_json(name, text, marker.end(), form, complete=complete)


_READERS: dict[str, Callable[[str, re.Match[str], Form, bool], _Read]] = {
    "plain": _plain,
    "react": _react,
    "hermes": _hermes,
    "mistral": _mistral,
    "llama": _llama,
    "function": _function,
}
_FUNCTION = r"<function=[^>\n]{1,100}>"
_MARKERS = (
    rf"(?P<plain>{_LINE}[ \t*]*TOOL_CALL\**:\**)|(?P<react>{_LINE}[ \t*]*Action\**:\**)|(?P<hermes>(?<!`)<tool_call>)"
    r"|(?P<mistral>(?<!`)\[TOOL_CALLS\])|(?P<llama>(?<!`)<\|python_tag\|>)"
    rf"|(?P<function>(?<!`){_FUNCTION})"
)
_MARKER = re.compile(_MARKERS)
_NEXT = re.compile(
    rf"(?P<fence>{_LINE}{_FENCED})|(?P<thought>(?<!`)<think>)|(?P<thought_over>(?<!`)</think>)"
    rf"|(?P<invented>{_LINE}[ \t*]*(?:TOOL_RESULT|Observation)\**:|(?<!`)(?:<tool_response>|\[TOOL_RESULTS\]))"
    rf"|{_MARKERS}"
)
_FOLLOWING = {
    "plain": re.compile(rf"{_NAMED.pattern}|[ \t]*(?:\r?\n|\Z|```|\{{)", re.IGNORECASE),
    "react": _NAMED,
    "hermes": re.compile(r"[ \t]*(?:\r?\n|\Z|```|[{\[\"<]|name\b)"),
    "mistral": re.compile(r"[ \t]*(?:\r?\n|\Z|```|[{\[]|[\w.:-]+\[)"),
    "llama": re.compile(r"[ \t;]*(?:\r?\n|\Z|```|[{\[]|[\w.]+\()"),
    "function": re.compile(r"[ \t]*(?:\r?\n|\Z|```|[{\[\"<])"),
}


def _pythonic(text: str, form: Form) -> list[Found]:
    """`[f(a=1), g()]` or `f(a=1)`: Python's syntax, of which only literals are read."""
    try:
        tree = ast.parse(text[:_LONGEST], mode="eval").body
        nodes = tree.elts if isinstance(tree, ast.List) else [tree]
        calls = []
        for node in nodes:
            if not isinstance(node, ast.Call) or node.args or any(each.arg is None for each in node.keywords):
                return []
            arguments = {str(each.arg): ast.literal_eval(each.value) for each in node.keywords}
            name = ast.unparse(node.func).removesuffix(".call")
            calls.append(Found(_clean(name), json.dumps(arguments, ensure_ascii=False, allow_nan=False)))
    except (SyntaxError, ValueError, TypeError, RecursionError, MemoryError):
        return []
    return calls


# --- calls out of JSON ----------------------------------------------------------------------------


def _of_json(value: Any, form: Form) -> list[Found]:
    """The calls that a JSON value tells: one object, or a list of them."""
    if isinstance(value, list):
        return [call for each in value for call in _of_json(each, form)]
    if not isinstance(value, dict):
        return []
    if isinstance(value.get("function"), dict):
        value = {"id": value.get("id"), **value["function"]}
    called = next((key for key in _NAMES if isinstance(value.get(key), str)), "")
    name = value[called] if called else ""
    if not _clean(name):
        return []
    given = next((value[key] for key in _ARGUMENTS if key in value), None)
    if given is None and value.keys() - {called, *_ARGUMENTS} - _BESIDE:  # which may be the arguments
        return [Found(_clean(name), json.dumps(value, ensure_ascii=False), valid=False)]
    call_id = value.get("id")
    return [_call(_clean(name), given, form)._replace(id=call_id if isinstance(call_id, str) else "")]


def _with_json(name: str, text: str, at: int, form: Form, *, complete: bool) -> _Read:
    """The call of a name whose arguments stand at a place, as JSON. Where nothing stands there are none."""
    body = _json_from(text, at, complete=complete)
    if body.value is not _NOTHING:
        return [_call(name, body.value, form)], body.end
    if not _BARE.match(text, at) and not re.compile(r"\s*\[(?!/?TOOL_)").match(text, at):
        return _without_arguments(name, text, at, _REACT_OVER if form.style == "text-react" else _PLAIN_OVER)
    return [Found(name, text[at : body.end].strip(), valid=False)], body.end


def _call(name: str, given: Any, form: Form) -> Found:
    """A call with what was given for its arguments: an object, one written as text, or the one argument that it has."""
    if isinstance(given, str):
        decoded = _json_from(given, 0, complete=False) if given.strip()[:1] == "{" else _Body(_NOTHING, 0)
        given = decoded.value if isinstance(decoded.value, dict) else given
    if given is None or given == "":
        given = {}
    if not isinstance(given, dict):
        only = form.only_parameter(name)
        if only is None:
            return Found(name, json.dumps(given, ensure_ascii=False), valid=False)
        given = {only: given}
    return Found(name, json.dumps(given, ensure_ascii=False))


def _clean(name: str) -> str:
    """A name without the decoration that models put around it."""
    name = name.strip().strip("`'\"*").removesuffix("()").strip()
    for prefix in _PREFIXES:
        name = name.removeprefix(prefix)
    return name


def _value(text: str) -> Any:
    try:
        return _DECODER.decode(text)
    except (ValueError, RecursionError):
        return text


# --- JSON as models write it ----------------------------------------------------------------------


class _Body(NamedTuple):
    """A value that was read, `_NOTHING` if none could be, and where it ends."""

    value: Any
    end: int


def _json_from(text: str, at: int, *, complete: bool) -> _Body:
    """The JSON value that stands at a place, behind blanks and perhaps in a fence of its own."""
    start = re.compile(r"\s*(?:```\w*\s*)?").match(text, at)
    at = start.end() if start else at
    try:
        body = _Body(*_DECODER.raw_decode(text, at))
    except (ValueError, RecursionError):
        body = _leniently(text, at, complete=complete)
    fence = re.compile(r"\s*```").match(text, body.end) if start and "```" in start[0] else None
    return body._replace(end=fence.end()) if fence else body


def _leniently(text: str, at: int, *, complete: bool) -> _Body:
    """A value with the mistakes that models make: raw newlines, trailing commas, Python's literals, a missing end."""
    if text[at : at + 1] not in _CLOSERS:
        return _Body(_NOTHING, at)
    missing, end = _extent(text, at)
    if missing and (missing[0] in "\"'" or not (complete and end == len(text))):  # half a text is no text
        return _Body(_NOTHING, end)
    for candidate in _mended(text[at:end].rstrip() + missing):
        if isinstance(candidate, dict | list):
            return _Body(candidate, end)
    return _Body(_NOTHING, end)


def _extent(text: str, at: int) -> tuple[str, int]:
    """Where a value ends that begins with a bracket; and if it does not, what would close it."""
    open_ones: list[str] = []
    quote = ""
    end, last = at, min(len(text), at + _LONGEST)
    while end < last:
        character = text[end]
        if quote:
            if character == "\\":
                end += 1
            elif character == quote:
                quote = ""
        elif character in "\"'":
            quote = character if character == '"' or _may_open(text, end) else ""
        elif character in _CLOSERS:
            open_ones.append(_CLOSERS[character])
        elif open_ones and character == open_ones[-1]:
            open_ones.pop()
            if not open_ones:
                return "", end + 1
        end += 1
    return quote + "".join(reversed(open_ones)), last


def _may_open(text: str, at: int) -> bool:
    """Whether an apostrophe begins a string: behind a bracket, a comma or a colon."""
    while text[at - 1] in " \t\r\n" and at:
        at -= 1
    return text[at - 1] in "{[,:("


_STRING = r'"(?:[^"\\]|\\.)*+(?:"|\\?\Z)'  # one without an end, too, so that it is read once


def _mended(text: str) -> Iterator[Any]:
    """What a text can mean, the strictest reading first."""
    without = re.sub(rf"({_STRING})|,(\s*[}}\]])", lambda found: found[1] or found[2], text, flags=re.DOTALL)
    for each in (text, without):
        try:
            yield _LENIENT.decode(each)
        except (ValueError, RecursionError):
            continue
    words = {"true": "True", "false": "False", "null": "None"}
    quoted = f"{_STRING}|{_STRING.replace(chr(34), chr(39))}"
    python = re.sub(
        rf"({quoted})|\b(true|false|null)\b", lambda found: found[1] or words[found[2]], text, flags=re.DOTALL
    )
    try:
        value = ast.literal_eval(python)
        json.dumps(value, allow_nan=False)
    except (SyntaxError, ValueError, TypeError, RecursionError, MemoryError):
        return
    yield value
