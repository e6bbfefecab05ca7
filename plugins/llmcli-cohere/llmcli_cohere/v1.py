"""
Version 1: one `message` with its `chat_history` and a `preamble`; a stream of JSON lines with an `event_type`.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import takewhile
from typing import Any

from llmcli.errors import ProviderFailed, RequestRejected, UsageError
from llmcli.framing import Record, as_object, as_text, parse_json, parse_object
from llmcli.types import ChatRequest, Event, Json, Message, Metadata, Tool, ToolCall, ToolCallDelta, ToolResult

from llmcli_cohere.reading import CohereReader, plan_of, raise_reported, results_of, tool_calls_of

_ROLES = {"user": "USER", "assistant": "CHATBOT", "system": "SYSTEM", "tool": "TOOL"}
_TYPES = {"string": "str", "integer": "int", "number": "float", "boolean": "bool", "array": "list", "object": "dict"}
_FACTS = ("search_queries", "search_results", "documents")  # of an answer that looked things up


# --- our messages -> their message and its history ------------------------------------------------


def check(request: ChatRequest) -> None:
    """
    Raises `UsageError` unless the conversation ends with the user, whose last turn is the `message`, or with what came
    of tool calls; and `RequestRejected` for what this version has no field for.
    """
    messages = request.messages
    if not messages or not (messages[-1].role == "user" or _has_results(messages[-1])):
        raise UsageError(
            "version 1 of Cohere's API takes only a conversation that ends with something that the user says",
            hint='api = "v2" takes any',
        )
    if request.tools and request.tool_choice not in (None, "auto", "none"):
        raise RequestRejected(
            "version 1 of Cohere's API leaves it to the model whether a tool is called", hint='api = "v2" does not'
        )
    if request.thinking not in (None, "off"):
        raise RequestRejected("version 1 of Cohere's API has no control over thinking", hint='api = "v2" has it')


def conversation(messages: Sequence[Message]) -> dict[str, Json]:
    """
    The part of the request that says what was said. System messages before the conversation are its preamble; later
    ones keep their place in the history.
    """
    leading = list(takewhile(lambda message: message.role == "system", messages))
    said: dict[str, Json] = {}
    if preamble := "\n\n".join(message.text for message in leading if message.text.strip()):
        said["preamble"] = preamble
    history: list[Json] = []
    calls: list[ToolCall] = []
    *earlier, last = messages[len(leading) :]
    for message in earlier:
        history += _turns(calls, message)
        calls = calls if message.role == "system" else tool_calls_of(message)
    results = _results(calls, last)
    if results and not _has_results(last):
        history.append({"role": "TOOL", "tool_results": results})
        results = []
    if history:
        said["chat_history"] = history
    return {**said, "message": last.text, **({"tool_results": results} if results else {})}


def _has_results(message: Message) -> bool:
    return any(isinstance(part, ToolResult) for part in message.parts)


def _turns(calls: Sequence[ToolCall], message: Message) -> list[Json]:
    """The turns of the history that a message is, behind these calls: their results, and what it says itself."""
    results = _results(calls, message) if message.role != "system" else []
    turns: list[Json] = [{"role": "TOOL", "tool_results": results}] if results else []
    return [*turns, turn] if (turn := _turn(message)) else turns


def _results(calls: Sequence[ToolCall], message: Message) -> list[Json]:
    """What came of the calls. There are no ids: a result names its call by all that the call was."""
    return [
        {"call": _call(call), "outputs": [{"error" if result.failed else "output": result.content}]}
        for call, result in results_of(calls, message)
    ]


def _turn(message: Message) -> dict[str, Json] | None:
    """A turn of the history. The text that stands beside tool calls is their plan."""
    if calls := tool_calls_of(message):
        return {"role": "CHATBOT", "message": plan_of(message), "tool_calls": [_call(call) for call in calls]}
    return {"role": _ROLES[message.role], "message": message.text} if message.text.strip() else None


def _call(call: ToolCall) -> Json:
    """Version 1 knows no ids, and parameters are an object; arguments that are none are kept as they are, in one."""
    parameters = parse_object(call.arguments)
    return {"name": call.name, "parameters": {"arguments": call.arguments} if parameters is None else parameters}


# --- tools ----------------------------------------------------------------------------------------


def controls(request: ChatRequest) -> dict[str, Json]:
    """The tools; those that must not be called are not told."""
    if not request.tools or request.tool_choice == "none":
        return {}
    return {"tools": [_tool(tool) for tool in request.tools]}


def _tool(tool: Tool) -> Json:
    properties, required = tool.parameters.get("properties", {}), tool.parameters.get("required", ())
    definitions: Json = {name: _parameter(schema, name in required) for name, schema in properties.items()}
    return {"name": tool.name, "description": tool.description, "parameter_definitions": definitions}


def _parameter(schema: Any, required: bool) -> Json:
    """A parameter in the words of Python's types; what they do not say stands in its description as JSON."""
    fields = schema if isinstance(schema, Mapping) else {}
    said = fields.get("type", "")
    kind = next((each for each in ([said] if isinstance(said, str) else said) if each != "null"), "")
    more = {name: value for name, value in fields.items() if name not in ("type", "description")}
    words = [str(fields.get("description", "")), json.dumps(more, ensure_ascii=False) if more else ""]
    described = " ".join(word for word in words if word)
    return {"type": _TYPES.get(kind, "str"), "required": required, **({"description": described} if described else {})}


