"""
Fragments of tool calls -> whole tool calls, whatever a server does to the OpenAI wire format. Layer 2, pure: values in,
values out. And the way back: `CallIds`, the ids of calls and results on the wire, and `ToolNames`.

The format says that a fragment names its call by `index`, and that `id` and `name` come once. Servers leave out the
index, send 0 for every call, repeat or cut the name, send the arguments as an object, send them twice, or glue two
calls together; each rule below names a public report of it.
"""

import json
import os
from binascii import crc32
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from llmcli.errors import ProviderFailed
from llmcli.framing import Record, as_text, parse_json_stream
from llmcli.provider import Reader
from llmcli.types import ChatRequest, Event, Json, Message, Part, ToolCall, ToolCallDelta, ToolResult

_KNOWN_KEYS = frozenset(("index", "id", "type", "function"))


def new_call_id() -> str:
    """An id for a call that came without one."""
    return f"call_{os.urandom(12).hex()}"


class CallIds:
    """
    The ids of tool calls as one conversation is sent: unique in it, though some servers send one id for every call
    (open-webui/open-webui#28305), and of the `length` that the service wants, if it wants one
    (langchain-ai/langchain#24668). A result gets the id that its call was sent with.
    """

    def __init__(self, length: int | None = None) -> None:
        self._length = length
        self._used: set[str] = set()
        self._turn: list[tuple[str, str]] = []  # of the last turn that called: the id of each call, and as it was sent

    def calls(self, calls: Sequence[ToolCall]) -> list[str]:
        """The ids of the calls of a turn."""
        self._turn = [(call.id, self._unused(call.id)) for call in calls]
        return [sent for _, sent in self._turn]

    def results(self, results: Sequence[ToolResult]) -> list[str]:
        """The ids of the calls that these are the results of. They belong to the last turn that called."""
        return [self._answered(result.id, place) for place, result in enumerate(results)]

    def _answered(self, call_id: str, place: int) -> str:
        """The call in the same place, if it has that id: two calls of a turn may have one (can1357/oh-my-pi#2055)."""
        if place < len(self._turn) and self._turn[place][0] == call_id:
            return self._turn[place][1]
        return next((sent for known, sent in self._turn if known == call_id), self._fitting(call_id))

    def _unused(self, call_id: str) -> str:
        call_id = call_id or "call"
        wanted, number = self._fitting(call_id), len(self._used)
        while wanted in self._used:
            wanted, number = self._fitting(f"{call_id}_{number}"), number + 1
        self._used.add(wanted)
        return wanted

    def _fitting(self, call_id: str) -> str:
        length = self._length
        if length is None or (len(call_id) == length and call_id.isascii() and call_id.isalnum()):
            return call_id
        return f"{crc32(call_id.encode()):0{length}x}"


def with_ids_of_their_own(messages: Iterable[Message]) -> tuple[Message, ...]:
    """The messages with ids of calls that are unique among them, and of the results to match."""
    ids = CallIds()
    return tuple(message._replace(parts=tuple(_renamed(message.parts, ids))) for message in messages)


def _renamed(parts: Sequence[Part], ids: CallIds) -> Iterator[Part]:
    calls = [part for part in parts if isinstance(part, ToolCall)]
    results = [part for part in parts if isinstance(part, ToolResult)]
    names = iter([*(ids.calls(calls) if calls else ()), *ids.results(results)])
    for part in parts:
        yield part._replace(id=next(names)) if isinstance(part, ToolCall | ToolResult) else part


class ToolNames:
    """
    The names of the tools of one request as a service takes them, and back: `fit` makes one that it takes of any. A
    name that it takes as it is stays, and no two become one.
    """

    def __init__(self, request: ChatRequest, fit: Callable[[str], str]) -> None:
        parts = [part for message in request.messages for part in message.parts]
        called = [part.name for part in parts if isinstance(part, ToolCall | ToolResult)]
        names = dict.fromkeys((*(tool.name for tool in request.tools), *called))
        self._sent: dict[str, str] = {name: name for name in names if fit(name) == name}
        for name in names:
            sent = fit(name)
            while self._sent.get(name) is None and sent in self._sent.values():
                sent += "_"
            self._sent.setdefault(name, sent)

    def told(self, request: ChatRequest) -> ChatRequest:
        """The request with the names that are sent."""
        return request._replace(
            tools=tuple(tool._replace(name=self._sent[tool.name]) for tool in request.tools),
            tool_choice=self._sent.get(request.tool_choice or "", request.tool_choice),
            messages=tuple(
                message._replace(parts=tuple(map(self._told, message.parts))) for message in request.messages
            ),
        )

    def _told(self, part: Part) -> Part:
        return part._replace(name=self._sent[part.name]) if isinstance(part, ToolCall | ToolResult) else part

    def reader(self, reader: Reader) -> Reader:
        """A reader that tells what that one reads, with the names that the user knows."""
        if all(sent == name for name, sent in self._sent.items()):
            return reader
        return _RenamingReader(reader, {sent: name for name, sent in self._sent.items()})


class _RenamingReader(Reader):
    """Another reader, with the tools called as the user calls them."""

    def __init__(self, reader: Reader, names: Mapping[str, str]) -> None:
        self._reader = reader
        self._names = names
        self.plain = reader.plain
        self.ends_with_body = reader.ends_with_body

    def feed(self, record: Record) -> Iterator[Event]:
        return self._heard(self._reader.feed(record))

    def whole(self, document: object) -> Iterator[Event]:
        return self._heard(self._reader.whole(document))

    def body(self, body: bytes) -> Iterator[Event]:
        return self._heard(self._reader.body(body))

    def end(self) -> Iterator[Event]:
        return self._heard(self._reader.end())

    def _heard(self, events: Iterable[Event]) -> Iterator[Event]:
        for event in events:
            self.complete = self._reader.complete
            if isinstance(event, ToolCall | ToolCallDelta):
                event = event._replace(name=self._names.get(event.name, event.name))
            yield event
        self.complete = self._reader.complete


