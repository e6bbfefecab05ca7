"""
Ollama's own API: `POST /api/chat` and, for bare text, `/api/generate`, answered in JSON lines. Layer 2: knows types,
errors, framing, provider.

Ollama also has an OpenAI-compatible route, but that one ignores `num_ctx` and cuts a long prompt without a word
(memrynote/memry#601); so this is the one to use. Sources: ollama/ollama `api/types.go`, `server/routes.go`,
`envconfig/config.go`, `docs/api.md` (2026-08), and the official client `ollama` 0.6.3.
"""

import json
import re
from binascii import b2a_base64
from collections.abc import Iterator, Mapping
from typing import ClassVar

from llmcli.errors import LlmError, ProviderFailed, RequestRejected, UsageError
from llmcli.framing import Framing, JsonLines, Record, as_object, parse_json, parse_object
from llmcli.provider import (
    ApiKey,
    Capabilities,
    ConfigKey,
    HTTPProvider,
    Reader,
    Setting,
    json_request,
    raise_error_in,
)
from llmcli.providers.listed_models import models_of
from llmcli.providers.thinking_control import level
from llmcli.types import (
    Attachment,
    ChatRequest,
    Event,
    Finish,
    FinishReason,
    HttpRequest,
    Json,
    Message,
    Metadata,
    ModelPage,
    Text,
    TextDelta,
    Thinking,
    ThinkingDelta,
    ThinkingEnd,
    Tool,
    ToolCall,
    ToolResult,
    Usage,
)

_DEFAULT_PORT = "11434"
_LISTEN_ALL = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "[::]": "[::1]"}  # good to listen at, not to dial
_TOP_LEVEL = frozenset(
    ("format", "keep_alive", "logprobs", "raw", "shift", "suffix", "think", "tools", "top_logprobs", "truncate")
)
_SETTINGS = {"max_tokens": "num_predict", "temperature": "temperature", "top_p": "top_p", "seed": "seed"}
_FINISH: Mapping[str, FinishReason] = {"": "stop", "stop": "stop", "load": "stop", "unload": "stop", "length": "length"}
_LARGEST_IMAGE = 100 * 2**20  # bytes; Ollama itself has no limit
_TOKENS_OF_AN_IMAGE = 4_096  # more than the models take that there are
_THINKS_OR_NOT = r"(?is)think value .* is not supported"
_LACKS = {  # what a model may lack, and what to do then
    "tools": 'tools = "text" under [providers.{id}] tells the model of them in words',
    "thinking": "leave --thinking out for this model",
}
_DURATIONS = ("total_duration", "load_duration", "prompt_eval_duration", "eval_duration")


