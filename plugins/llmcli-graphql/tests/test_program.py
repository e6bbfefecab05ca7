"""The real program against a server that speaks GraphQL over HTTP."""

import json
from typing import Any

import pytest

KEY = "gql-test-key"
RESULT_TYPE = "application/graphql-response+json"
STREAM = """
[providers.acme.stream]
query = "subscription Tokens($prompt: String!) { tokens(prompt: $prompt) { text } }"
variables = "{prompt: prompt}"
delta = "tokens.text"
"""


def table(url: str, more: str = "", adapter: str = "graphql") -> str:
    return f"""
[providers.acme]
adapter = "{adapter}"
base_url = "{url}"
api_key = {{ env = "ACME_API_KEY" }}
{more}"""


def http(status: int, document: Any, content_type: str = RESULT_TYPE, more: str = "") -> bytes:
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    head = f"HTTP/1.1 {status} Said\r\nContent-Type: {content_type}\r\nContent-Length: {len(body)}\r\n{more}\r\n"
    return head.encode() + body


def events(*events: bytes, ends: bool = True) -> bytes:
    """A body of server-sent events in chunks; without `ends`, it is cut."""
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(event), event) for event in events)
    return head + chunks + (b"0\r\n\r\n" if ends else b"")


def result(text: str | None, *errors: Any) -> dict[str, Any]:
    return {"data": {"generateResponse": {"text": text}}, **({"errors": list(errors)} if errors else {})}


def next_event(text: str) -> bytes:
    return b"event: next\ndata: " + json.dumps({"data": {"tokens": {"text": text}}}).encode() + b"\n\n"


COMPLETE = b"event: complete\n\n"


def failure(code: str | None, message: str = "no") -> dict[str, Any]:
    return {"message": message, **({"extensions": {"code": code}} if code else {})}


# --- the guide's API ------------------------------------------------------------------------------


def test_the_mutation_of_the_guide_needs_no_more_than_an_address(llmcli: Any, serve: Any) -> None:
    usage = {"promptTokens": 3, "completionTokens": 2, "totalTokens": 5}
    server = serve(http(200, {"data": {"generateResponse": {"text": "Grüße 🦙", "model": "g-1", "usage": usage}}}))

    done = llmcli(table(server.url), "chat", "-p", "acme", "--json", "-s", "Be brief.", "--max-tokens", "9", "hi")

    assert (done.status, done.json["content"], done.json["metadata"]["model"]) == (0, "Grüße 🦙", "g-1")
    assert done.json["metadata"]["usage"] == {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
    sent = server.bodies[0]
    assert set(sent) == {"query", "variables"}
    assert sent["query"].startswith("mutation GenerateResponse($input: ChatInput!)")
    assert sent["variables"] == {
        "input": {
            "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "hi"}],
            "settings": {"model": "default", "maxTokens": 9},
        }
    }
    head = server.requests[0].partition(b"\r\n\r\n")[0].decode().lower().split("\r\n")
    assert head[0] == "post /graphql http/1.1"
    assert f"authorization: bearer {KEY}" in head
    assert "accept: application/graphql-response+json, application/json;q=0.9" in head


# --- errors and partial data ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        ({"errors": [failure("UNAUTHENTICATED")]}, 4),
        ({"data": None, "errors": [failure("FORBIDDEN")]}, 4),
        (result(None, failure("BAD_USER_INPUT")), 5),
        ({"data": {"generateResponse": None}, "errors": [failure("RATE_LIMITED")]}, 6),
        ({"data": {"generateResponse": None}, "errors": [failure("INTERNAL_SERVER_ERROR")]}, 8),
        ({"data": {"generateResponse": None}, "errors": [failure(None)]}, 8),
        ({"data": None, "errors": [failure("QUOTA_EXCEEDED")]}, 9),
        ({"data": None}, 8),
        ({"data": {"generateResponse": None}}, 8),
        (result(None), 8),
        ({}, 8),
    ],
)
def test_errors_under_status_200_exit_by_their_code_and_no_data_is_no_answer(
    llmcli: Any, serve: Any, answer: Any, status: int
) -> None:
    server = serve(http(200, answer, "application/json"))

    done = llmcli(table(server.url), "chat", "-p", "acme", "--retries", "0", "hi")

    assert (done.status, done.out) == (status, b"")


