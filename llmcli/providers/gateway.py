"""
A gateway of one's own: a small server that takes messages and options, asks whatever model it likes, and answers in
OpenAI's format. Layer 2: knows the contract and the dialect in `openai.py`.

    POST {base}/chat   {"messages": [...], "options": {"model": ..., "temperature": ..., "stream": true}}
    ->                 {"choices": [{"message": {"role": "assistant", "content": "..."}}],
                        "metadata": {"model": ..., "usage": {...}}}

A streamed answer is that of OpenAI's chat completions, and may be told whole as well.
"""

from collections.abc import Iterator, Mapping
from typing import ClassVar, cast

from llmcli.provider import ApiKey, Capabilities, Setting
from llmcli.providers.chat_reader import ChatReader, JsonObject
from llmcli.providers.vendors import OpenAICompatible
from llmcli.types import ChatRequest, Event, HttpRequest

_ITS_OWN = "default"  # the model that the gateway chooses by itself


class GatewayReader(ChatReader):
    """Reads OpenAI's format with `metadata` beside the choices; all of it is passed on."""

    def chunk(self, document: object) -> list[Event]:
        """See `ChatReader.chunk`."""
        return super().chunk(self._lifted(document))

    def whole(self, document: object) -> Iterator[Event]:
        """See `Reader.whole`."""
        return super().whole(self._lifted(document))

    def _lifted(self, document: object) -> object:
        """The document with its metadata at the top, where OpenAI has the model and the usage."""
        metadata = document.get("metadata") if isinstance(document, dict) else None
        if not isinstance(metadata, dict):
            return document
        facts = [name for name in metadata if name not in (*self.fields, "usage", "choices", "error")]
        self.fields = (*self.fields, *facts)
        return {**metadata, **cast("JsonObject", document)}


class Gateway(OpenAICompatible):
    """The gateway: everything but the messages goes into `options`."""

    id = "gateway"
    name = "Custom gateway"
    default_base_url = "http://localhost:8080/api"
    default_model = _ITS_OWN
    api_key = ApiKey(required=False, env=("GATEWAY_API_KEY",), placeholder="", hint="whatever your gateway wants")
    settings: ClassVar[Mapping[str, Setting]] = {}
    quirks = (f"The model {_ITS_OWN!r} is not sent: the gateway chooses.", "The models are not listed.")

    capabilities = Capabilities(thinking=True)
    attachments: ClassVar[Mapping[str, int]] = {}
    json_mode = False

    chat_path = "/chat"
    responses_path = None
    stream_options = False
    thinking_in = None  # what the gateway asks may think, but how much is its own choice
    reader_class = GatewayReader

    def body(self, request: ChatRequest, *, stream: bool) -> JsonObject:
        """See `OpenAI.body`."""
        options = super().body(request, stream=stream)
        messages = options.pop("messages")
        if options["model"] == _ITS_OWN:
            del options["model"]
        return {"messages": messages, "options": options}

    def models_request(self, cursor: str | None = None) -> HttpRequest | None:
        """See `HTTPProvider.models_request`."""
        return None
