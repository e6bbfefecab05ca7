"""
The built-in `echo` model: no key, no network, no account. It answers with the prompt, word by word, counts its
tokens honestly (a token is a word with the blanks before it), calls tools, and can be told to fail in every way that a
script may want to handle.
"""

import json
import re
from collections.abc import Iterator
from typing import ClassVar

from llmcli.errors import (
    AuthenticationFailed,
    Busy,
    ContextTooLong,
    LlmError,
    NetworkFailed,
    ProviderFailed,
    QuotaExceeded,
    RequestRejected,
    UnknownModel,
)
from llmcli.framing import parse_json
from llmcli.provider import ApiKey, Capabilities, NativeCall, NativeProvider, Option
from llmcli.turns import marked_in
from llmcli.types import (
    ChatRequest,
    Event,
    Finish,
    FinishReason,
    Json,
    Message,
    Metadata,
    TextDelta,
    ThinkingDelta,
    ThinkingEnd,
    ToolCall,
    ToolResult,
    Usage,
)

_FAILURES_BEFORE: dict[str, tuple[type[LlmError], str, int | None]] = {
    "400": (RequestRejected, "told to reject the request", 400),
    "401": (AuthenticationFailed, "told not to accept the key", 401),
    "403": (AuthenticationFailed, "told to refuse the key", 403),
    "404": (UnknownModel, "told not to know the model", 404),
    "context": (ContextTooLong, "told that the prompt is too long", 400),
    "429": (Busy, "told to be busy", 429),
    "503": (Busy, "told to be overloaded", 503),
    "quota": (QuotaExceeded, "told that the quota is used up", 429),
    "500": (ProviderFailed, "told to fail", 500),
    "empty": (ProviderFailed, "told to send an empty answer", 200),
    "redirect": (ProviderFailed, "told to redirect", 302),
    "network": (NetworkFailed, "told to be out of reach", None),
}
_FAILURES_AMID = ("cut", "stall", "malformed", "error")
_FINISHES = ("length", "content_filter")
FAILURES = (*_FAILURES_BEFORE, "timeout", *_FAILURES_AMID, *_FINISHES, "crash")


class Echo(NativeProvider):
    """See the module."""

    id: ClassVar[str] = "echo"
    name: ClassVar[str] = "Echo (built in, offline)"
    default_model = "echo"
    api_key: ApiKey = ApiKey(required=False)
    capabilities: Capabilities = Capabilities(thinking=True, tools=True)
    known_models: ClassVar[tuple[str, ...]] = ("echo",)
    options: ClassVar = {
        "text": Option("answer with this text instead of the prompt"),
        "thinking": Option("think this first"),
        "delay": Option("seconds before each word"),
        "fail": Option("fail in this way", FAILURES),
        "after": Option("with fail=cut, stall, malformed or error: the number of words before it (1)"),
        "call": Option("first call this tool, or those of a JSON list, and answer with the results"),
        "arguments": Option("with call: the arguments as JSON, or a list of them"),
        "rounds": Option("with call: in how many rounds (1)"),
    }

    def stream(self, request: ChatRequest, call: NativeCall) -> Iterator[Event]:
        """Answer with the last message's text, or with `--option text`."""
        options = request.options
        fail = str(options.get("fail", ""))
        delay = _number(options.get("delay"), 0.0)
        _fail_before(fail, call)
        yield Metadata({"model": request.model, "id": "echo-1"})
        if thinking := options.get("thinking"):
            yield ThinkingDelta(str(thinking))
            yield ThinkingEnd()
        prompt = " ".join(message.text for message in request.messages)
        calls = _calls(request)
        text = _as_typed(options["text"]) if "text" in options else _said(request.messages[-1])
        for stop in request.stop:
            text = text.partition(stop)[0]
        words = _words(text)
        limit = min(len(words), request.max_tokens or len(words))
        cut = int(_number(options.get("after"), 1)) if fail in _FAILURES_AMID else limit
        for word in words[: min(cut, limit)]:
            if delay:
                call.sleep(delay)
            yield TextDelta(word)
        yield from calls
        _fail_amid(fail, call)
        count = len(_words(prompt))
        yield Usage(count, limit, count + limit)
        reason: FinishReason = "length" if limit < len(words) else "tool_calls" if calls else "stop"
        yield Finish("length" if fail == "length" else "content_filter" if fail == "content_filter" else reason)


def _as_typed(value: Json) -> str:
    """The text of an option, which may have looked like JSON."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _said(message: Message) -> str:
    """The text of a message; of one that holds results, those."""
    return "\n".join(_results(message)) or message.text


def _results(message: Message) -> list[str]:
    """The results that a message holds: as parts of it, or in its text where tools are told by text."""
    if message.role == "tool":
        return [part.content for part in message.parts if isinstance(part, ToolResult)]
    return marked_in(message.text) if message.role == "user" else []


def _calls(request: ChatRequest) -> tuple[ToolCall, ...]:
    """The calls that are still to be made: one round of them for each that was asked for."""
    options = request.options
    done = sum(1 for message in request.messages if _results(message))
    if "call" not in options or request.tool_choice == "none" or done >= _number(options.get("rounds"), 1):
        return ()
    called, given = options["call"], options.get("arguments", {})
    names = called if isinstance(called, list) else [called]
    arguments = given if isinstance(given, list) else [given] * len(names)
    return tuple(
        _call(f"call_{done + 1}_{number}", str(name), each)
        for number, (name, each) in enumerate(zip(names, arguments, strict=False), 1)
    )


def _call(call_id: str, name: str, arguments: Json) -> ToolCall:
    """A call; arguments that are no object, or no JSON, make one that is not valid."""
    return ToolCall(call_id, name, _as_typed(arguments), valid=isinstance(arguments, dict))


def _fail_before(fail: str, call: NativeCall) -> None:
    if fail in _FAILURES_BEFORE:
        error, message, status = _FAILURES_BEFORE[fail]
        raise error(message, http_status=status)
    if fail == "timeout":
        call.sleep(float("inf"))
    if fail == "crash":
        raise ZeroDivisionError("told to have a bug")


def _fail_amid(fail: str, call: NativeCall) -> None:
    if fail == "cut":
        raise ProviderFailed("the connection was closed in the middle of the answer")
    if fail == "stall":
        call.sleep(float("inf"))
    if fail == "malformed":
        parse_json('{"choices": [')
    if fail == "error":
        raise Busy("told to fail in the middle of the answer")


def _words(text: str) -> list[str]:
    """Words with the blanks before them; joined they are the text."""
    return re.findall(r"\s*\S+(?:\s+$)?|\s+", text)


def _number(value: object, default: float) -> float:
    if value is None:
        return default
    if isinstance(value, int | float):
        return float(value)
    raise RequestRejected(f"{value!r} is not a number")