def test_an_answer_in_spite_of_errors_is_an_answer_and_tells_them(llmcli: Any, serve: Any) -> None:
    error = {"message": "the counter is asleep", "path": ["generateResponse", "usage"]}
    server = serve(http(294, result("Yes.", error)))

    done = llmcli(table(server.url), "chat", "-p", "acme", "--json", "hi")

    assert (done.status, done.json["content"]) == (0, "Yes.")
    assert done.json["metadata"]["graphql_errors"] == [error]


def test_what_is_busy_is_asked_again(llmcli: Any, serve: Any) -> None:
    server = serve(
        http(429, {"errors": [failure("RATE_LIMITED")]}, more="Retry-After: 0\r\n"), http(200, result("Yes."))
    )

    done = llmcli(table(server.url), "chat", "-p", "acme", "hi")

    assert (done.status, done.out, len(server.requests)) == (0, b"Yes.", 2)


@pytest.mark.parametrize("content_type", [RESULT_TYPE, "application/json"])
def test_an_error_status_with_a_result_exits_by_the_code_in_it(llmcli: Any, serve: Any, content_type: str) -> None:
    server = serve(http(500, {"errors": [failure("UNAUTHENTICATED", "who are you?")]}, content_type))

    done = llmcli(table(server.url), "chat", "-p", "acme", "--retries", "0", "hi")

    assert (done.status, done.out) == (4, b"")
    assert "who are you? (UNAUTHENTICATED)" in done.err


def test_a_key_that_is_refused_by_a_gateway_exits_4_and_is_not_shown(llmcli: Any, serve: Any) -> None:
    server = serve(http(401, {"error": f"invalid key {KEY}"}, "application/json"))

    done = llmcli(table(server.url), "chat", "-p", "acme", "hi")

    assert (done.status, done.out) == (4, b"")
    assert KEY not in done.err


def test_an_answer_in_parts_says_so(llmcli: Any, serve: Any) -> None:
    parts = b'---\r\nContent-Type: application/json\r\n\r\n{"data":{},"hasNext":true}\r\n---\r\n'
    server = serve(http(200, parts, 'multipart/mixed; boundary="-"'))

    done = llmcli(table(server.url), "chat", "-p", "acme", "--retries", "0", "hi")

    assert (done.status, done.out) == (8, b"")
    assert "multipart/mixed" in done.err


# --- subscriptions over server-sent events --------------------------------------------------------


def test_a_subscription_is_printed_exactly(llmcli: Any, serve: Any) -> None:
    server = serve(events(b": alive\n\n", next_event("Grüße"), b":\n\n", next_event(" 🦙"), COMPLETE))

    done = llmcli(table(server.url, STREAM), "chat", "-p", "acme", "hi")

    assert (done.status, done.out) == (0, "Grüße 🦙".encode())
    assert server.bodies[0] == {
        "query": "subscription Tokens($prompt: String!) { tokens(prompt: $prompt) { text } }",
        "variables": {"prompt": "hi"},
    }
    assert b"accept: text/event-stream\r\n" in server.requests[0].lower()


@pytest.mark.parametrize("ends", [True, False])
def test_a_subscription_that_stops_without_complete_exits_10(llmcli: Any, serve: Any, ends: bool) -> None:
    server = serve(events(next_event("Grüße"), next_event(" 🦙"), ends=ends))

    done = llmcli(table(server.url, STREAM), "chat", "-p", "acme", "hi")

    assert (done.status, done.out) == (10, "Grüße 🦙".encode())


def test_who_meets_a_server_without_complete_hears_what_to_configure(llmcli: Any, serve: Any) -> None:
    done = llmcli(table(serve(events(next_event("Hi"))).url, STREAM), "chat", "-p", "acme", "hi")

    assert "the stream ended without `complete`" in done.err
    assert 'end = "eof"' in done.err
    assert "providers.acme.stream" in done.err