class Ollama(HTTPProvider):
    """
    Models on this machine, on another one, or at ollama.com.

    Left to itself Ollama cuts the front off a prompt that is longer than the context (ollama/ollama#4967), and the
    context may be 4096 tokens. So each request says how long it is to be (`num_ctx`: the configuration's,
    else large enough for the prompt), and that too long a prompt is an error (`truncate: false`).
    """

    id = "ollama"
    name = "Ollama"
    default_base_url = f"http://127.0.0.1:{_DEFAULT_PORT}"
    base_url_env = ("OLLAMA_HOST",)
    api_key = ApiKey(
        required=False,
        env=("OLLAMA_API_KEY",),
        placeholder="",
        hint="needed at ollama.com only: https://ollama.com/settings/keys",
    )
    capabilities = Capabilities(generate=True, thinking=True, vision=True, tools=True, schema=True)
    settings: ClassVar[Mapping[str, Setting]] = {
        "max_tokens": Setting(min=-2),  # -1: without end, -2: until the context is full
        "temperature": Setting(min=0),
        "top_p": Setting(min=0, max=1),
    }
    config_keys: ClassVar[Mapping[str, ConfigKey]] = {
        "num_ctx": ConfigKey(
            "the context's length in tokens; where it is not said, 8192 or the power of two that the prompt needs",
            env=("OLLAMA_CONTEXT_LENGTH",),
            type=int,
        ),
    }
    attachments: ClassVar[Mapping[str, int]] = dict.fromkeys(("image/png", "image/jpeg", "image/webp"), _LARGEST_IMAGE)
    quirks = (
        "a prompt that is longer than the context is an error; --option truncate=true lets Ollama cut it",
        "num_ctx grows with the prompt in powers of two; another num_ctx makes Ollama load the model again",
        "no tool can be forced to be called",
        "a schema is put into the prompt too; with tools only there, because Ollama's format would forbid their calls",
        "most models only think or do not: --thinking low, medium and high are then the same; gpt-oss "
        "cannot be kept from it",
        "--option goes into Ollama's options, except " + ", ".join(sorted(_TOP_LEVEL)),
    )

    least_num_ctx: ClassVar[int] = 8192
    answer_room: ClassVar[int] = 2048  # tokens of the context that are kept for an answer without max_tokens

    @classmethod
    def resolve_base_url(cls, url: str) -> str:
        """
        What `OLLAMA_HOST` may hold, as Ollama itself reads it: scheme and port may be missing, and an address to
        listen at means the loopback address. The port of a URL with a scheme is that of the scheme. A `/v1`, `/api`,
        `/api/chat` or `/api/generate` that was pasted with it is left out.
        """
        scheme, separator, rest = url.strip(" \t\r\n\"'").rpartition("://")
        authority, slash, path = rest.partition("/")
        host, port = _host_and_port(authority)
        if host == "ollama.com" and not separator:
            scheme = "https"
        elif not separator:
            scheme, port = "http", port or _DEFAULT_PORT
        path = f"{slash}{path}".rstrip("/")
        for pasted in ("/chat", "/generate", "/api", "/v1"):
            path = path.removesuffix(pasted)
        return f"{scheme}://{host}{':' if port else ''}{port}{path}".rstrip("/")

    # --- the request ---

    def check(self, request: ChatRequest) -> None:
        """See `Provider.check`. Raises `RequestRejected` for what Ollama would pass over in silence."""
        super().check(request)
        if request.tools and request.tool_choice not in (None, "auto", "none"):
            raise RequestRejected(
                f"{self.config.id} cannot be made to call a tool", hint="--tool-choice auto leaves it to the model"
            )
        if request.complete:
            self._check_completion(request)

    def _check_completion(self, request: ChatRequest) -> None:
        if [message.role for message in request.messages] != ["user"]:
            raise UsageError("a completion goes on from one text: it has no system message and no conversation")
        if request.tools or any(not isinstance(part, Text) for part in request.messages[0].parts):
            raise RequestRejected(f"{self.config.id} completes nothing but text")

    def chat_request(self, request: ChatRequest, *, stream: bool) -> HttpRequest:
        """`POST /api/chat`, or `/api/generate`. `stream` is always said, because its default is true."""
        body: dict[str, Json] = {"model": request.model, **_asked(request), "stream": stream, "truncate": False}
        options: dict[str, Json] = {
            name: value for ours, name in _SETTINGS.items() if (value := getattr(request, ours)) is not None
        }
        if request.stop:
            options["stop"] = list(request.stop)
        for name, value in request.options.items():
            (body if name in _TOP_LEVEL else options)[name] = value
        if "num_ctx" not in options:
            options["num_ctx"] = self._num_ctx(body, request)
        url = self.url("/api/generate" if request.complete else "/api/chat")
        return json_request(url, {**body, "options": options}, stream=stream)

    def _num_ctx(self, body: Mapping[str, Json], request: ChatRequest) -> int:
        """
        The context's length. Two bytes a token is more than nearly any text needs, so that nearly no prompt is too
        long; powers of two, because Ollama loads the model again for each other length. Ollama itself lowers it to
        what the model was trained for.
        """
        configured = self.config.own.get("num_ctx")
        if isinstance(configured, int) and configured:  # OLLAMA_CONTEXT_LENGTH=0 is Ollama's own "not said"
            return configured
        images, written = _images(request), len(json.dumps(body, ensure_ascii=False).encode())
        prompt = (written - sum(map(len, images))) // 2 + len(images) * _TOKENS_OF_AN_IMAGE
        most = request.max_tokens
        needed = prompt + (most if most and most > 0 else self.answer_room)
        return max(self.least_num_ctx, 1 << (needed - 1).bit_length())

    # --- what the service refuses ---

    def adapt(self, request: ChatRequest, error: LlmError) -> ChatRequest | None:
        """See `HTTPProvider.adapt`. Where a model knows no levels of thinking, it is told to think."""
        if {"levels", "think"} & (request.without | request.options.keys()) or not isinstance(_think(request), str):
            return None
        refused = isinstance(error, RequestRejected) and re.search(_THINKS_OR_NOT, error.message)
        return request._replace(without=request.without | {"levels"}) if refused else None

    def read_error(self, status: int, headers: Mapping[str, str], body: bytes) -> LlmError:
        """See `HTTPProvider.read_error`."""
        error = super().read_error(status, headers, body)
        for ability, hint in _LACKS.items():
            if type(error) is RequestRejected and f"does not support {ability}" in error.message:
                error.hint = hint.format(id=self.config.id)
        return error

    # --- the answer ---

    def framing(self) -> Framing:
        """See `HTTPProvider.framing`."""
        return JsonLines()

    def reader(self, request: ChatRequest) -> Reader:
        """See `HTTPProvider.reader`."""
        return _Reader()

    # --- models ---

    def models_request(self, cursor: str | None = None) -> HttpRequest:
        """`GET /api/tags`: the models that are there, all at once."""
        return HttpRequest("GET", self.url("/api/tags"), {"Accept": "application/json"})

    def read_models(self, document: object) -> ModelPage:
        """See `HTTPProvider.read_models`."""
        raise_error_in(document)
        page = as_object(document)
        if not isinstance(page.get("models", ""), list | None):  # which is null where there are none
            raise ProviderFailed("the list of models has no models")
        return ModelPage(models_of(page["models"]))


