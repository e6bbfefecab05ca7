"""
OpenAI's Responses API: what is sent, and what is read. Layer 2, pure: knows types, errors, framing, http_errors and the
contract.

A conversation is a list of items here: messages, calls, their results, and reasoning, which the service wants back as
it came (encrypted, because nothing is stored there) directly in front of what it led to. Such an item travels as the
opaque data of a `Thinking` part under the name of the model that it came from; another model does not get it.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

from llmcli import http_errors
from llmcli.errors import ProviderFailed, RequestRejected
from llmcli.framing import Record, as_object, as_text, parse_json, parse_object
from llmcli.provider import Reader, raise_error_in
from llmcli.providers.chat_reader import FIELDS, read_usage
from llmcli.providers.content_parts import input_part
from llmcli.providers.strict_schema import named
from llmcli.providers.thinking_control import effort_word
from llmcli.providers.tool_calls import CallIds, new_call_id
from llmcli.types import (
    Attachment,
    ChatRequest,
    Event,
    Finish,
    FinishReason,
    Json,
    Message,
    Metadata,
    Schema,
    Text,
    TextDelta,
    Thinking,
    ThinkingDelta,
    ThinkingEnd,
    Tool,
    ToolCall,
    ToolCallDelta,
    ToolResult,
)

JsonObject = dict[str, Json]

SUMMARY = "reasoning.summary"  # words of `ChatRequest.without`
INCLUDE = "include"
STRICT = "strict"

# --- requests -------------------------------------------------------------------------------------


def refuse(request: ChatRequest) -> None:
    """Raise `RequestRejected` for what chat completions take and this API does not."""
    for name, value in (("stop", request.stop or None), ("seed", request.seed)):
        if value is not None:
            raise RequestRejected(f"the Responses API has no {name}", hint="--option api=chat asks in the other API")


def body(request: ChatRequest, origin: str, *, stream: bool, system_role: str, text_format: bool) -> JsonObject:
    """
    The body of a request, without the options. `origin` names the provider and the model, whose reasoning goes back.
    `text_format`: that the answer is to be text is said, too (lmstudio-ai/lmstudio-bug-tracker#1576).
    """
    refuse(request)
    sent: JsonObject = {"model": request.model, "input": items(request, origin, system_role), "store": False}
    if stream:
        sent["stream"] = True
    if INCLUDE not in request.without:
        sent["include"] = ["reasoning.encrypted_content"]
    said: JsonObject = {
        "max_output_tokens": request.max_tokens,
        "temperature": request.temperature,
        "top_p": request.top_p,
        "tools": [_tool(tool) for tool in request.tools] or None,
        "tool_choice": _choice(request.tool_choice) if request.tools else None,
        "reasoning": _reasoning(request),
        "text": _text(request, said=text_format),
    }
    return {**sent, **{name: value for name, value in said.items() if value is not None}}


def _tool(tool: Tool) -> JsonObject:
    """Not a strict one: what is left out here is strict, and then every parameter would be required."""
    described: JsonObject = {"description": tool.description} if tool.description else {}
    parameters = dict(tool.parameters)
    return {"type": "function", "name": tool.name, **described, "parameters": parameters, "strict": False}


def _choice(choice: str | None) -> Json:
    return choice if choice in (None, "auto", "none", "required") else {"type": "function", "name": choice}


def _reasoning(request: ChatRequest) -> JsonObject | None:
    if request.thinking is None:
        return None
    effort: JsonObject = {"effort": effort_word(request.thinking)}
    if effort["effort"] != "none" and SUMMARY not in request.without:
        effort["summary"] = "auto"
    return effort


def _text(request: ChatRequest, *, said: bool) -> JsonObject | None:
    if request.schema is not None:
        return {"format": _format(request.schema, strictly=STRICT not in request.without)}
    return {"format": {"type": "text"}} if said else None


def _format(schema: Schema, *, strictly: bool) -> JsonObject:
    return {"type": "json_schema", **named(schema, strictly=strictly)} if schema.document else {"type": "json_object"}


def items(request: ChatRequest, origin: str, system_role: str) -> list[Json]:
    """The conversation as items."""
    ids = CallIds()
    return [item for message in request.messages for item in _items(message, origin, system_role, ids)]


def _items(message: Message, origin: str, system_role: str, ids: CallIds) -> Iterator[JsonObject]:
    if message.role == "assistant":
        yield from _said(message, origin, ids)
    elif message.role == "tool":
        results = [part for part in message.parts if isinstance(part, ToolResult)]
        for result, call_id in zip(results, ids.results(results), strict=True):
            yield {"type": "function_call_output", "call_id": call_id, "output": result.content}
    elif message.role == "system":
        yield {"role": system_role, "content": message.text}
    elif any(isinstance(part, Attachment) for part in message.parts):
        yield {"role": "user", "content": [input_part(p) for p in message.parts if isinstance(p, Text | Attachment)]}
    else:
        yield {"role": "user", "content": message.text}


def _said(message: Message, origin: str, ids: CallIds) -> Iterator[JsonObject]:
    """
    What the model said, in its order. Reasoning waits for what it led to: without that it is refused
    (openai/openai-agents-python#1611).
    """
    call_ids = iter(ids.calls([part for part in message.parts if isinstance(part, ToolCall)]))
    waiting: list[JsonObject] = []
    about: JsonObject = {}  # of the next message: its phase
    for part in message.parts:
        if isinstance(part, Thinking):
            kept = as_object(part.opaque.get(origin))
            if kept.get("type") == "reasoning":
                waiting.append(kept)
            elif "phase" in kept:
                about = {"phase": kept["phase"]}
        elif isinstance(part, Text | ToolCall):
            yield from waiting
            waiting = []
            if isinstance(part, Text):
                said: Json = [{"type": "output_text", "text": part.text}]
                yield {"type": "message", "role": "assistant", "content": said, **about}
                about = {}
            else:
                call: JsonObject = {"name": part.name, "arguments": part.arguments}
                yield {"type": "function_call", "call_id": next(call_ids), **call}


# --- answers --------------------------------------------------------------------------------------


class _Item:
    """
    An item of the answer that is being told. `spoke`: some of its text was handed on, and is not kept; `arguments` are
    the pieces of a call's.
    """

    def __init__(self, told: JsonObject) -> None:
        self.told = told
        self.spoke = False
        self.arguments: list[str] = []
        self.done = False

    @property
    def kind(self) -> str:
        return as_text(self.told.get("type"))


class _Ending(NamedTuple):
    reason: FinishReason
    raw: str


class ResponsesReader(Reader):
    """
    Reads one response, whole or streamed. Its last event holds all of it, so an item that was told only there is read
    there, and one that was told only in pieces is put together from them (ding113/claude-code-hub#1219).

    `origin` names the provider and the model that the reasoning is sent back to.
    """

    def __init__(self, origin: str, fields: tuple[str, ...] = FIELDS) -> None:
        self._origin = origin
        self._fields = fields
        self._metadata: JsonObject = {}
        self._items: dict[object, _Item] = {}
        self._told: set[str] = set()  # the ids of the items that are complete
        self._thinking = False
        self._call_ids: set[str] = set()
        self._refusal = ""
        self._annotations: list[Json] = []

    def feed(self, record: Record) -> Iterator[Event]:
        """See `Reader.feed`."""
        data = record.data.strip()
        if not data or data.startswith("[DONE]"):
            return iter(())
        if record.event == "error":
            raise http_errors.classify_in_stream(http_errors.describe(data.encode()))
        document = parse_json(data)
        raise_error_in(document)
        event = as_object(document)
        kind = as_text(event.get("type")) or record.event or ""
        if kind in _TERMINAL:
            return iter(self._ended(as_object(event.get("response")), _TERMINAL[kind]))
        handler = _HANDLERS.get(kind)
        return iter(handler(self, event)) if handler is not None else iter(())

    def whole(self, document: object) -> Iterator[Event]:
        """See `Reader.whole`."""
        response = as_object(document)
        status = as_text(response.get("status"))
        if not (status or isinstance(response.get("output"), list)):
            raise ProviderFailed("the answer has no output")
        return iter(self._ended(response, status or "completed"))

    # --- the events of a stream ---

    def described(self, event: JsonObject) -> list[Event]:
        """The response has begun."""
        return self._describe(as_object(event.get("response")))

    def added(self, event: JsonObject) -> list[Event]:
        """An item begins. What it is called is known from here on."""
        told = as_object(event.get("item"))
        item = self._item(event, told, begins=True)
        if item.kind == "function_call":
            return [*self._stop_thinking(), ToolCallDelta(as_text(told.get("name")), "")]
        return [*self._phase(told)] if item.kind == "message" else []

    def wrote(self, event: JsonObject) -> list[Event]:
        """A piece of text."""
        return self._wrote(self._item(event, {"type": "message"}), as_text(event.get("delta")))

    def refused(self, event: JsonObject) -> list[Event]:
        """A piece of a refusal, which is an answer too; the metadata say what it is."""
        self._refusal += as_text(event.get("delta"))
        return self.wrote(event)

    def thought(self, event: JsonObject) -> list[Event]:
        """A piece of a summary of the reasoning, or of the reasoning itself."""
        return self._thought(self._item(event, {"type": "reasoning"}), as_text(event.get("delta")))

    def summarised(self, event: JsonObject) -> list[Event]:
        """Another part of the summary begins: a paragraph of its own."""
        item = self._item(event, {"type": "reasoning"})
        return self._thought(item, "\n\n") if item.spoke else []

    def argued(self, event: JsonObject) -> list[Event]:
        """A piece of the arguments of a call."""
        item = self._item(event, {"type": "function_call"})
        piece = as_text(event.get("delta"))
        item.arguments.append(piece)
        return [ToolCallDelta(as_text(item.told.get("name")), piece)] if piece else []

    def annotated(self, event: JsonObject) -> list[Event]:
        """A source of the text."""
        self._annotations.append(event.get("annotation"))
        return []

    def done(self, event: JsonObject) -> list[Event]:
        """An item is complete, and told whole."""
        told = as_object(event.get("item"))
        return self._finished(self._item(event, told), told)

    # --- items ---

    def _item(self, event: JsonObject, told: JsonObject, *, begins: bool = False) -> _Item:
        """
        The item that an event is about: by its place, which some servers leave out, then by its id, which others make
        anew for every event.
        """
        key = event.get("output_index")
        if not isinstance(key, int):
            key = as_text(event.get("item_id")) or as_text(told.get("id"))
        if key not in self._items or (begins and self._items[key].done):
            self._items[key] = _Item(told)
        return self._items[key]

    def _finished(self, item: _Item, told: JsonObject) -> list[Event]:
        """The last events of an item. `told` is all of it, and what was not told in pieces is told now."""
        if item.done or as_text(told.get("id")) in self._told:
            return []
        item.done = True
        self._told.add(as_text(told.get("id")) or as_text(item.told.get("id")))
        self._told.discard("")
        item.told = {**item.told, **told}
        if item.kind == "message":
            return self._said(item)
        if item.kind == "reasoning":
            return self._reasoned(item)
        return self._called(item) if item.kind == "function_call" else []

    def _said(self, item: _Item) -> list[Event]:
        events: list[Event] = []
        if not item.spoke:
            events += self._phase(item.told)
            for part in _objects(item.told.get("content")):
                refusal = as_text(part.get("refusal"))
                self._refusal += refusal
                annotations = part.get("annotations")
                self._annotations += annotations if isinstance(annotations, list) else []
                events += self._wrote(item, refusal or as_text(part.get("text")))
        return events

    def _reasoned(self, item: _Item) -> list[Event]:
        """
        The end of reasoning. Plain reasoning goes without what cannot be sent back; its end may come later than the
        text behind it (llama.cpp).
        """
        events: list[Event] = []
        if not item.spoke:
            parts = _objects(item.told.get("summary")) or _objects(item.told.get("content"))
            events += self._thought(item, "\n\n".join(as_text(part.get("text")) for part in parts))
        if item.told.get("encrypted_content"):
            kept = {name: value for name, value in item.told.items() if name not in ("content", "status")}
            self._thinking = False
            events.append(ThinkingEnd({self._origin: {"summary": [], **kept}}))
        else:
            events += self._stop_thinking()
        return events

    def _called(self, item: _Item) -> list[Event]:
        told = item.told.get("arguments")
        arguments = (
            json.dumps(told, ensure_ascii=False) if isinstance(told, dict) else as_text(told) or "".join(item.arguments)
        )
        if arguments.strip() in ("", "null"):
            arguments = "{}"
        name, call_id = as_text(item.told.get("name")), as_text(item.told.get("call_id"))
        if not call_id or call_id in self._call_ids:
            call_id = new_call_id()
        self._call_ids.add(call_id)
        valid = bool(name) and parse_object(arguments) is not None
        return [*self._stop_thinking(), ToolCall(call_id, name, arguments, valid)]

    def _phase(self, told: JsonObject) -> Iterator[Event]:
        """What a message is for (`commentary`, `final_answer`) is sent back with it."""
        if told.get("phase"):
            yield from self._stop_thinking()
            yield ThinkingEnd({self._origin: {"phase": told["phase"]}})

    def _wrote(self, item: _Item, text: str) -> list[Event]:
        if not text:
            return []
        item.spoke = True
        return [*self._stop_thinking(), TextDelta(text)]

    def _thought(self, item: _Item, text: str) -> list[Event]:
        if not text:
            return []
        item.spoke = self._thinking = True
        return [ThinkingDelta(text)]

    def _stop_thinking(self) -> Iterator[Event]:
        if self._thinking:
            self._thinking = False
            yield ThinkingEnd()

    # --- around the items ---

    def _describe(self, response: JsonObject) -> list[Event]:
        new = {
            name: value
            for name in self._fields
            if (value := response.get(name)) and self._metadata.get(name) != value
        }  # fmt: skip
        self._metadata.update(new)
        return [Metadata(new)] if new else []

    def _ended(self, response: JsonObject, status: str) -> list[Event]:
        """All that is left to tell, when the response has ended in this way."""
        ending = _ending(response, as_text(response.get("status")) or status)
        events = self._describe(response)
        in_pieces = [*self._items.values()]
        for told in _objects(response.get("output")):
            events += self._finished(_taken(in_pieces, told), told)
        for item in self._items.values():
            events += self._finished(item, {})
        events += self._stop_thinking()
        late: JsonObject = {"refusal": self._refusal, "annotations": self._annotations}
        if told_late := {name: value for name, value in late.items() if value}:
            events.append(Metadata(told_late))
        usage = read_usage(response.get("usage"))
        if usage is not None:
            events.append(usage)
        reason = "tool_calls" if self._call_ids and ending.reason == "stop" else ending.reason
        self.complete = True
        return [*events, Finish(reason, ending.raw)]


_HANDLERS: Mapping[str, Callable[[ResponsesReader, JsonObject], list[Event]]] = {
    "response.created": ResponsesReader.described,
    "response.in_progress": ResponsesReader.described,
    "response.output_item.added": ResponsesReader.added,
    "response.output_item.done": ResponsesReader.done,
    "response.output_text.delta": ResponsesReader.wrote,
    "response.output_text.annotation.added": ResponsesReader.annotated,
    "response.refusal.delta": ResponsesReader.refused,
    "response.reasoning_summary_part.added": ResponsesReader.summarised,
    "response.reasoning_summary_text.delta": ResponsesReader.thought,
    "response.reasoning_text.delta": ResponsesReader.thought,
    "response.function_call_arguments.delta": ResponsesReader.argued,
}
_TERMINAL = {"response.completed": "completed", "response.incomplete": "incomplete", "response.failed": "failed"}
_CUT: Mapping[str, FinishReason] = {"max_output_tokens": "length", "content_filter": "content_filter"}


def _ending(response: JsonObject, status: str) -> _Ending:
    """Why a response ended. Raises the error of one that failed, and `ProviderFailed` for one that has not ended."""
    if status == "completed":
        return _Ending("stop", status)
    if status == "incomplete":
        reason = as_text(as_object(response.get("incomplete_details")).get("reason"))
        return _Ending(_CUT.get(reason, "other"), reason or status)
    raise_error_in(response)
    raise ProviderFailed(f"the response has the status {status}, and no explanation")


def _taken(in_pieces: list[_Item], told: JsonObject) -> _Item:
    """
    What was told in pieces of an item that is told whole: by its id, else the first of its kind, because some servers
    make new ids and leave items out. It is taken off the list.
    """
    same = [item for item in in_pieces if told.get("id") and item.told.get("id") == told["id"]]
    same = same or [item for item in in_pieces if item.kind == told.get("type")]
    if not same:
        return _Item(told)
    in_pieces.remove(same[0])
    return same[0]


def _objects(value: Json) -> list[JsonObject]:
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []
