"""
OpenAI's API, and with it the dialect that most services speak: chat completions, completions of bare text, and the
Responses API of `responses.py`. Layer 2: knows types, errors and the contract.

How a service differs is said by class attributes of `OpenAI`, so that a vendor is a subclass of a few lines; see
`vendors.py`. The reader (`chat_reader.py`) takes whatever the dialect's servers are known to send, for all of them
alike. What only few requests hold (schemas, attachments) is loaded by the first that holds it.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import ClassVar, Literal
from urllib.parse import urlsplit

from llmcli.errors import LlmError, RequestRejected, UsageError
from llmcli.provider import (
    ApiKey,
    Capabilities,
    ConfigKey,
    HTTPProvider,
    Reader,
    json_request,
    raise_error_in,
    with_headers,
)
from llmcli.providers import signed_thinking, thinking_control
from llmcli.providers.chat_reader import FIELDS, ChatReader, CompletionReader, JsonObject
from llmcli.providers.listed_models import models_of
from llmcli.providers.think_tags import ThinkTags
from llmcli.providers.tool_calls import CallIds, new_call_id
from llmcli.types import (
    NOTHING,
    Attachment,
    ChatRequest,
    HttpRequest,
    Json,
    Message,
    ModelPage,
    Part,
    Text,
    Thinking,
    Tool,
    ToolCall,
    ToolResult,
)

# Words with which a service says that it does not know a parameter, and not that its value is wrong.
_REFUSED = re.compile(
    r"unsupported|not support|unknown|unrecogni[sz]ed|unexpected|extra (?:input|field)|extra_forbidden"
    r"|not permitted|not allowed|invalid field",
    re.IGNORECASE,
)
_TOKEN_FIELDS = ("max_completion_tokens", "max_tokens")
# Words of `ChatRequest.without`.
_CHAT = "chat completions"  # the service has sent us to the other API
_SCHEMA = "json_schema"  # the service does not enforce one, or not here
_JSON = "json_object"  # nor that the answer is JSON
_UNASKED = "thinking"  # a model that may think unasked was told not to, and does not take that
_SIGNATURE = "signature"  # of reasoning, which another model or another account had signed
_CALL_IDS = "call ids"  # which are not of nine signs, as Mistral's models want them
# Patterns that few requests need are compiled by the first that does.
_OTHER_API = r"\bv1/responses\b"  # (openai/openai-openapi#541)
_NINE_SIGNS = r"(?s)\btool.?call id\b.*\blength of 9\b"  # Mistral's, whoever serves it (openclaw/openclaw#57672)
_NO_FORM = (  # that the form of an answer is refused, and not that a schema is a wrong one
    r"(?is)^(?!.*(?:invalid (?:json.?)?schema|failed to|keyword|\b(?:one|any|all)of\b|\$ref))"
    r"(?=.*(?:response.?format|json.?(?:schema|object|mode)|structured.?output|text\.format|response.?mime.?type))"
    r".*(?:not (?:support|available|enabled|permitted|allowed|compatible)|n't support|unsupported|unavailable|unknown"
    r"|unrecogni[sz]ed|incompatible|cannot be (?:combined|used)|only supports"
    r"|(?:must|should) be .{0,10}\b(?:text|json))"
)
_NO_INPUT = r"(?i)\b(?:image|audio|video) input is not supported"  # llama.cpp, with status 500
_NO_TOOLS = (  # of a model, of a server that was started without, or of all that OpenRouter could ask
    r"(?i)\b(?:tools?|(?:tool|function).?(?:use|call(?:ing|s)?)) (?:is|are) (?:not |un)(?:support|available|enabled)"
    r"|not support ['\"`]?(?:tool|function)(?!_choice)|unsupported parameter: ['\"`]?tools\b"
    r"|found that support tool use|requires --enable-auto-tool-choice|tools param requires"
)

# OpenAI's models that only the Responses API has, and those that take tools there only, unless they are not to think.
_RESPONSES_ONLY = (
    r"o[13]-pro.*|.*-deep-research.*|gpt-5(\.\d+)?-pro.*|gpt-5-codex.*|gpt-5\.1-codex-max.*|computer-use-preview.*"
    r"|.*-(?:cyber|rosalind)(?:-.*)?|gpt-6\.2-astra-law.*"
)
_TOOLS_IN_RESPONSES = r"gpt-(5\.([4-9]|\d\d)|[6-9]|\d\d)"

MEGABYTE = 1_000_000
IMAGES = ("image/png", "image/jpeg", "image/webp", "image/gif")
SOUNDS = ("audio/wav", "audio/mpeg")
PDF = "application/pdf"


class OpenAI(HTTPProvider):
    """
    OpenAI itself; a subclass says where another service differs.

    `token_field`: how the limit of output tokens is called. `system_role`: the role of a system message.
    `seed_field`: the name of the seed. `stream_options`: whether the usage of a stream must and may be asked for.
    `reasoning_echo`: which assistant messages are sent back with their reasoning. `reasoning_field`: under which name.
    `reasoning_blocks`: the field whose blocks go back unchanged instead, where an answer had some. `reasoning_needed`:
    such messages are refused without, so that it is sent where there is none, too.
    `think_tags`: the tags at the start of the text that hold thinking. `call_id_length`: the length of tool call ids
    where only that many alphanumerics are taken. `own_headers`: headers, and the configuration keys that hold their
    values. `metadata_fields`: what else of an answer is worth keeping. `reader_class`: what reads chat completions.

    `named_tool_choice`: a tool may be asked for by its name. `forced_tools`: a call may be demanded at all.
    `schema_beside_tools`: a schema is enforced also where tools are offered. `never_streamed`: what a request may hold
    (`tools`, `schema`) only where its answer comes whole. `thinking_in`: the words of chat completions for how much to
    think (`thinking_control.WORDS`), if they have any. `calls_unthinking`: the models of which no call may be demanded
    while they think.

    `api`: the one that is asked where nothing speaks for the other. `responses_path`: where the Responses API is, if
    there is one. `responses_schema`: an answer there is held to a schema. `text_format`: that the answer is text has to
    be said there.
    """

    id = "openai"
    name = "OpenAI"
    default_base_url: ClassVar[str | None] = "https://api.openai.com/v1"
    base_url_env: ClassVar[tuple[str, ...]] = ("OPENAI_BASE_URL",)
    default_model: str | None = "gpt-5.6-luna"
    api_key = ApiKey(env=("OPENAI_API_KEY",), hint="https://platform.openai.com/api-keys")
    config_keys: ClassVar[Mapping[str, ConfigKey]] = {
        "organization": ConfigKey("sent as OpenAI-Organization", env=("OPENAI_ORG_ID",)),
        "project": ConfigKey("sent as OpenAI-Project", env=("OPENAI_PROJECT_ID",)),
    }
    capabilities = Capabilities(thinking=True, vision=True, tools=True, schema=True)
    attachments: ClassVar[Mapping[str, int]] = {
        **dict.fromkeys((*IMAGES, PDF), 50 * MEGABYTE),
        **dict.fromkeys(SOUNDS, 20 * MEGABYTE),
    }
    attachment_urls = True
    json_mode = True
    quirks: ClassVar[tuple[str, ...]] = (
        "Reasoning models refuse a temperature or top-p other than their default.",
        "Chat completions never tell the text of the reasoning, only the number of its tokens.",
        "A request that only the Responses API takes goes there; --option api=responses or api=chat says where to ask.",
    )

    chat_path: ClassVar[str] = "/chat/completions"
    completions_path: ClassVar[str] = "/completions"
    responses_path: ClassVar[str | None] = "/responses"
    responses_schema: ClassVar[bool] = True
    api: ClassVar[Literal["chat", "responses"]] = "chat"
    token_field: ClassVar[Literal["max_completion_tokens", "max_tokens"]] = "max_completion_tokens"
    system_role: ClassVar[Literal["developer", "system"]] = "developer"
    seed_field: ClassVar[str] = "seed"
    stream_options: ClassVar[bool] = True
    named_tool_choice: ClassVar[bool] = True
    forced_tools: ClassVar[bool] = True
    schema_beside_tools: ClassVar[bool] = True
    never_streamed: ClassVar[tuple[Literal["tools", "schema"], ...]] = ()
    text_format: ClassVar[bool] = False
    thinking_in: ClassVar[str | None] = "effort"
    calls_unthinking: ClassVar[str | None] = None
    reasoning_echo: ClassVar[Literal["none", "tool_turns", "all"]] = "none"
    reasoning_field: ClassVar[str] = "reasoning_content"
    reasoning_blocks: ClassVar[str] = "reasoning_details"
    reasoning_needed: ClassVar[bool] = False
    think_tags: ClassVar[tuple[str, ...]] = ("think",)
    call_id_length: ClassVar[int | None] = None
    own_headers: ClassVar[Mapping[str, str]] = {"OpenAI-Organization": "organization", "OpenAI-Project": "project"}
    metadata_fields: ClassVar[tuple[str, ...]] = ("provider", "citations", "search_results")
    reader_class: ClassVar[type[ChatReader]] = ChatReader

    @classmethod
    def resolve_base_url(cls, url: str) -> str:
        """The base URL holds the version, and `/v1` is never added: not every service has it. A pasted path goes."""
        return url.strip().rstrip("/").removesuffix(cls.chat_path).rstrip("/")

    # --- what is refused before anything is sent, and which API is asked ---

    def check(self, request: ChatRequest) -> None:
        """See `Provider.check`."""
        super().check(request)
        api = self.api_of(request)
        if request.complete:
            _check_completion(request)
        elif api == "responses":
            self._check_responses(request)
        if request.thinking is not None and self.capabilities.thinking:
            self.thinking(request.thinking, request.model)
            if thinking_control.level(request.thinking) != "off" and self._calls_unthinking(request):
                raise thinking_control.excludes_a_forced_call(request, self.config.id)
        if request.tools and not self.forced_tools and request.tool_choice not in (None, "auto", "none"):
            raise RequestRejected(f"{self.config.id} leaves it to the model whether a tool is called")

    def _check_responses(self, request: ChatRequest) -> None:
        from llmcli.providers import responses

        responses.refuse(request)
        if request.schema is not None and not self.responses_schema:
            raise RequestRejected(
                f"the Responses API of {self.config.id} passes over a schema",
                hint="chat completions keep to it: leave --option api=responses out",
            )

    def api_of(self, request: ChatRequest) -> Literal["chat", "responses"]:
        """
        The API that a request goes to: the one that `--option api=` names, or else what the model needs.

        Raises `UsageError` for a name of none, and `RequestRejected` where there is no Responses API.
        """
        said = request.options.get("api")
        if said is None:
            return "responses" if _CHAT in request.without or self.needs_responses(request) else self.api
        if said == "chat":
            return "chat"
        if said != "responses":
            raise UsageError(f"--option api={said} is not one of chat, responses")
        if self.responses_path is None:
            raise RequestRejected(f"{self.config.id} has no Responses API")
        return "responses"

    def needs_responses(self, request: ChatRequest) -> bool:
        """
        Whether only the Responses API answers such a request. What stands behind another address than OpenAI's may
        have no such API, so there it has to be asked for.
        """
        host = urlsplit(self.base_url or "").hostname or ""
        if not host.endswith(".openai.com"):
            return False
        if re.fullmatch(_RESPONSES_ONLY, request.model):
            return True
        return bool(request.tools) and request.thinking != "off" and bool(re.match(_TOOLS_IN_RESPONSES, request.model))

    # --- requests ---

    def chat_request(self, request: ChatRequest, *, stream: bool) -> HttpRequest:
        """See `HTTPProvider.chat_request`."""
        request = self._in_words(self._narrowed(request))
        stream = stream and not any(getattr(request, part) for part in self.never_streamed)
        url, body = self._described(request, stream=stream)
        return with_headers(json_request(url, body, stream=stream), self.extra_headers())

    def _described(self, request: ChatRequest, *, stream: bool) -> tuple[str, JsonObject]:
        """Where a request goes, and its body."""
        if request.complete:
            return self.url(self.completions_path), self.completion_body(request, stream=stream)
        if self.api_of(request) == "responses":
            return self.responses_url(), self.responses_body(request, stream=stream)
        return self.chat_url(request), self.body(request, stream=stream)

    def _narrowed(self, request: ChatRequest) -> ChatRequest:
        """
        The same request in the words that there are: where no tool may be named, the named one is all there is, and
        where the choice is the model's, it has none if no tool is to be called.
        """
        if request.tool_choice == "none" and not self.forced_tools:
            return request._replace(tools=())
        named = tuple(tool for tool in request.tools if tool.name == request.tool_choice)
        if not named or self.named_tool_choice:
            return request
        return request._replace(tools=named, tool_choice="required")

    def _in_words(self, request: ChatRequest) -> ChatRequest:
        """The same request with that in words which the service does not enforce of a schema, or has refused to."""
        way = self._schema_way(request)
        if way in (None, "native"):
            return request
        if request.schema is None or not request.schema.document:  # whose words are there
            return request if way == "json" else request._replace(schema=None)
        from llmcli import schemas

        return schemas.asking(request, schemas.Wanted(dict(request.schema.document), request.schema), way)

    def _schema_way(self, request: ChatRequest) -> Literal["native", "json", "prompt"] | None:
        """The surest way to ask for the form of the answer that is left: a schema, any JSON object, or words (P61)."""
        schema = request.schema
        if schema is None:
            return None
        native = self.capabilities.schema and (bool(schema.document) or not self.json_mode)
        if schema.firm:
            return "native" if native else "json"
        if request.tools and not self.schema_beside_tools:
            return "prompt"
        if native and _SCHEMA not in request.without:
            return "native"
        return "json" if self.json_mode and _JSON not in request.without else "prompt"

    def chat_url(self, request: ChatRequest) -> str:
        """Where a request for a chat completion goes."""
        return self.url(self.chat_path)

    def responses_url(self) -> str:
        """Where a request of the Responses API goes."""
        return self.url(self.responses_path or "/responses")

    def extra_headers(self) -> dict[str, str]:
        """Headers that go with every request."""
        return {header: str(value) for header, key in self.own_headers.items() if (value := self.config.own.get(key))}

    def body(self, request: ChatRequest, *, stream: bool) -> JsonObject:
        """The body of a chat request. What was not said is not in it, not even as null; options win."""
        body: JsonObject = {"model": request.model, "messages": self.messages(request)}
        body.update(self._settings(request, stream=stream))
        if request.tools:
            body["tools"] = [_tool(tool) for tool in request.tools]
            if request.tool_choice is not None:
                body["tool_choice"] = _choice(request.tool_choice)
        if request.schema is not None:
            body.update(self._response_format(request))
        body.update(self._thinking(request, stream=stream))
        body.update(_own_options(request))
        return body

    def completion_body(self, request: ChatRequest, *, stream: bool) -> JsonObject:
        """The body of a request to complete bare text."""
        prompt = "".join(message.text for message in request.messages)
        return {
            "model": request.model,
            "prompt": prompt,
            **self._settings(request, stream=stream),
            **_own_options(request),
        }

    def responses_body(self, request: ChatRequest, *, stream: bool) -> JsonObject:
        """The body of a request of the Responses API."""
        from llmcli.providers import responses

        role = self._system_role(request)
        body = responses.body(
            request, self._origin(request), stream=stream, system_role=role, text_format=self.text_format
        )
        return {**body, **_own_options(request)}

    def _settings(self, request: ChatRequest, *, stream: bool) -> JsonObject:
        """What a request says beside what is asked."""
        body: JsonObject = {}
        if stream:
            body["stream"] = True
            if self.stream_options and "stream_options" not in request.without:
                body["stream_options"] = {"include_usage": True}
        said = {
            self._token_field(request): request.max_tokens,
            "temperature": request.temperature,
            "top_p": request.top_p,
            "stop": list[Json](request.stop) or None,
            self.seed_field: request.seed,
        }
        body.update({name: value for name, value in said.items() if value is not None})
        return body

    def thinking(self, asked: str | int, model: str) -> JsonObject:
        """How much to think (`off`, a level, a number of tokens), as fields of a chat request. May be refused."""
        return thinking_control.fields(self.thinking_in or "", asked, self.config.id)

    def _thinking(self, request: ChatRequest, *, stream: bool) -> JsonObject:
        """How much to think: as was asked, or not at all where a model that thinks unasked could not answer."""
        if not self.capabilities.thinking:
            return {}
        if request.thinking is not None:
            return self.thinking(request.thinking, request.model)
        if _UNASKED in request.without or not self.must_not_think(request, stream=stream):
            return {}
        return self.thinking("off", request.model)

    def must_not_think(self, request: ChatRequest, *, stream: bool) -> bool:
        """Whether such a request is refused by a model that thinks."""
        return self._calls_unthinking(request)

    def _calls_unthinking(self, request: ChatRequest) -> bool:
        """Whether a call is demanded of a model that takes no such demand while it thinks."""
        if not request.tools or request.tool_choice in (None, "auto", "none"):
            return False
        return self.calls_unthinking is not None and re.match(self.calls_unthinking, request.model) is not None

    def _response_format(self, request: ChatRequest) -> JsonObject:
        """The form that the answer is to have: that of a schema, or else any JSON object."""
        if request.schema is None:
            return {}
        if self.json_mode and not (self.capabilities.schema and request.schema.document):
            return {"response_format": {"type": "json_object"}}
        if not self.capabilities.schema:
            return {}
        from llmcli.providers.strict_schema import named

        schema = request.schema if request.schema.document else request.schema._replace(document={"type": "object"})
        wanted = named(schema, strictly="strict" not in request.without)
        return {"response_format": {"type": "json_schema", "json_schema": wanted}}

    # --- the conversation ---

    def messages(self, request: ChatRequest) -> list[Json]:
        """The conversation in the API's format."""
        ids = CallIds(9 if _CALL_IDS in request.without else self.call_id_length)
        spoken = _taking_turns(self._with_own_blocks(request))
        return [sent for message in spoken for sent in self._messages(message, request, ids)]

    def _with_own_blocks(self, request: ChatRequest) -> tuple[Message, ...]:
        """
        The conversation with only those blocks of reasoning that its model takes back: they are signed for one model.
        Where the signatures are refused all the same, they are left out, but for what was thought since the question.
        """
        if self.reasoning_echo == "none":
            return request.messages
        signed = _SIGNATURE not in request.without
        asked = signed_thinking.last_question(request.messages)
        return tuple(
            _with_blocks_of(request.model, message, signed=signed or at > asked)
            for at, message in enumerate(request.messages)
        )

    def _messages(self, message: Message, request: ChatRequest, ids: CallIds) -> list[JsonObject]:
        """One turn: a message, or one for each of its results."""
        if message.role == "assistant":
            return [self._assistant(message, request, ids)]
        if message.role == "tool":
            results = [part for part in message.parts if isinstance(part, ToolResult)]
            return [
                {"role": "tool", "tool_call_id": call_id, "content": result.content}
                for result, call_id in zip(results, ids.results(results), strict=True)
            ]
        role = self._system_role(request) if message.role == "system" else message.role
        return [{"role": role, "content": _content(message)}]

    def _assistant(self, message: Message, request: ChatRequest, ids: CallIds) -> JsonObject:
        sent: JsonObject = {"role": "assistant"}
        calls = [part for part in message.parts if isinstance(part, ToolCall)]
        # Beside tool calls the content may be left out; null and "" are each refused somewhere.
        if message.text or not calls:
            sent["content"] = message.text
        if self.reasoning_echo == "all" or (self.reasoning_echo == "tool_turns" and calls):
            sent.update(self._reasoning(part for part in message.parts if isinstance(part, Thinking)))
        if calls:
            sent["tool_calls"] = [_tool_call(*pair) for pair in zip(calls, ids.calls(calls), strict=True)]
        return sent

    def _reasoning(self, blocks: Iterable[Thinking]) -> JsonObject:
        """The reasoning of a message as it is sent back: its blocks unchanged, or else the text."""
        text, details = "", list[Json]()
        for block in blocks:
            text += block.text
            kept = block.opaque.get(self.reasoning_blocks)
            details += kept if isinstance(kept, list) else []
        if details:
            return {self.reasoning_blocks: details}
        return {self.reasoning_field: text} if text or self.reasoning_needed else {}

    def _origin(self, request: ChatRequest) -> str:
        """Whose reasoning it is that is kept for the next request."""
        return f"{self.config.id}/{request.model}"

    def new_call_id(self) -> str:
        """An id for a tool call that came without one."""
        return new_call_id()[-self.call_id_length :] if self.call_id_length else new_call_id()

    def _system_role(self, request: ChatRequest) -> str:
        return "system" if "developer" in request.without else self.system_role

    def _token_field(self, request: ChatRequest) -> str:
        if request.complete:
            return "max_tokens"
        other = next(field for field in _TOKEN_FIELDS if field != self.token_field)
        return other if self.token_field in request.without else self.token_field

    # --- what the service refuses ---

    def adapt(self, request: ChatRequest, error: LlmError) -> ChatRequest | None:
        """See `HTTPProvider.adapt`. Each of our own choices is changed once; what the user asked for stays."""
        if not isinstance(error, RequestRejected):
            return None
        refused = next((name for name in self._own_choices(request) if _refuses(error, name)), None)
        if refused is None:
            return None
        return request._replace(without=request.without | {refused})

    def _own_choices(self, request: ChatRequest) -> Iterator[str]:
        """The names in the request that we chose and could leave out or say in another way."""
        system = any(message.role == "system" for message in request.messages)
        if system and self._system_role(request) == "developer" and not request.complete:
            yield "developer"
        way = self._schema_way(request)
        if way == "native" and "strict" not in request.without:
            yield "strict"
        if way in ("native", "json") and not (request.schema and request.schema.firm):
            yield _SCHEMA if way == "native" else _JSON
        if self.api_of(request) == "responses" and not request.complete:
            yield from (name for name in ("include", "reasoning.summary") if name not in request.without)
            return
        if self.responses_path is not None and "api" not in request.options and not request.complete:
            yield _CHAT
        if request.thinking is None and _UNASKED not in request.without and self.must_not_think(request, stream=False):
            yield _UNASKED
        unsigned = request._replace(without=request.without | {_SIGNATURE})
        if self._with_own_blocks(request) != self._with_own_blocks(unsigned):
            yield _SIGNATURE
        if self.call_id_length is None and _CALL_IDS not in request.without:
            yield _CALL_IDS
        if self.stream_options and "stream_options" not in request.without | request.options.keys():
            yield "stream_options"
        tried = request.without.intersection(_TOKEN_FIELDS)
        field = self._token_field(request)
        if request.max_tokens is not None and not tried and not request.complete and field not in request.options:
            yield field

    def read_error(self, status: int, headers: Mapping[str, str], body: bytes) -> LlmError:
        """
        See `HTTPProvider.read_error`. That a model takes no images is no failure of the server, and that it takes no
        tools no wrong address.
        """
        error = super().read_error(status, headers, body)
        if type(error) is RequestRejected and re.search(_NO_TOOLS, error.message):
            error.message = error.message.removeprefix("no such address: ")
            error.hint = f'tools = "text" under [providers.{self.config.id}.models."MODEL"] tells it of them in words'
        if re.search(_NO_INPUT, error.message):
            return RequestRejected(error.message, http_status=status, request_id=error.request_id)
        return error

    # --- answers ---

    def reader(self, request: ChatRequest) -> Reader:
        """See `HTTPProvider.reader`."""
        fields = (*FIELDS, *self.metadata_fields)
        if request.complete:
            return CompletionReader(fields)
        if self.api_of(request) == "responses":
            from llmcli.providers import responses

            return responses.ResponsesReader(self._origin(request), fields)
        kept = None if self.reasoning_echo == "none" else self.reasoning_blocks
        return self.reader_class(self.think_splitter(), fields, new_id=self.new_call_id, kept=kept, model=request.model)

    def think_splitter(self) -> ThinkTags:
        """What takes the thinking out of the text of one answer."""
        return ThinkTags(self.think_tags)

    def models_request(self, cursor: str | None = None) -> HttpRequest | None:
        """See `HTTPProvider.models_request`. The dialect has no pages."""
        return HttpRequest("GET", self.url("/models"), {"Accept": "application/json", **self.extra_headers()})

    def read_models(self, document: object) -> ModelPage:
        """See `HTTPProvider.read_models`. Only the id of a model is certain (maximhq/bifrost#6711)."""
        raise_error_in(document)
        listed = document
        if isinstance(document, dict):
            listed = document.get("data") or document.get("models")
        return ModelPage(models_of(listed, prefix="models/"))  # which Gemini puts in front, and takes without


def _check_completion(request: ChatRequest) -> None:
    """Raise `RequestRejected` for what a completion of bare text has no place for."""
    parts = [part for message in request.messages for part in message.parts]
    if [message.role for message in request.messages] != ["user"] or not all(isinstance(part, Text) for part in parts):
        raise RequestRejected("a completion takes one text and nothing else: no system message, no attachment")
    for name in ("tools", "schema", "thinking"):
        if getattr(request, name):
            raise RequestRejected(f"a completion of bare text takes no {name}")


def _own_options(request: ChatRequest) -> JsonObject:
    """The options that are the API's; `api` is ours, and says which one is asked."""
    return {name: value for name, value in request.options.items() if name != "api"}


def _tool(tool: Tool) -> JsonObject:
    described: JsonObject = {"description": tool.description} if tool.description else {}
    return {"type": "function", "function": {"name": tool.name, **described, "parameters": dict(tool.parameters)}}


def _choice(choice: str) -> Json:
    return choice if choice in ("auto", "none", "required") else {"type": "function", "function": {"name": choice}}


def _taking_turns(messages: Iterable[Message]) -> list[Message]:
    """
    The conversation as chat templates take it: what the system says at once and in front, because some know only a
    first message of it; no answer that says nothing, which Mistral and DeepSeek refuse; and so no two messages of the
    user in a row.
    """
    system: list[Part] = []
    spoken: list[Message] = []
    for each in messages:
        last = spoken[-1] if spoken else None
        if each.role == "system":
            system += [Text("\n\n"), *each.parts] if system else each.parts
        elif each.role == "assistant" and not each.text and not any(isinstance(part, ToolCall) for part in each.parts):
            continue
        elif last is not None and last.role == each.role == "user":
            spoken[-1] = last._replace(parts=(*last.parts, Text("\n\n"), *each.parts))
        else:
            spoken.append(each)
    return [Message("system", tuple(system)), *spoken] if system else spoken