class _Slot:
    """A call that is being put together. `pieces` are its arguments so far."""

    def __init__(self) -> None:
        self.id = ""
        self.name = ""
        self.pieces: list[str] = []
        self.opaque: dict[str, Json] = {}

    def has_arguments(self) -> bool:
        return any(self.pieces)

    def take_name(self, name: str) -> None:
        """A resent name is ignored (NousResearch/hermes-agent#11984); a cut one comes before any argument."""
        if not self.name:
            self.name = name
        elif name != self.name and not self.has_arguments():
            self.name += name

    def take_arguments(self, arguments: Json) -> str:
        """Text is appended; an object is the whole of the arguments (ggml-org/llama.cpp#20198)."""
        if isinstance(arguments, str):
            self.pieces.append(arguments)
            return arguments
        if isinstance(arguments, dict | list):
            whole = json.dumps(arguments, ensure_ascii=False)
            self.pieces = [whole]
            return whole
        return ""


class ToolCallAssembler:
    """Puts the tool calls of one answer together. `new_id` makes an id where the server sent none, or one twice."""

    def __init__(self, new_id: Callable[[], str] = new_call_id) -> None:
        self._new_id = new_id
        self._slots: list[_Slot] = []
        self._by_index: dict[int, _Slot] = {}

    def __bool__(self) -> bool:
        return bool(self._slots)

    def feed(self, fragment: Mapping[str, Json]) -> ToolCallDelta:
        """Take a fragment of a stream, an element of `delta.tool_calls`."""
        function = fragment.get("function")
        function = function if isinstance(function, dict) else {}
        call_id, name = as_text(fragment.get("id")), as_text(function.get("name"))
        slot = self._slot(fragment.get("index"), call_id, name)
        slot.id = slot.id or call_id
        if name:
            slot.take_name(name)
        arguments = slot.take_arguments(function.get("arguments"))
        # Gemini's thought signature may come in a fragment of its own (open-webui/computer#224).
        for key, value in fragment.items():
            if key not in _KNOWN_KEYS and value is not None:
                slot.opaque[key] = value
        return ToolCallDelta(slot.name, arguments)

    def finish(self) -> tuple[ToolCall, ...]:
        """
        The calls of the answer. Their ids are unique in it, but not in a conversation: some servers count from 0 in
        every answer (NousResearch/hermes-agent#70724), so results are paired by their place in the turn.
        """
        finished: list[ToolCall] = []
        for slot in self._slots:
            for call in _calls(slot):
                # A server that sends a call twice sends the same id; without an id, two equal calls are two calls.
                if call.id and call in finished:
                    continue
                if not call.id or any(call.id == other.id for other in finished):
                    call = call._replace(id=self._new_id())
                finished.append(call)
        return tuple(finished)

    def _slot(self, index: Json, call_id: str, name: str) -> _Slot:
        """The call that a fragment belongs to: by its index, then by its id, else the last one."""
        key = index if type(index) is int else None
        if key is not None:
            slot = self._by_index.get(key)
            if slot is not None and call_id != slot.id:
                slot = self._with_id(call_id) or slot  # two calls under one index may be told in turns
        elif call_id:
            slot = self._with_id(call_id)  # openai/openai-python#2806: no index at all
        else:
            slot = self._slots[-1] if self._slots else None
        if slot is None or _starts_another(slot, call_id, name):
            slot = _Slot()
            self._slots.append(slot)
        if key is not None:
            self._by_index[key] = slot
        return slot

    def _with_id(self, call_id: str) -> _Slot | None:
        return next((slot for slot in reversed(self._slots) if call_id and slot.id == call_id), None)


def _starts_another(slot: _Slot, call_id: str, name: str) -> bool:
    """
    Whether a fragment is the start of another call than the one that its index or id points at. Some servers send
    index 0 for all calls (huggingface/smolagents#1958), or one id (can1357/oh-my-pi#2055), or neither.
    """
    if not name:
        return False
    if call_id and slot.id and call_id != slot.id:
        return True
    return name != slot.name and slot.has_arguments()


def _calls(slot: _Slot) -> Iterator[ToolCall]:
    """
    The calls of a slot: none for an empty one, one as a rule, and several if complete objects stand side by side
    (dyedd/lens#49). Equal objects are one call that was sent in pieces and then whole (lidge-jun/opencodex#361).
    """
    text = "".join(slot.pieces)
    if not (slot.name or text):
        return
    if text.strip() in ("", "null"):
        text = "{}"
    objects = _objects(text)
    if len(objects) < 2:
        yield ToolCall(slot.id, slot.name, text, valid=bool(slot.name and objects), opaque=slot.opaque)
        return
    distinct = dict.fromkeys(json.dumps(each, ensure_ascii=False) for each in objects)
    for at, arguments in enumerate(distinct):
        yield ToolCall("" if at else slot.id, slot.name, arguments, valid=bool(slot.name), opaque=slot.opaque)


def _objects(text: str) -> list[object]:
    """The JSON objects that the text consists of; nothing if there is anything else in it."""
    try:
        documents = list(parse_json_stream(text.strip()))
    except ProviderFailed:
        return []
    return documents if all(isinstance(document, dict) for document in documents) else []