def test_a_server_without_complete_may_end_with_its_body_but_not_be_cut(llmcli: Any, serve: Any) -> None:
    lax = table("URL", STREAM + 'end = "eof"')
    whole, cut = (serve(events(next_event("Grüße"), ends=ends)) for ends in (True, False))

    done = llmcli(lax.replace("URL", whole.url), "chat", "-p", "acme", "hi")
    assert (done.status, done.out) == (0, "Grüße".encode())
    done = llmcli(lax.replace("URL", cut.url), "chat", "-p", "acme", "hi")
    assert (done.status, done.out) == (10, "Grüße".encode())


def test_complete_ends_an_answer_whose_body_has_neither_length_nor_chunks(llmcli: Any, serve: Any) -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"
    server = serve(head + next_event("Yes.") + COMPLETE)

    done = llmcli(table(server.url, STREAM), "chat", "-p", "acme", "hi")

    assert (done.status, done.out) == (0, b"Yes.")


def test_errors_in_a_subscription_exit_by_their_code_before_the_text_and_10_behind_it(llmcli: Any, serve: Any) -> None:
    refused = b"event: next\ndata: " + json.dumps({"errors": [failure("FORBIDDEN")]}).encode() + b"\n\n"

    first = serve(events(refused, COMPLETE))
    done = llmcli(table(first.url, STREAM), "chat", "-p", "acme", "hi")
    assert (done.status, done.out) == (4, b"")

    later = serve(events(next_event("Yes"), refused, COMPLETE))
    done = llmcli(table(later.url, STREAM), "chat", "-p", "acme", "hi")
    assert (done.status, done.out) == (10, b"Yes")


def test_a_subscription_that_is_refused_as_json_exits_by_its_code(llmcli: Any, serve: Any) -> None:
    server = serve(http(400, {"errors": [failure("GRAPHQL_VALIDATION_FAILED", "no field tokens")]}))

    done = llmcli(table(server.url, STREAM), "chat", "-p", "acme", "hi")

    assert (done.status, done.out) == (5, b"")
    assert "no field tokens" in done.err


# --- what stands around it ------------------------------------------------------------------------


def test_models_are_listed_by_a_query(llmcli: Any, serve: Any) -> None:
    server = serve(http(200, {"data": {"models": [{"id": "g-1"}, {"id": "g-2"}]}}))
    listing = '[providers.acme.models_list]\nquery = "{ models { id } }"\nmodels = "models"\n'

    done = llmcli(table(server.url, listing), "models", "list", "acme")

    assert (done.status, done.out) == (0, b"acme/g-1\nacme/g-2\n")
    assert server.bodies[0] == {"query": "{ models { id } }"}


def test_health_asks_what_every_server_answers(llmcli: Any, serve: Any) -> None:
    server = serve(http(200, {"data": {"__typename": "Query"}}))

    done = llmcli(table(server.url), "health", "--json", "acme")

    assert (done.status, done.json[0]["ok"]) == (0, True)
    assert server.bodies[0] == {"query": "{__typename}"}


def test_a_mistake_in_the_table_is_found_before_anything_is_sent(llmcli: Any, serve: Any) -> None:
    server = serve(http(200, result("Yes.")))
    mistaken = '[providers.acme.chat]\nquery = "{ a }"\nvariables = "{p: promt}"\ncontent = "a"\n'

    done = llmcli(table(server.url, mistaken), "chat", "-p", "acme", "hi")

    assert (done.status, server.requests) == (3, [])
    assert "config.toml: providers.acme.chat.variables: unknown name promt at column 5" in done.err
    assert "did you mean prompt?" in done.err


def test_a_dry_run_shows_the_request(llmcli: Any) -> None:
    done = llmcli(table("https://acme.example/graphql", STREAM), "chat", "-p", "acme", "--dry-run", "hi")

    assert done.status == 0
    assert "subscription Tokens" in done.out.decode() + done.err


def test_a_sample_shows_what_each_expression_finds_in_data(llmcli: Any, tmp_path: Any) -> None:
    sample = tmp_path / "answer.json"
    sample.write_text(json.dumps(result("Yes.")))

    done = llmcli(table("https://acme.example/graphql"), "providers", "read", "acme", str(sample), "--json")

    assert (done.status, done.json["records"][0]["found"]["content"]) == (0, "Yes.")