def _with_blocks_of(model: str, message: Message, *, signed: bool) -> Message:
    """A message without the blocks of other models, or without any; whose they are may not be known."""
    return message._replace(
        parts=tuple(
            part._replace(opaque=NOTHING)
            if isinstance(part, Thinking) and not (signed and signed_thinking.is_of(part, model))
            else part
            for part in message.parts
        )
    )


def _content(message: Message) -> Json:
    """Text alone is a plain string: several servers refuse a list of parts."""
    if not any(isinstance(part, Attachment) for part in message.parts):
        return message.text
    from llmcli.providers.content_parts import chat_part

    return [chat_part(part) for part in message.parts if isinstance(part, Text | Attachment)]


def _tool_call(call: ToolCall, call_id: str) -> JsonObject:
    function: JsonObject = {"name": call.name, "arguments": call.arguments}
    return {"id": call_id, "type": "function", "function": function, **call.opaque}


def _refuses(error: RequestRejected, name: str) -> bool:
    """Whether the error is about our use of `name`, and not about its value."""
    message, parameter = error.message.lower(), error.parameter or ""
    if name == "developer":
        return name in message or parameter.endswith("role")
    if name == _CHAT:
        return re.search(_OTHER_API, message) is not None
    if name == _SIGNATURE:
        return re.search(signed_thinking.REFUSED, message) is not None
    if name == _CALL_IDS:
        return re.search(_NINE_SIGNS, message) is not None
    if name == "strict":
        return re.search(r"invalid schema|\bstrict\b", f"{message} {parameter}") is not None
    if name in (_SCHEMA, _JSON):
        return type(error) is RequestRejected and re.search(_NO_FORM, f"{message} {parameter}") is not None
    if name == "reasoning.summary":
        return parameter == name or "reasoning summar" in message
    if name == "include" and "encrypted content" in message:
        return True
    if name == _UNASKED:  # whatever is wrong with a word that nobody asked for
        return re.search(r"\b(?:enable_)?thinking\b", f"{message} {parameter}") is not None
    return (
        re.search(rf"\b{name}\b", error.parameter or error.message) is not None
        and _REFUSED.search(error.message) is not None
    )
