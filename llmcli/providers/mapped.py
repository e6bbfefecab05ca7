"""
An answer read by expressions: documents in, events out. Layer 2, pure; knows types, errors, framing, expressions and
the provider contract. Whatever carries the documents (HTTP, a WebSocket, gRPC), the tables that say where things stand
in them are the same.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

from llmcli import http_errors
from llmcli.errors import ConfigurationError, LlmError, ProviderFailed
from llmcli.expressions import Expression, described, shortened, truth
from llmcli.framing import Record, as_object, as_text, decode_body, parse_json
from llmcli.provider import Capabilities, ConfigKey, Reader, raise_error_in
from llmcli.providers.tool_calls import ToolCallAssembler
from llmcli.types import (
    Event,
    Finish,
    FinishReason,
    Json,
    Metadata,
    TextDelta,
    ThinkingDelta,
    ThinkingEnd,
    Usage,
)

RECORD_KINDS = ("json", "text", "event")
EVENT_ROOTS = ("event", "data")  # what the expressions see of a record of the kind `event`

ANSWER_KEYS: Mapping[str, ConfigKey] = {
    "thinking": ConfigKey("Expression: the text of the model's thinking, or null."),
    "signature": ConfigKey("Expression: what goes back with the thinking, as `signature` of the message; or null."),
    "tool_calls": ConfigKey("Expression: a list of calls, `{id, name, arguments}` or in OpenAI's form, or null."),
    "finish_reason": ConfigKey("Expression: why the model stopped, in the API's own word; null: `stop`."),
    "model": ConfigKey("Expression: the model that answered."),
    "usage": ConfigKey("Expression: an object of `prompt_tokens`, `completion_tokens`, `total_tokens`."),
    "metadata": ConfigKey("Expression: an object of whatever else `--json` is to show."),
    "error": ConfigKey("Expression: the error, its message if it is text; null, false or empty: no error."),
    "error_status": ConfigKey("Expression: the HTTP status that the error stands for, or a usual word for it."),
    "error_retryable": ConfigKey("Expression: true or false, whether asking again can help."),
    "record": ConfigKey(
        "`json` (default), `text` (it is the text itself), or `event`: `{event, data}` of an SSE event."
    ),
    "sample": ConfigKey("An answer as the API writes it, which `providers check` reads."),
    "sample_file": ConfigKey("The file that holds one instead; its path is relative to the file of the table."),
}
"""The keys of a table that says how an answer is read, besides the one for the text itself."""

_USAGE = ("prompt_tokens", "completion_tokens", "total_tokens", "cached_tokens", "reasoning_tokens")

# The words of the APIs that we know, in lower case; whatever else an API says is `other`, and shown.
_REASONS: Mapping[str, FinishReason] = {
    **dict.fromkeys(
        ("stop", "end_turn", "eos", "eos_token", "stop_sequence", "complete", "completed", "endoftext", "done"), "stop"
    ),
    **dict.fromkeys(("length", "max_tokens", "max_output_tokens", "limit", "error_limit"), "length"),
    **dict.fromkeys(("tool_calls", "tool_call", "tool_use", "function_call"), "tool_calls"),
    **dict.fromkeys(("content_filter", "safety", "refusal", "error_toxic"), "content_filter"),
    "error": "error",
}


_TEXTLESS = ("content_filter", "length")  # reasons for which a model may have stopped before it said anything

# The usual words for what an HTTP status says, as codes in small letters.
STATUSES: Mapping[str, int] = {
    **dict.fromkeys(("bad_request", "invalid_argument", "invalid_request", "validation_error", "bad_user_input"), 400),
    **dict.fromkeys(("unauthorized", "unauthenticated", "authentication_error", "invalid_api_key"), 401),
    **dict.fromkeys(("payment_required", "insufficient_quota", "quota_exceeded"), 402),
    **dict.fromkeys(("forbidden", "permission_denied"), 403),
    "not_found": 404,
    **dict.fromkeys(("rate_limit", "rate_limited", "rate_limit_exceeded", "too_many_requests", "throttled"), 429),
    **dict.fromkeys(("internal", "internal_error", "internal_server_error", "server_error"), 500),
    **dict.fromkeys(("overloaded", "unavailable", "service_unavailable", "busy"), 503),
    **dict.fromkeys(("timeout", "deadline_exceeded"), 504),
}


class Ending(NamedTuple):
    """
    How a stream ends: by a record for which `expression` is true, by one that is exactly `sentinel`, or (neither) with
    its body.
    """

    expression: Expression | None = None
    sentinel: str | None = None


class AnswerMap(NamedTuple):
    """Where things stand in an answer. `text` is the expression of the visible text, `None` where the record is it."""

    place: str
    record: str = "json"
    text: Expression | None = None
    thinking: Expression | None = None
    signature: Expression | None = None
    tool_calls: Expression | None = None
    finish_reason: Expression | None = None
    model: Expression | None = None
    usage: Expression | None = None
    metadata: Expression | None = None
    error: Expression | None = None
    error_status: Expression | None = None
    error_retryable: Expression | None = None
    ending: Ending = Ending()

    def check_error(self, document: object) -> None:
        """
        Raise the error that a document reports, if it does: by the expression, else in any shape that is known. An API
        of plain text may report one as JSON.
        """
        if self.error is None:
            if self.record == "json":
                raise_error_in(document)
            return
        if self.record == "text":
            document = _readable(str(document))
        found = self.error.find(document)
        if truth(found):
            raise self._error(document, found, 200, {})

    def document(self, record: Record) -> object:
        """What the expressions look into: the JSON of a record, the event that it is, or its text."""
        if self.record == "json":
            return parse_json(record.data)
        return _event(record) if self.record == "event" else record.data

    def findings(self, record: Record) -> Mapping[str, Json]:
        """What each expression finds in a record, by its key; in one that is no JSON they look into its text."""
        document = self.lenient(record)
        expressions = [each for each in (*self, self.ending.expression) if isinstance(each, Expression)]
        return {each.place.rpartition(".")[2]: _found(each, document) for each in expressions}

    def read_error(self, status: int, headers: Mapping[str, str], body: bytes) -> LlmError:
        """The error for an answer with a status of 400 and above."""
        document = self.lenient(Record(decode_body(body).strip(), "error"))
        found = self.error.find(document) if self.error is not None else None
        if not truth(found):
            return http_errors.read_error(status, headers, body)
        return self._error(document, found, status, headers)

    def lenient(self, record: Record) -> object:
        """The same as `document` for what may be no answer at all, such as the page of a proxy: that is its text."""
        if self.record == "text":
            return _readable(record.data)
        try:
            return self.document(record)
        except ProviderFailed:
            return record.data

    def _error(self, document: object, found: Json, status: int, headers: Mapping[str, str]) -> LlmError:
        whole = {**(document if isinstance(document, dict) else {}), "error": found}
        described = http_errors.describe(_written(whole).encode())
        described = described._replace(message=_message_of(found))
        code = self.error_status.find(document) if self.error_status is not None else None
        if code is not None:
            known = STATUSES.get(re.sub(r"\W+", "_", str(code)).lower())
            known = int(str(code)) if re.fullmatch("[45][0-9][0-9]", str(code)) else known
            described = described._replace(codes=(*described.codes, str(code)), status=known or described.status)
        if status < 400:
            error = http_errors.classify_in_stream(described)
        else:
            error = http_errors.classify(described.status or status, described, headers)
        again = self.error_retryable.find(document) if self.error_retryable is not None else None
        if again is not None:
            error.retry_ok = error.retryable = truth(again)
        return error


def _message_of(found: Json) -> str:
    """What an error says to a person: the text that it is, or that of its usual fields, or all of it."""
    fields = found if isinstance(found, dict) else {"message": found}
    texts = (fields.get(name) for name in ("message", "detail", "error", "error_description", "msg"))
    said = next((text.strip() for text in texts if isinstance(text, str) and text.strip()), None)
    return said or shortened(_written(found))


def _written(value: object) -> str:
    """A value as JSON; it may be nested as deeply as a service likes."""
    try:
        return json.dumps(value, ensure_ascii=False)
    except RecursionError:
        return '{"error": "nested too deeply"}'


def _readable(text: str) -> object:
    """A text as the JSON object that it is, else as it is."""
    try:
        document = parse_json(text.strip())
    except ProviderFailed:
        return text
    return document if isinstance(document, dict) else text


def _found(expression: Expression, document: object) -> Json:
    """What an expression finds, or why it finds nothing: that it does not hides what the others find."""
    try:
        return expression.find(document)
    except ProviderFailed as exc:
        return f"! {exc.message}"


def answer_map(table: Mapping[str, Json], place: str, *, text: str, hint: str | None = None) -> AnswerMap:
    """
    The map that a table describes; `text` is the key of its text, `hint` what to do when an answer is of another shape.
    Raises `ConfigurationError` with the dotted key for an expression that is none, or where the text has none.
    """
    record = str(table.get("record", "json"))
    if record not in RECORD_KINDS:
        raise ConfigurationError(f"{place}.record: {record!r} is none of {', '.join(RECORD_KINDS)}")
    if text not in table and record != "text":
        raise ConfigurationError(
            f"{place}.{text} is missing: the expression that finds the text", hint=f'for instance {text} = "text"'
        )
    names = [name for name in AnswerMap._fields if name in table and name in ANSWER_KEYS and name != "record"]
    for name in ("error_status", "error_retryable"):
        if name in table and "error" not in table:
            raise ConfigurationError(f"{place}.{name} has no use without {place}.error")
    roots = EVENT_ROOTS if record == "event" else None
    found = {name: Expression(str(table[name]), f"{place}.{name}", roots=roots, hint=hint) for name in names}
    if text in table:
        found["text"] = Expression(str(table[text]), f"{place}.{text}", roots=roots, hint=hint)
    return AnswerMap(place, record, ending=_ending(table, place, roots), **found)


def capabilities(maps: Sequence[AnswerMap], uses: Callable[[str], bool], *, stream: bool) -> Capabilities:
    """
    What tables declare by having a place for it: `maps` say what is read, `uses` what a request's expressions use.
    Tools need both.
    """
    return Capabilities(
        stream=stream,
        thinking=uses("thinking") or any(each.thinking is not None for each in maps),
        tools=uses("tools") and any(each.tool_calls is not None for each in maps),
        schema=uses("schema"),
    )


def _ending(table: Mapping[str, Json], place: str, roots: tuple[str, ...] | None) -> Ending:
    """
    `end`: an expression; `eof`; or a sentinel, which is a word in brackets (`[DONE]`) or a string literal (`'<end>'`):
    as expressions both would be true of every record, so nobody means them as such.
    """
    end = table.get("end")
    if end is None or end == "eof":
        return Ending()
    text = str(end)
    if re.fullmatch(r"\[\w+\]", text):
        return Ending(sentinel=text)
    if literal := re.fullmatch(r"'([^']+)'", text):
        return Ending(sentinel=literal[1])
    return Ending(Expression(text, f"{place}.end", roots=roots))


class MappedReader(Reader):
    """
    Reads one answer: a whole document by one map, the records of a stream by another.

    `reads_on`: what comes behind the record that is the end (the usage, often) is read up to the end of the body, for
    a carrier that has one.
    """

    def __init__(self, whole: AnswerMap, stream: AnswerMap | None = None, *, reads_on: bool = False) -> None:
        self.plain = whole.record == "text"
        self.ends_with_body = stream is not None and stream.ending == Ending()
        self._reads_on = reads_on
        self._whole = whole
        self._map = stream or whole
        self._records = 0
        self._first: object = None
        self._last: object = None
        self._named = False  # whether any event had a name
        self._promised = False  # whether any record had what its expressions promise
        self._thinking = False
        self._signature: Json = None  # of the thinking that is told, or of what was told before
        self._calls = ToolCallAssembler()
        self._told: dict[str, Json] = {}
        self._usage: Usage | None = None
        self._reason: str | None = None

    # --- a stream ---

    def feed(self, record: Record) -> Iterator[Event]:
        """See `Reader.feed`."""
        text = record.data
        self._named = self._named or record.event != "message"
        ending = self._map.ending
        if ending.sentinel is not None and text.strip() == ending.sentinel.strip():
            return self.finish()
        if self._map.record != "text" and (not text or text.isspace()):
            return iter(())
        return self.document(self._map.document(record))

    def document(self, document: object) -> Iterator[Event]:
        """The same for a record that is parsed already."""
        if not self._records:
            self._first = document
        self._records += 1
        self._last = document
        answer = self._map
        answer.check_error(document)
        events: list[Event] = []
        self._read(answer, document, answer.text.text_in(document) if answer.text else str(document), events)
        end = answer.ending.expression
        if end is not None and _is_end(end.find(document)):
            self.complete = True
            if not self._reads_on:
                events += self.finish()
        return iter(events)

    def end(self) -> Iterator[Event]:
        """See `Reader.end`. Where the end of the body is the end of the answer, this is it."""
        if self.complete or (self.ends_with_body and self._records):
            return self.finish()
        if self._records:
            raise self._unended()
        return iter(())

    def _unended(self) -> ProviderFailed:
        """What stood in the records of a stream that showed no end, in so far as it tells what its table has wrong."""
        ending = self._map.ending
        marker = ending.sentinel or (ending.expression.text if ending.expression else "")
        silent = "" if self._promised or self._map.text is None else f", and {self._map.text.text} was null in all"
        named = self._named and self._map.record != "event"
        return ProviderFailed(
            f"the stream ended without its end marker: {self._map.place}.end ({marker}) was true of none of its "
            f"{self._records} records{silent}; the last is {described(self._last)}",
            hint='its events have names: record = "event" would see them' if named else self._hint(),
        )

    def _hint(self) -> str | None:
        return self._map.text.hint if self._map.text else None

    # --- a whole answer ---

    def body(self, body: bytes) -> Iterator[Event]:
        """See `Reader.body`. Plain text is the answer as it stands."""
        text = decode_body(body)
        if self.plain:
            document: object = text
        elif not text.strip():
            raise ProviderFailed("the provider sent an empty answer")
        else:
            document = parse_json(text.strip())
        return self.whole(document)

    def whole(self, document: object) -> Iterator[Event]:
        """See `Reader.whole`. Text that is missing is an error, unless the model called a tool instead."""
        answer = self._map = self._whole
        answer.check_error(document)
        events: list[Event] = []
        text = answer.text.text_in(document) if answer.text else str(document)
        self._read(answer, document, text, events)
        if not self._promised and answer.text is not None and self._finish_reason() not in _TEXTLESS:
            raise answer.text.wrong(document, None, "a string")
        return iter([*events, *self.finish()])

    # --- both ---

    def _read(self, answer: AnswerMap, document: object, text: str | None, events: list[Event]) -> None:
        """Append what one document says."""
        if answer.thinking is not None and (thought := answer.thinking.text_in(document)):
            self._thinking = True
            events.append(ThinkingDelta(thought))
        if answer.signature is not None:
            self._signature = answer.signature.find(document) or self._signature
        if text is not None:
            self._promised = True
            if text:
                if self._thinking:
                    events.append(self._thought())
                events.append(TextDelta(text))
        if answer.tool_calls is not None:
            self._read_calls(answer.tool_calls, document, events)
        if answer.model is not None and (model := answer.model.text_in(document)):
            self._tell({"model": model}, events)
        if answer.metadata is not None:
            self._tell(answer.metadata.object_in(document), events)
        if answer.usage is not None and (usage := answer.usage.object_in(document)):
            if not set(_USAGE) & usage.keys():
                raise answer.usage.wrong(document, usage, f"an object with {', '.join(_USAGE[:3])}")
            self._usage = _usage(usage) or self._usage
        if answer.finish_reason is not None and (reason := answer.finish_reason.text_in(document)):
            self._reason = reason

    def _thought(self) -> ThinkingEnd:
        opaque: dict[str, Json] = {"signature": self._signature} if self._signature is not None else {}
        self._thinking, self._signature = False, None
        return ThinkingEnd(opaque)

    def _tell(self, values: Mapping[str, Json], events: list[Event]) -> None:
        """Facts, once each: many APIs repeat them with every piece."""
        news = {name: value for name, value in values.items() if self._told.get(name) != value}
        if news:
            self._told |= news
            events.append(Metadata(news))

    def _read_calls(self, expression: Expression, document: object, events: list[Event]) -> None:
        found = expression.find(document)
        if found is None:
            return
        if not isinstance(found, list):
            raise expression.wrong(document, found, "a list of calls")
        for at, call in enumerate(found):
            if not isinstance(call, dict):
                raise expression.wrong(document, found, f"objects, not {described(call)},")
            self._promised = True
            fragment = _in_openai_form(call, at)
            if self._map is self._whole and not as_text(as_object(fragment["function"]).get("name")):
                raise expression.wrong(document, found, "calls with a name")
            events.append(self._calls.feed(fragment))

    def _finish_reason(self) -> FinishReason:
        word = (self._reason or "stop").lower()
        reason = _REASONS.get(re.sub("^(finish|stop)_reason_", "", word), "other")  # as protobuf names its values
        return "tool_calls" if self._calls and reason in ("stop", "other") else reason

    def finish(self) -> Iterator[Event]:
        """
        What stands at the end; a carrier whose protocol has an end marker of its own calls it there. A stream in which
        no record had any text does not have what was promised.
        """
        if not self._promised and self._map.text is not None and self._finish_reason() not in _TEXTLESS:
            place = self._map.text.place
            raise ProviderFailed(
                f"{place}: {self._map.text.text} is null in all {self._records} records; the first is "
                f"{described(self._first)}",
                hint=self._map.text.hint,
            )
        if self._thinking or self._signature is not None:
            yield self._thought()
        yield from self._calls.finish()
        if self._usage is not None:
            yield self._usage
        self.complete = True
        yield Finish(self._finish_reason(), self._reason)


def _is_end(found: Json) -> bool:
    """Whether the record in which this was found is the last. 0 is true in JMESPath, and no API's word for the end."""
    return truth(found) and not (found == 0 and found is not False)


def _event(record: Record) -> Json:
    """An SSE event as a document: its name, and its data, which is JSON where it can be read as such."""
    try:
        data = parse_json(record.data)
    except ProviderFailed:
        data = record.data
    return {"event": record.event, "data": data}  # type: ignore[dict-item]  # what was parsed is Json


def _usage(found: Mapping[str, Json]) -> Usage | None:
    """The counts; some APIs send them as floats. The total is worked out where both parts are there."""
    counts = {name: int(count) for name in _USAGE if isinstance(count := found.get(name), int | float)}
    if {"prompt_tokens", "completion_tokens"} <= counts.keys():
        counts.setdefault("total_tokens", counts["prompt_tokens"] + counts["completion_tokens"])
    return Usage(**counts) if counts else None


def _in_openai_form(call: Mapping[str, Json], at: int) -> Mapping[str, Json]:
    """A call as OpenAI writes it; those of one list are told apart by their places."""
    if "function" not in call:
        function: Json = {"name": as_text(call.get("name")), "arguments": call.get("arguments")}
        call = {
            **{name: value for name, value in call.items() if name not in ("name", "arguments")},
            "function": function,
        }
    return call if "index" in call or "id" in call else {**call, "index": at}
