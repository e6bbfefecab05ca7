"""Results: what is an answer, what is an error, and what is both."""

from typing import Any

import pytest
from llmcli.errors import (
    AuthenticationFailed,
    Busy,
    LlmError,
    ProviderFailed,
    QuotaExceeded,
    RequestRejected,
    UnknownModel,
)
from llmcli.framing import Record
from llmcli.testing import body
from llmcli.types import ChatRequest, Event, Finish, Metadata, ProviderConfig, TextDelta, message

from llmcli_graphql.errors import Codes
from llmcli_graphql.over_http import GraphQL, GraphQLEvents

ASKED = ChatRequest("m", (message("user", "hi"),))
CHAT = {"query": "{ ask }", "variables": "{p: prompt}", "content": "ask.text", "thinking": "ask.thought"}
STREAM = {"query": "subscription { ask { text } }", "delta": "ask.text"}
ERROR = {"message": "no"}


def api(**tables: Any) -> GraphQL:
    own = {"chat": CHAT, "stream": STREAM, **tables}
    return GraphQL(ProviderConfig("acme", "https://acme.example/graphql", own=own, place="providers.acme"))


def whole(document: object, adapter: GraphQL | None = None) -> list[Event]:
    return list((adapter or api()).reader(ASKED).body(body(document)))


def streamed(*records: Record, adapter: GraphQL | None = None) -> list[Event]:
    reader = (adapter or api()).reader(ASKED)
    return [event for record in records for event in reader.feed(record)]


def result(document: object, event: str = "next") -> Record:
    return Record(body(document).decode(), event)


def error_of(*errors: Any, status: int = 200, **own: Any) -> LlmError:
    return Codes(own, "error_codes").error(list(errors), status=status)


# --- partial data ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "data", [{"ask": None}, {"ask": {"text": None}}, {"ask": {"text": None}, "other": 1}, {"other": 1}, {}, None]
)
def test_errors_without_the_text_are_errors(data: Any) -> None:
    with pytest.raises(ProviderFailed, match="no"):
        whole({"data": data, "errors": [ERROR]})
    with pytest.raises(ProviderFailed, match="no"):
        streamed(result({"data": data, "errors": [ERROR]}))


def test_an_error_high_up_is_told_although_an_expression_cannot_work_on_null() -> None:
    adapter = api(chat={**CHAT, "content": "join('', ask.parts)"})

    with pytest.raises(AuthenticationFailed):
        whole({"data": {"ask": None}, "errors": [{**ERROR, "extensions": {"code": "FORBIDDEN"}}]}, adapter)


def test_errors_beside_the_text_are_told_with_it() -> None:
    told = Metadata({"graphql_errors": [{"message": "no"}]})

    assert whole({"data": {"ask": {"text": "Yes"}}, "errors": [ERROR]}) == [told, TextDelta("Yes"), Finish("stop")]


def test_no_errors_are_none() -> None:
    assert whole({"data": {"ask": {"text": "Yes"}}, "errors": []}) == [TextDelta("Yes"), Finish("stop")]


@pytest.mark.parametrize(
    ("document", "error", "said"),
    [
        ({"data": None}, ProviderFailed, "object in `data`, but this is an object with data"),
        ({"message": "hello"}, ProviderFailed, "object in `data`, but this is an object with message"),
        ([], ProviderFailed, "object in `data`, but this is a list of 0"),
        ({"error": {"message": "slow down", "type": "rate_limit_error"}}, Busy, "slow down"),
        ({"data": {"ask": {"text": None}}}, ProviderFailed, "chat.content should find a string, but ask.text is null"),
        ({"data": {}, "hasNext": True}, ProviderFailed, "answers in parts"),
        ({"incremental": [], "hasNext": False}, ProviderFailed, "answers in parts"),
    ],
)
def test_what_is_no_answer_says_what_it_is(document: object, error: type[LlmError], said: str) -> None:
    with pytest.raises(error) as caught:
        whole(document)
    assert said in caught.value.message


def test_an_api_may_report_its_errors_in_data() -> None:
    adapter = api(chat={**CHAT, "error": "ask.problem.text", "error_status": "ask.problem.code"})

    with pytest.raises(Busy, match="slow down"):
        whole({"data": {"ask": {"problem": {"text": "slow down", "code": 429}}}}, adapter)


# --- streams --------------------------------------------------------------------------------------


def test_events_of_another_name_are_no_results() -> None:
    records = (result({"a": 1}, "ping"), result({"data": {"ask": {"text": "Yes"}}}), Record("", "complete"))

    assert streamed(*records) == [TextDelta("Yes"), Finish("stop")]


def test_events_without_a_name_are_results() -> None:
    assert streamed(result({"data": {"ask": {"text": "Yes"}}}, "message")) == [TextDelta("Yes")]


