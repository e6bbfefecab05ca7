"""
Version 2: messages as roles and contents; a stream of SSE events whose name stands in their data too.
"""

import json
from base64 import b64encode
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from llmcli.errors import ProviderFailed, UsageError
from llmcli.framing import Record, as_object, as_text, parse_json, parse_object
from llmcli.providers.tool_calls import CallIds
from llmcli.types import (
    Attachment,
    ChatRequest,
    Event,
    Json,
    Message,
    Metadata,
    Text,
    Tool,
    ToolCall,
    ToolCallDelta,
    ToolResult,
)

from llmcli_cohere.reading import CohereReader, plan_of, raise_reported, results_of, thinking_of, tool_calls_of

_BUDGETS = {"low": 1024, "medium": 8192, "high": 24576}
_ANSWER = 1000  # tokens that the page on reasoning advises to leave for the answer

# --- our messages -> their messages ---------------------------------------------------------------


def check(request: ChatRequest) -> None:
    """Refuse to think where no room would be left for the answer. Raises `UsageError`."""
    if request.thinking in (None, "off", 0) or request.max_tokens is None:
        return
    if not 0 < _budget(request) <= request.max_tokens - _ANSWER:
        raise UsageError(
            f"--max-tokens {request.max_tokens} leaves no room for --thinking {request.thinking}",
            hint=f"what is thought counts among them, and {_ANSWER} should be left for the answer",
        )


def conversation(messages: Sequence[Message]) -> dict[str, Json]:
    """
    The part of the request that says what was said. The API refuses messages without content; they are left out. What
    follows a call begins with its result. The calls of another provider may have ids that came before.
    """
    said: list[Json] = []
    calls: list[ToolCall] = []
    sent: list[str] = []  # the ids with which they were sent
    ids = CallIds()
    for message in messages:
        if message.role != "system":
            results = results_of(calls, message)
            known = [*sent, *(result.id for _, result in results[len(sent) :])]
            said += [_result(call_id, result) for call_id, (_, result) in zip(known, results, strict=True)]
            calls = tool_calls_of(message)
            sent = ids.calls(calls)
        if converted := _message(message, sent):
            said.append(converted)
    return {"messages": said}


def _message(message: Message, ids: Sequence[str]) -> dict[str, Json] | None:
    """A message in the API's form; `ids` are those of its calls, if it has any."""
    if calls := tool_calls_of(message):
        plan: dict[str, Json] = {"tool_plan": said} if (said := plan_of(message)) else {}
        made: list[Json] = [_call(call, call_id) for call, call_id in zip(calls, ids, strict=True)]
        return {"role": message.role, **plan, "tool_calls": made}
    if any(isinstance(part, Attachment) for part in message.parts):
        return {"role": message.role, "content": [block for part in message.parts if (block := _block(part))]}
    thought, text = thinking_of(message), message.text
    if not text.strip():
        return None
    if thought:
        blocks: list[Json] = [{"type": "thinking", "thinking": thought}, {"type": "text", "text": text}]
        return {"role": message.role, "content": blocks}
    return {"role": message.role, "content": text}


def _call(call: ToolCall, call_id: str) -> Json:
    """The arguments are text that the API reads as an object; what is none goes back inside one."""
    arguments = call.arguments
    if parse_object(arguments) is None:
        arguments = json.dumps({"INVALID_JSON": arguments}, ensure_ascii=False)
    return {"id": call_id, "type": "function", "function": {"name": call.name, "arguments": arguments}}


def _result(call_id: str, result: ToolResult) -> Json:
    """What failed is told as an object, because the API has no other word for it."""
    content = json.dumps({"error": result.content}, ensure_ascii=False) if result.failed else result.content
    return {"role": "tool", "tool_call_id": call_id, "content": content}


def _block(part: object) -> Json:
    match part:
        case Text(text) if text.strip():
            return {"type": "text", "text": text}
        case Attachment(media_type, data, url):
            address = url or f"data:{media_type};base64,{b64encode(data).decode()}"
            return {"type": "image_url", "image_url": {"url": address}}
    return None


# --- tools and thinking ---------------------------------------------------------------------------


def controls(request: ChatRequest) -> dict[str, Json]:
    """The tools, which of them to call, and how much to think."""
    fields: dict[str, Json] = {}
    if tools := _offered(request):
        fields["tools"] = [_tool(tool) for tool in tools]
        if request.tool_choice not in (None, "auto"):
            fields["tool_choice"] = "NONE" if request.tool_choice == "none" else "REQUIRED"
    if request.thinking is not None and "thinking" not in request.without:
        fields["thinking"] = _thinking(request)
    return fields


def _offered(request: ChatRequest) -> list[Tool]:
    """The API cannot be told to call a certain tool, but to call one, and then there is no other."""
    if request.tool_choice in (None, "auto", "none", "required"):
        return list(request.tools)
    return [tool for tool in request.tools if tool.name == request.tool_choice]


def _tool(tool: Tool) -> Json:
    described: dict[str, Json] = {"description": tool.description} if tool.description else {}
    return {"type": "function", "function": {"name": tool.name, **described, "parameters": dict(tool.parameters)}}


def _thinking(request: ChatRequest) -> Json:
    if request.thinking in ("off", 0):
        return {"type": "disabled"}
    return {"type": "enabled", "token_budget": _budget(request)}