def _host_and_port(authority: str) -> tuple[str, str]:
    """Host and port of `host:port`, where either may be missing and an IPv6 address may lack its brackets."""
    user, at, address = authority.rpartition("@")
    if address.startswith("["):
        host, _, port = address.partition("]")
        host, port = f"{host}]", port.removeprefix(":")
    elif address.count(":") > 1:
        host, port = f"[{address}]", ""
    else:
        host, _, port = address.partition(":")
    return f"{user}{at}{_LISTEN_ALL.get(host, host)}", port


# --- our messages -> their messages ---------------------------------------------------------------


def _asked(request: ChatRequest) -> dict[str, Json]:
    """What is asked for: a conversation to go on with, or a text."""
    asked: dict[str, Json] = {}
    if request.complete:
        asked.update(prompt=request.messages[-1].text, raw=True)
    else:
        asked["messages"] = [one for message in _with_schema(request) for one in _messages(message)]
    if tools := _tools(request):
        asked["tools"] = [_tool(tool) for tool in tools]
    if request.schema is not None and not tools:
        asked["format"] = dict(request.schema.document) or "json"
    think = _think(request)
    return asked if think is None else {**asked, "think": think}


def _with_schema(request: ChatRequest) -> tuple[Message, ...]:
    """
    The conversation with the schema behind what the user said last: Ollama itself keeps it from the model. Not in a
    system message, which would put out the one that a model brings with it.
    """
    messages = request.messages
    last = max((place for place, message in enumerate(messages) if message.role == "user"), default=None)
    if request.schema is None or last is None:
        return messages
    document = json.dumps(dict(request.schema.document) or {"type": "object"}, ensure_ascii=False)
    said = messages[last]
    said = said._replace(parts=(*said.parts, Text(f"\n\nAnswer with JSON alone, of this JSON schema: {document}")))
    return (*messages[:last], said, *messages[last + 1 :])


def _messages(message: Message) -> list[Json]:
    """A message as one of theirs, or as several: each result of a tool is one."""
    results = [part for part in message.parts if isinstance(part, ToolResult)]
    if not results:
        return [_message(message)]
    return [
        {"role": "tool", "tool_name": result.name, "tool_call_id": result.id, "content": result.content}
        for result in results
    ]


def _message(message: Message) -> Json:
    converted: dict[str, Json] = {"role": message.role, "content": message.text}
    if thinking := "".join(part.text for part in message.parts if isinstance(part, Thinking)):
        converted["thinking"] = thinking
    if images := _images_in(message):
        converted["images"] = [*images]
    calls = [part for part in message.parts if isinstance(part, ToolCall)]
    if calls:
        converted["tool_calls"] = [
            {"id": call.id, "function": {"index": index, "name": call.name, "arguments": _arguments(call)}}
            for index, call in enumerate(calls)
        ]
    return converted


def _images(request: ChatRequest) -> list[str]:
    return [image for message in request.messages for image in _images_in(message)]


def _images_in(message: Message) -> list[str]:
    """What is attached, as base64 and without a word about its type, which Ollama sees for itself."""
    return [b2a_base64(part.data, newline=False).decode() for part in message.parts if isinstance(part, Attachment)]


def _tools(request: ChatRequest) -> tuple[Tool, ...]:
    """The tools that may be called: Ollama has no other way to say that none may."""
    return () if request.tool_choice == "none" else request.tools