def test_an_event_that_is_an_error_is_one() -> None:
    with pytest.raises(Busy):
        streamed(result({"errors": [{**ERROR, "extensions": {"code": "RATE_LIMITED"}}]}, "error"))


def test_a_stream_without_any_text_is_no_answer() -> None:
    with pytest.raises(ProviderFailed, match=r"ask\.text is null in all 1 records; the first is an object with ask"):
        streamed(result({"data": {"ask": {}}}), Record("", "complete"))


@pytest.mark.parametrize(
    "end",
    [
        b"event: complete\n\n",
        b"event: complete\ndata:\n\n",
        b"event: complete\nid: 1\r\n\r\n",
        b"event: complete\n",
        b"event: complete",
    ],
)
def test_complete_is_an_event_with_or_without_data(end: bytes) -> None:
    stream = b'event: next\ndata: {"a":1}\n\n:\n\n' + end
    for cut in range(len(stream) + 1):
        framing = GraphQLEvents()
        records = framing.feed(stream[:cut]) + framing.feed(stream[cut:]) + framing.end()
        assert records == [Record('{"a":1}', "next"), Record("", "complete")]
        assert framing.keep_alives == 2  # the comment and the blank line behind it


@pytest.mark.parametrize("rest", [b"event: complet", b"event: next", b"data: {", b""])
def test_a_beginning_of_an_event_is_none(rest: bytes) -> None:
    framing = GraphQLEvents()
    records = framing.feed(b'event: next\ndata: {"a":1}\n\n' + rest) + framing.end()

    assert [record.event for record in records] == ["next"]


# --- codes ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        ({"extensions": {"code": "UNAUTHENTICATED"}}, AuthenticationFailed),
        ({"extensions": {"code": "access-denied"}}, AuthenticationFailed),
        ({"extensions": {"classification": "ValidationError"}}, RequestRejected),
        ({"extensions": {"code": "GRAPHQL_PARSE_FAILED"}}, RequestRejected),
        ({"extensions": {"statusCode": 429}}, Busy),
        ({"extensions": {"code": "429"}}, Busy),
        ({"type": "RATE_LIMITED"}, Busy),
        ({"errorType": "Unauthorized"}, AuthenticationFailed),
        ({"extensions": {"code": "PAYMENT_REQUIRED"}}, QuotaExceeded),
        ({"extensions": {"code": "MODEL_NOT_FOUND"}}, UnknownModel),
        ({"extensions": {"code": "OF_NEXT_YEAR"}}, ProviderFailed),
        ({"extensions": None, "locations": [{"line": 1, "column": 2}]}, RequestRejected),
        ({"locations": [{"line": 1, "column": 2}], "path": ["ask"]}, ProviderFailed),
    ],
)
def test_an_error_is_what_its_code_says(error: dict[str, Any], expected: type[LlmError]) -> None:
    assert type(error_of({"message": "no", **error})) is expected


def test_a_code_of_the_configuration_beats_ours() -> None:
    assert type(error_of({"extensions": {"code": "SLOW"}}, SLOW=429)) is Busy
    assert type(error_of({"extensions": {"code": "FORBIDDEN"}}, FORBIDDEN=402)) is QuotaExceeded


def test_a_code_beats_the_http_status_which_beats_nothing() -> None:
    assert type(error_of({"extensions": {"code": "UNAUTHENTICATED"}}, status=500)) is AuthenticationFailed
    assert type(error_of({"message": "no"}, status=401)) is AuthenticationFailed


def test_of_several_errors_the_one_with_a_known_code_decides() -> None:
    error = error_of({"message": "a"}, {"message": "b", "extensions": {"code": "RATE_LIMITED"}}, {"message": "c"})

    assert isinstance(error, Busy)
    assert error.message.endswith("b (RATE_LIMITED), and 2 more")


@pytest.mark.parametrize("errors", [["no"], "no", {"message": "no"}, [None, "no"]])
def test_errors_in_a_shape_of_their_own_keep_their_words(errors: Any) -> None:
    assert "no" in Codes({}, "").error(errors).message


@pytest.mark.parametrize("errors", [[], None, [{}]])
def test_an_error_without_words_is_one_all_the_same(errors: Any) -> None:
    assert isinstance(Codes({}, "").error(errors), ProviderFailed)


def test_a_gateways_own_error_is_read_as_such() -> None:
    error = api().read_error(503, {"retry-after": "3"}, b"<html><h1>Unavailable</h1></html>")

    assert (type(error), error.retry_after) == (Busy, 3.0)


def test_errors_in_place_of_models_are_errors() -> None:
    listing = api(models_list={"query": "{ models }", "models": "models"})

    with pytest.raises(AuthenticationFailed):
        listing.read_models({"data": None, "errors": [{**ERROR, "extensions": {"code": "UNAUTHENTICATED"}}]})
