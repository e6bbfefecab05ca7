"""
The tables of a GraphQL API: the declarative adapter's own, with a document and its variables in place of the request,
and with expressions that look into `data`.
"""

import re
from collections.abc import Mapping
from typing import Any

from llmcli.errors import ConfigurationError
from llmcli.expressions import ROOTS, Expression, described
from llmcli.provider import ConfigKey
from llmcli.providers.mapped import ANSWER_KEYS
from llmcli.types import Json

Table = Mapping[str, Json]

COMPLETE = "[complete]"
"""`end` of a stream that only the protocol's own `complete` ends, which the reader knows by itself."""

_OPERATION_KEYS: Mapping[str, ConfigKey] = {
    "path": ConfigKey("What follows the base URL; nothing, if not said."),
    "query": ConfigKey("The GraphQL document."),
    "operation": ConfigKey("The name of the operation, where the document has several."),
    "variables": ConfigKey("Expression: the variables of the document, an object."),
}
_RESULT_KEYS = {name: key for name, key in ANSWER_KEYS.items() if name != "record"}

CHAT_KEYS: Mapping[str, ConfigKey] = {
    **_OPERATION_KEYS,
    "content": ConfigKey("Expression: the text of the answer, in `data`."),
    **_RESULT_KEYS,
}
STREAM_KEYS: Mapping[str, ConfigKey] = {
    **_OPERATION_KEYS,
    "delta": ConfigKey("Expression: the next piece of the text, in `data`; null where a result has none."),
    "end": ConfigKey("`eof`: the server closes the stream without `complete`, so its body may end the answer too."),
    **_RESULT_KEYS,
}
ERROR_CODES = ConfigKey("The HTTP status that a code in `errors` stands for, such as `SLOW_DOWN = 429`.", type=dict)

GUIDE_CHAT: Table = {
    "query": """\
mutation GenerateResponse($input: ChatInput!) {
  generateResponse(input: $input) { text model usage { promptTokens completionTokens totalTokens } }
}""",
    "variables": """{input: {messages: messages,
  settings: {model: model, maxTokens: max_tokens, temperature: temperature}}}""",
    "content": "generateResponse.text",
    "model": "generateResponse.model",
    "usage": """generateResponse.usage.{
  prompt_tokens: promptTokens, completion_tokens: completionTokens, total_tokens: totalTokens}""",
}
"""The chat of an API that has no `query` of its own in the configuration."""


class Operation(Expression):
    """
    The expression of the variables, which finds the whole of a GraphQL request.

    Raises `ConfigurationError` for a table without a document or variables, and for a document that wants its answer
    in parts.
    """

    def __init__(self, table: Table, place: str) -> None:
        self._query = str(table.get("query") or "")
        self._name = table.get("operation")
        if not self._query.strip():
            raise ConfigurationError(f"{place}.query is missing: the GraphQL document")
        if parts := re.search(r"@(?:defer|stream)\b", re.sub("#.*", "", self._query)):
            raise ConfigurationError(
                f"{place}.query uses {parts[0]}, whose answers come in parts that llmcli does not put together",
                hint="a subscription streams",
            )
        if "variables" not in table:
            raise ConfigurationError(
                f"{place}.variables is missing: the expression that says the prompt",
                hint='for instance variables = "{prompt: prompt}"',
            )
        super().__init__(str(table["variables"]), f"{place}.variables", roots=ROOTS, failing=ConfigurationError)

    def find(self, document: Any) -> Json:
        """The body of a request over HTTP, which is the payload of one over a WebSocket too."""
        variables = super().find(document)
        if not isinstance(variables, dict):
            raise ConfigurationError(f"{self.place} should make an object, but it makes {described(variables)}")
        name: Table = {"operationName": self._name} if self._name else {}
        return {"query": self._query, **name, "variables": variables}


def checked_end(stream: Table, place: str) -> str:
    """How a stream ends. Raises `ConfigurationError` for an `end` that is not `eof`."""
    end = stream.get("end", COMPLETE)
    if end not in (COMPLETE, "eof"):
        raise ConfigurationError(
            f'{place}.end may only be "eof", for a server that closes without `complete`',
            hint="leave it out: a subscription ends with `complete`",
        )
    return str(end)
