"""
Execution results -> events, whatever carried them. The expressions see `data`; what `errors` says comes first.
"""

from collections.abc import Iterator
from itertools import chain

from llmcli.errors import LlmError, ProviderFailed
from llmcli.expressions import described
from llmcli.framing import Record, as_object, decode_body, parse_json
from llmcli.provider import raise_error_in
from llmcli.providers.mapped import AnswerMap, MappedReader
from llmcli.types import Event, Json, Metadata

from llmcli_graphql.errors import Codes


class ResultReader(MappedReader):
    """
    Reads one answer: a whole result, or the results of a subscription up to `complete`.

    A result with `errors` is a failure unless the text is in it all the same; then they are told as `graphql_errors`.
    """

    def __init__(self, chat: AnswerMap, stream: AnswerMap | None, codes: Codes) -> None:
        super().__init__(chat, stream)
        self._codes = codes
        self._survived: list[Json] = []  # the errors of results that had their text

    # --- one result ---

    def body(self, body: bytes) -> Iterator[Event]:
        """See `Reader.body`."""
        if decode_body(body).lstrip().startswith("--"):
            raise _in_parts()
        return super().body(body)

    def whole(self, document: object) -> Iterator[Event]:
        """See `Reader.whole`."""
        data = self._data(document, self._whole)
        return chain(self._told_errors(document), super().whole(data))

    # --- the results of a subscription ---

    def feed(self, record: Record) -> Iterator[Event]:
        """See `Reader.feed`: an event of GraphQL over SSE. Those that nobody named are results too."""
        if record.event == "complete":
            return self.completed()
        if record.event == "error":
            raise self.failed(parse_json(record.data))
        if record.event not in ("next", "message") or not record.data.strip():
            return iter(())
        return self.result(parse_json(record.data))

    def result(self, result: object) -> Iterator[Event]:
        """The next result."""
        data = self._data(result, self._map)
        return chain(self._told_errors(result), self.document(data))

    def completed(self) -> Iterator[Event]:
        """The end of the subscription: there will be no more results."""
        if not self._records:
            raise ProviderFailed("the operation completed without a result")
        return self.finish()

    def end(self) -> Iterator[Event]:
        """See `Reader.end`. What ends a subscription is no key of its table, unless that is the end of the body."""
        if not self.complete and not self.ends_with_body and self._records:
            raise ProviderFailed(
                "the stream ended without `complete`",
                hint=f'if the server never says it: end = "eof" ({self._map.place})',
            )
        return super().end()

    def failed(self, errors: object) -> LlmError:
        """The error for errors that came in place of results."""
        inner = as_object(errors).get("errors")
        return self._codes.error(inner if inner else errors)  # type: ignore[arg-type]  # what was parsed is Json

    # --- both ---

    def _data(self, result: object, answer: AnswerMap) -> object:
        """The `data` of a result. Raises its errors, unless what is wanted is there all the same."""
        fields = as_object(result)
        data, errors = fields.get("data"), fields.get("errors")
        if "incremental" in fields or fields.get("hasNext"):
            raise _in_parts()
        if errors and not _answers(answer, data):
            raise self._codes.error(errors)
        if not isinstance(data, dict):
            raise_error_in(result)
            raise ProviderFailed(f"a GraphQL result has an object in `data`, but this is {described(result)}")
        return data

    def _told_errors(self, result: object) -> Iterator[Event]:
        errors = as_object(result).get("errors")
        if not errors:
            return iter(())
        self._survived += errors if isinstance(errors, list) else [errors]
        return iter([Metadata({"graphql_errors": list(self._survived)})])


def _answers(answer: AnswerMap, data: Json) -> bool:
    """Whether there is anything of the answer in `data`. An error high up makes everything below it null."""
    if not isinstance(data, dict) or not any(value is not None for value in data.values()):
        return False
    wanted = (answer.text, answer.thinking, answer.tool_calls)
    return any(each is not None and each.find(data) is not None for each in wanted)


def _in_parts() -> ProviderFailed:
    return ProviderFailed(
        "the server answers in parts (multipart/mixed), which llmcli does not put together",
        hint="ask without @defer and @stream; a subscription streams",
        retryable=False,
    )
