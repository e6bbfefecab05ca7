"""
Version 1: one `message` with its `chat_history` and a `preamble`; a stream of JSON lines with an `event_type`.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import takewhile

from llmcli.errors import ProviderFailed, UsageError
from llmcli.framing import Record, as_object, as_text, parse_json, parse_object
from llmcli.types import Event, Json, Message, Metadata, ToolCall, ToolCallDelta

from llmcli_cohere.reading import CohereReader, plan_of, raise_reported, tool_calls_of

_ROLES = {"user": "USER", "assistant": "CHATBOT", "system": "SYSTEM", "tool": "TOOL"}
_FACTS = ("search_queries", "search_results", "documents")  # of an answer that looked things up


# --- our messages -> their message and its history ------------------------------------------------


def check(messages: Sequence[Message]) -> None:
    """Raises `UsageError` unless the conversation ends with the user, whose last turn is the `message`."""
    if not messages or messages[-1].role != "user":
        raise UsageError(
            "version 1 of Cohere's API takes only a conversation that ends with something that the user says",
            hint='api = "v2" takes any',
        )


def conversation(messages: Sequence[Message]) -> dict[str, Json]:
    """
    The part of the request that says what was said. System messages before the conversation are its preamble; later
    ones keep their place in the history.
    """
    leading = list(takewhile(lambda message: message.role == "system", messages))
    *earlier, last = messages[len(leading) :]
    said: dict[str, Json] = {}
    if preamble := "\n\n".join(message.text for message in leading if message.text.strip()):
        said["preamble"] = preamble
    history: list[Json] = [turn for message in earlier if (turn := _turn(message))]
    if history:
        said["chat_history"] = history
    return {**said, "message": last.text}


def _turn(message: Message) -> dict[str, Json] | None:
    """A turn of the history. The text that stands beside tool calls is their plan."""
    if calls := tool_calls_of(message):
        return {"role": "CHATBOT", "message": plan_of(message), "tool_calls": [_call(call) for call in calls]}
    return {"role": _ROLES[message.role], "message": message.text} if message.text.strip() else None


def _call(call: ToolCall) -> Json:
    """Version 1 knows no ids, and parameters are an object; arguments that are none are kept as they are, in one."""
    parameters = parse_object(call.arguments)
    return {"name": call.name, "parameters": {"arguments": call.arguments} if parameters is None else parameters}


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