def _tool(tool: Tool) -> Json:
    described: dict[str, Json] = {"description": tool.description} if tool.description else {}
    function: dict[str, Json] = {"name": tool.name, **described, "parameters": {"type": "object", **tool.parameters}}
    return {"type": "function", "function": function}


def _think(request: ChatRequest) -> bool | str | None:
    """Whether to think, or how much where the model knows levels."""
    if request.thinking is None:
        return None
    asked = level(request.thinking)
    if asked == "off":
        return False
    return True if "levels" in request.without else asked


def _arguments(call: ToolCall) -> Json:
    """The arguments as the object that Ollama requires; what is none is kept as it is, inside one."""
    arguments = parse_object(call.arguments)
    return {"arguments": call.arguments} if arguments is None else arguments


# --- their answer -> our events -------------------------------------------------------------------


class _Reader(Reader):
    """Reads one answer line by line. A whole answer is a line that says all."""

    def __init__(self) -> None:
        self._begun = False
        self._thinks = False
        self._calls = 0
        self._malformed: ProviderFailed | None = None

    def feed(self, record: Record) -> Iterator[Event]:
        """See `Reader.feed`. A malformed line is an error only if another follows: as the last one it was cut."""
        if self._malformed is not None:
            raise self._malformed
        try:
            line = parse_json(record.data)
        except ProviderFailed as exc:
            self._malformed = exc
            return iter(())
        return self._line(as_object(line))

    def end(self) -> Iterator[Event]:
        """See `Reader.end`. If nothing but a malformed line came, that was no answer of Ollama's."""
        if self._malformed is not None and not self._begun:
            raise self._malformed
        return iter(())

    def whole(self, document: object) -> Iterator[Event]:
        """See `Reader.whole`."""
        answer = as_object(document)
        if not isinstance(answer.get("message"), dict) and not isinstance(answer.get("response"), str):
            raise ProviderFailed("the answer has no message")
        yield from self._line({**answer, "done": True})

    def _line(self, line: Mapping[str, Json]) -> Iterator[Event]:
        if "error" in line:  # on any line, under status 200 (0xPlaygrounds/rig#1758)
            raise_error_in(line)
        if not self._begun:
            self._begun = True
            if line.get("model"):
                yield Metadata({"model": line["model"]})
        message = as_object(line.get("message"))
        if "response" in line:  # of /api/generate
            message = {"content": line["response"], "thinking": line.get("thinking")}
        if thinking := message.get("thinking"):
            self._thinks = True
            yield ThinkingDelta(str(thinking))
        if content := message.get("content"):
            if self._thinks:
                yield self._thought()
            yield TextDelta(str(content))
        if calls := message.get("tool_calls"):
            yield from self._tool_calls(calls)
        if line.get("done"):
            yield from self._finish(line)

    def _thought(self) -> ThinkingEnd:
        self._thinks = False
        return ThinkingEnd()

    def _tool_calls(self, calls: Json) -> Iterator[Event]:
        """Calls come complete, often on several lines, and without an id from older servers."""
        if self._thinks:
            yield self._thought()
        for call in calls if isinstance(calls, list) else ():
            function = as_object(as_object(call).get("function"))
            given = function.get("arguments") or {}
            arguments = given if isinstance(given, str) else json.dumps(given, ensure_ascii=False)
            yield ToolCall(
                id=str(as_object(call).get("id") or f"call_{self._calls}"),
                name=str(function.get("name") or ""),
                arguments=arguments,
                valid=parse_object(arguments) is not None,
            )
            self._calls += 1

    def _finish(self, line: Mapping[str, Json]) -> Iterator[Event]:
        """The last line says `stop` after tool calls too (BerriAI/litellm#35663), and leaves counts of zero out."""
        if self._thinks:
            yield self._thought()
        prompt, completion = _count(line, "prompt_eval_count"), _count(line, "eval_count")
        yield Usage(prompt, completion, prompt + completion)
        durations = {name: line[name] for name in _DURATIONS if name in line}
        if durations:
            yield Metadata(durations)
        raw = str(line.get("done_reason") or "")
        reason = _FINISH.get(raw, "other")
        if self._calls and reason in ("stop", "other"):
            reason = "tool_calls"
        self.complete = True
        yield Finish(reason, raw or None)


def _count(line: Mapping[str, Json], name: str) -> int:
    count = line.get(name)
    return count if isinstance(count, int) else 0