# --- their answer -> our events -------------------------------------------------------------------


class AnswerReader(CohereReader):
    """Reads one answer, line by line or whole."""

    def __init__(self) -> None:
        super().__init__()
        self._begun = False
        self._planned = False
        self._calls = 0
        self._names: dict[object, str] = {}
        self._malformed: ProviderFailed | None = None

    def feed(self, record: Record) -> Iterator[Event]:
        """See `Reader.feed`. A malformed line is an error only if another follows: as the last one it was cut."""
        if self._malformed is not None:
            raise self._malformed
        try:
            line = as_object(parse_json(record.data))
        except ProviderFailed as exc:
            self._malformed = exc
            return iter(())
        self._begun = True
        return self.whole(line) if _is_whole(line) else self._event(line)

    def end(self) -> Iterator[Event]:
        """See `Reader.end`. If nothing but a malformed line came, that was no answer of Cohere's."""
        if self._malformed is not None and not self._begun:
            raise self._malformed
        return iter(())

    def whole(self, document: object) -> Iterator[Event]:
        """See `Reader.whole`. A whole answer is like the end of a stream that said nothing before it."""
        answer = as_object(document)
        raise_reported(answer)
        if not isinstance(answer.get("text"), str) and not answer.get("tool_calls"):
            raise ProviderFailed("the answer has no text")
        yield from _described(answer)
        yield from self._end(answer, answer)

    def _event(self, event: Mapping[str, Json]) -> Iterator[Event]:
        match event.get("event_type"):
            case "text-generation":
                return self._say(as_text(event.get("text")))
            case "stream-start":
                return _described(event)
            case "tool-calls-chunk":
                return self._chunk(event)
            case "tool-calls-generation":
                return self._generated(event)
            case "citation-generation":
                return self._cite(event)
            case "search-queries-generation" | "search-results":
                return _found(event)
            case "stream-end":
                return self._end(event, as_object(event.get("response")))
        raise_reported(event)  # `debug`, and what the API does not say yet
        return iter(())

    def _plan(self, text: str) -> Iterator[Event]:
        self._planned = self._planned or bool(text)
        return self._think("tool_plan", text)

    def _chunk(self, event: Mapping[str, Json]) -> Iterator[Event]:
        """A piece of the plan, or of a call that comes whole later; only the first piece of a call has its name."""
        yield from self._plan(as_text(event.get("text")))
        delta = as_object(event.get("tool_call_delta"))
        if name := as_text(delta.get("name")):
            self._names[str(delta.get("index"))] = name
        if fragment := as_text(delta.get("parameters")):
            yield from self._thought()
            yield ToolCallDelta(self._names.get(str(delta.get("index")), ""), fragment)

    def _generated(self, event: Mapping[str, Json]) -> Iterator[Event]:
        """The calls, complete, and with them the plan, complete too, unless it went by in pieces."""
        if not self._planned:
            yield from self._plan(as_text(event.get("text")))
        yield from self._tool_calls(event)

    def _tool_calls(self, answer: Mapping[str, Json]) -> Iterator[Event]:
        calls = answer.get("tool_calls")
        for call in map(as_object, calls if isinstance(calls, list) else ()):
            arguments = json.dumps(call.get("parameters") or {}, ensure_ascii=False)
            made = ToolCall(f"call_{self._calls}", as_text(call.get("name")), arguments)
            self._calls += 1
            yield from self._call(made)

    def _cite(self, event: Mapping[str, Json]) -> Iterator[Event]:
        citations = event.get("citations")
        self._citations += citations if isinstance(citations, list) else []
        return iter(())

    def _end(self, event: Mapping[str, Json], response: Mapping[str, Json]) -> Iterator[Event]:
        """
        The end repeats the whole answer: it says what nothing said before it, the text beside tool calls as their plan.
        Of what was cited and found the later word wins.
        """
        if self._silent:
            text = as_text(response.get("text"))
            yield from self._plan(text) if response.get("tool_calls") else self._say(text)
        if not self._called:
            yield from self._tool_calls(response)
        if cited := response.get("citations"):
            self._citations = cited if isinstance(cited, list) else []
        yield from _found(response)
        meta = as_object(response.get("meta"))
        if warnings := meta.get("warnings"):
            yield Metadata({"warnings": warnings})
        raw = as_text(event.get("finish_reason")) or as_text(response.get("finish_reason"))
        yield from self._finish(raw, meta)


def _is_whole(line: Mapping[str, Json]) -> bool:
    """Whether a line is all of an answer, from a server that does not stream."""
    return "event_type" not in line and ("text" in line or "tool_calls" in line)


def _described(answer: Mapping[str, Json]) -> Iterator[Event]:
    if answer.get("generation_id"):
        yield Metadata({"id": answer["generation_id"]})


def _found(answer: Mapping[str, Json]) -> Iterator[Event]:
    if facts := {name: answer[name] for name in _FACTS if answer.get(name)}:
        yield Metadata(facts)
