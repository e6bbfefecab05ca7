"""
Queries and mutations over HTTP, subscriptions over server-sent events: the declarative adapter, speaking GraphQL.
"""

import json
from collections.abc import Mapping, Sequence
from typing import ClassVar

from llmcli import http_errors
from llmcli.errors import LlmError
from llmcli.expressions import Expression
from llmcli.framing import SSE, Framing, Record, as_object, decode_body, parse_json, parse_object
from llmcli.provider import ApiKey, ConfigKey, json_request, with_headers
from llmcli.providers.declarative import Declarative
from llmcli.types import ChatRequest, HttpRequest, ModelPage, ProviderConfig

from llmcli_graphql.errors import Codes
from llmcli_graphql.results import ResultReader
from llmcli_graphql.tables import CHAT_KEYS, ERROR_CODES, GUIDE_CHAT, STREAM_KEYS, Operation, Table, checked_end

_ACCEPT = {"Accept": "application/graphql-response+json, application/json;q=0.9"}
_MODELS_KEYS: Mapping[str, ConfigKey] = {
    "path": ConfigKey("What follows the base URL; nothing, if not said."),
    "query": ConfigKey("The GraphQL document that lists the models."),
    "models": ConfigKey("Expression: a list of names, or of objects with `id`, `name`, ..., in `data`."),
}


class GraphQL(Declarative):
    """
    A GraphQL API: `chat` (that of the guide, if it has no `query`), `stream`, `models_list`, `error_codes` and `vars`.

    Raises `ConfigurationError` with file, dotted key and position for whatever is wrong with them.
    """

    id = "graphql"
    name = "GraphQL over HTTP"
    api_key = ApiKey(required=False, placeholder="", hint="whatever your API wants")
    request_key = "variables"
    config_keys: ClassVar[Mapping[str, ConfigKey]] = {
        "chat": ConfigKey("The query or mutation, and where the answer stands in `data`.", type=dict, keys=CHAT_KEYS),
        "stream": ConfigKey("A subscription; without it, answers come whole.", type=dict, keys=STREAM_KEYS),
        "models_list": ConfigKey("A query for the names of the models.", type=dict, keys=_MODELS_KEYS),
        "error_codes": ERROR_CODES,
        "vars": ConfigKey("Constants for the expressions, as `vars.NAME`.", type=dict),
    }
    quirks = (
        "an answer that came in spite of errors is an answer: they are in the metadata, as graphql_errors",
        "@defer and @stream (multipart/mixed) are refused: a subscription streams",
    )

    def __init__(self, config: ProviderConfig) -> None:
        super().__init__(config)
        self.codes = Codes(as_object(config.own.get("error_codes")), f"{config.place}.error_codes")
        if "query" not in as_object(config.own.get("chat")):
            self.default_model = self.default_model or "default"

    def tables(self, config: ProviderConfig) -> tuple[Table, Table]:
        """See `Declarative.tables`."""
        own = as_object(config.own.get("chat"))
        said = {**config.own, "chat": own if "query" in own else {**GUIDE_CHAT, **own}}
        chat, stream = super().tables(config._replace(own=said))
        if stream:
            inherited = {"variables": chat["variables"]} if "variables" in chat else {}
            stream = {**inherited, **stream, "end": checked_end(stream, self._place("stream"))}
        return chat, stream

    # --- requests ---

    def requests(self, chat: Table, stream: Table) -> Mapping[bool, Sequence[Expression]]:
        """See `Declarative.requests`."""
        subscriptions = [Operation(stream, self._place("stream"))] if stream else []
        return {False: [Operation(chat, self._place("chat"))], True: subscriptions}

    def chat_request(self, request: ChatRequest, *, stream: bool) -> HttpRequest:
        """See `HTTPProvider.chat_request`."""
        asked = super().chat_request(request, stream=stream)
        return asked if stream else with_headers(asked, _ACCEPT)

    def models_request(self, cursor: str | None = None) -> HttpRequest | None:
        """See `HTTPProvider.models_request`."""
        if not self._listed:
            return None
        asked = json_request(self.url(str(self._listed.get("path", ""))), {"query": self._listed.get("query")})
        return with_headers(asked, _ACCEPT)

    def health_request(self) -> HttpRequest | None:
        """See `HTTPProvider.health_request`: without a list of models, what every GraphQL server answers."""
        if self._listed:
            return None
        return with_headers(json_request(self.url(""), {"query": "{__typename}"}), _ACCEPT)

    # --- answers ---

    def framing(self) -> Framing:
        """See `HTTPProvider.framing`."""
        return GraphQLEvents()

    def reader(self, request: ChatRequest) -> ResultReader:
        """See `HTTPProvider.reader`."""
        return ResultReader(self._chat, self._stream, self.codes)

    def findings(self, record: Record, *, stream: bool) -> Table:
        """See `HTTPProvider.findings`."""
        data = as_object(parse_json(record.data)).get("data") if record.data.strip() else None
        return super().findings(record._replace(data=json.dumps(data)), stream=stream)

    def read_error(self, status: int, headers: Mapping[str, str], body: bytes) -> LlmError:
        """See `HTTPProvider.read_error`. What is no GraphQL is a gateway's own."""
        errors = (parse_object(decode_body(body).strip()) or {}).get("errors")
        if not errors:
            return http_errors.read_error(status, headers, body)
        return self.codes.error(errors, status=status, headers=headers)

    def read_models(self, document: object) -> ModelPage:
        """See `HTTPProvider.read_models`."""
        fields = as_object(document)
        if fields.get("errors") and not fields.get("data"):
            raise self.codes.error(fields["errors"])
        return super().read_models(fields.get("data"))


class GraphQLEvents(SSE):
    """Server-sent events, of which `complete` is one although it has no data."""

    def end(self) -> list[Record]:
        """See `Framing.end`."""
        records = super().end()
        if self._event == "complete":
            records.append(Record("", "complete"))
        return records

    def _without_data(self, records: list[Record]) -> None:
        if self._event == "complete":
            records.append(Record("", "complete"))
        else:
            super()._without_data(records)