def _budget(request: ChatRequest) -> int:
    """The tokens to think for. Where we choose them, the answer has its room."""
    if isinstance(request.thinking, int):
        return request.thinking
    usual = _BUDGETS.get(request.thinking or "off", 0)
    return usual if request.max_tokens is None else min(usual, request.max_tokens - _ANSWER)


# --- their answer -> our events -------------------------------------------------------------------


@dataclass(slots=True)
class _OpenCall:
    """A tool call that has begun and is not complete."""

    id: str
    name: str
    fragments: list[str] = field(default_factory=list)


class AnswerReader(CohereReader):
    """Reads one answer. A whole one may have no content at all, if it calls tools."""

    def __init__(self) -> None:
        super().__init__()
        self._open: dict[int, _OpenCall] = {}

    def feed(self, record: Record) -> Iterator[Event]:
        """See `Reader.feed`. A `[DONE]` that some servers add says nothing: the answer ends with `message-end`."""
        if record.data.strip() == "[DONE]":
            return iter(())
        event = as_object(parse_json(record.data))
        delta = as_object(event.get("delta"))
        message = as_object(delta.get("message"))
        match as_text(event.get("type")) or record.event:
            case "content-delta" | "content-start":
                return self._content(as_object(message.get("content")))
            case "content-end":
                return self._thought()
            case "tool-plan-delta":
                return self._think("tool_plan", as_text(message.get("tool_plan")))
            case "tool-call-start":
                return self._begin(_index(event), as_object(message.get("tool_calls")))
            case "tool-call-delta":
                return self._continue(_index(event), as_object(message.get("tool_calls")))
            case "tool-call-end":
                return self._complete(_index(event))
            case "citation-start":
                self._citations.append(message.get("citations"))
            case "message-start":
                return _described(event)
            case "message-end":
                return self._end(delta)
            case _:  # `debug`, and what the API does not say yet
                raise_reported(event)
        return iter(())

    def whole(self, document: object) -> Iterator[Event]:
        """See `Reader.whole`."""
        answer = as_object(document)
        raise_reported(answer)
        if not isinstance(answer.get("message"), dict):
            raise ProviderFailed("the answer has no message")
        message = as_object(answer["message"])
        yield from _described(answer)
        yield from self._contents(message.get("content"))
        yield from self._think("tool_plan", as_text(message.get("tool_plan")))
        for index, call in enumerate(_objects(message.get("tool_calls"))):
            yield from self._call(_tool_call(index, _open_call(call)))
        self._citations += _objects(message.get("citations"))
        yield from self._end(answer)

    def _contents(self, contents: Json) -> Iterator[Event]:
        """The blocks of a whole answer, or its text where a server writes no blocks."""
        if isinstance(contents, str):
            yield from self._say(contents)
        elif contents is None or isinstance(contents, list):
            for block in _objects(contents):
                yield from self._content(block)
        else:
            raise ProviderFailed("the content of the answer is neither text nor a list")

    def _content(self, content: Mapping[str, Json]) -> Iterator[Event]:
        """Thinking or text; a block that starts may already have some."""
        yield from self._think("thinking", as_text(content.get("thinking")))
        yield from self._say(as_text(content.get("text")))

    def _begin(self, index: int, call: Mapping[str, Json]) -> Iterator[Event]:
        self._open[index] = _open_call(call)
        return self._thought()

    def _continue(self, index: int, call: Mapping[str, Json]) -> Iterator[Event]:
        fragment = as_text(as_object(call.get("function")).get("arguments"))
        if index in self._open and fragment:
            self._open[index].fragments.append(fragment)
            yield ToolCallDelta(self._open[index].name, fragment)

    def _complete(self, index: int) -> Iterator[Event]:
        call = self._open.pop(index, None)
        if call is not None:
            yield from self._call(_tool_call(index, call))

    def _end(self, delta: Mapping[str, Json]) -> Iterator[Event]:
        for index in sorted(self._open):
            yield from self._complete(index)
        yield from self._finish(
            as_text(delta.get("finish_reason")), as_object(delta.get("usage")), as_text(delta.get("error"))
        )


def _described(answer: Mapping[str, Json]) -> Iterator[Event]:
    if answer.get("id"):
        yield Metadata({"id": answer["id"]})


def _open_call(call: Mapping[str, Json]) -> _OpenCall:
    function = as_object(call.get("function"))
    given = function.get("arguments") or ""
    arguments = given if isinstance(given, str) else json.dumps(given, ensure_ascii=False)
    return _OpenCall(as_text(call.get("id")), as_text(function.get("name")), [arguments])


def _tool_call(index: int, call: _OpenCall) -> ToolCall:
    """A tool without arguments streams nothing but "" (deepset-ai/haystack-core-integrations#1947)."""
    arguments = "".join(call.fragments)
    if not arguments.strip():
        arguments = "{}"
    return ToolCall(call.id or f"call_{index}", call.name, arguments, valid=parse_object(arguments) is not None)


def _objects(value: Json) -> list[dict[str, Json]]:
    return [as_object(item) for item in value] if isinstance(value, list) else []


def _index(event: Mapping[str, Json]) -> int:
    index = event.get("index")
    return index if isinstance(index, int) else 0
