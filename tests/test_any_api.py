"""
The documented tables (`docs/tables`) through the real program, against servers that speak as the guide says these APIs
do; and the ways of a key.
"""

import base64
import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.program import Done, Program
from tests.servers import LAST_CHUNK, Connection, Script, Server, answers, chunk, head, whole

TABLES = Path(__file__).parent.parent / "docs" / "tables"
KEY = "sk-any-api-test"
SYSTEM = "Be brief."

Serve = Callable[..., Server]


def use(program: Program, name: str, server: Server) -> str:
    """Have the program use a documented table, with the server in the place of the API. Returns the provider's id."""
    return use_at(program, name, f"http://127.0.0.1:{server.port}")


def use_at(program: Program, name: str, url: str) -> str:
    """The same for any address."""
    text = (TABLES / f"{name}.toml").read_text()
    program.configure(re.sub(r'base_url = "[^"]+"', f'base_url = "{url}"', text, count=1))
    variable = re.search(r'env = "(\w+)"', text)
    if variable:
        program.env[variable[1]] = KEY
    found = re.search(r"\[providers\.([\w-]+)\]", text)
    assert found
    return found[1]


def streams(content_type: str, *pieces: bytes, end: bytes = LAST_CHUNK) -> Script:
    def script(connection: Connection) -> None:
        connection.send(head(200, content_type, Transfer_Encoding="chunked") + b"".join(map(chunk, pieces)) + end)

    return script


def lines(*documents: Any) -> list[bytes]:
    return [json.dumps(document).encode() + b"\n" for document in documents]


# --- each table -----------------------------------------------------------------------------------


def test_a_custom_rest_api(llmcli: Program, serve: Serve) -> None:
    answer = {
        "result": {"ai_response": "Rayleigh.", "model_used": "large-2"},
        "metrics": {"input_tokens": 5, "output_tokens": 2, "total_tokens": 7},
        "debug_info": {"trace": "t1"},
    }
    server = serve(answers(200, answer))
    provider = use(llmcli, "custom-rest", server)

    done = llmcli("chat", "-n", "-m", provider, "--json", "--max-tokens", "9", "why blue?")

    assert done.json["content"] == "Rayleigh."
    assert done.json["metadata"] == {
        "provider": "acme",
        "model": "large-2",
        "usage": {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7},
        "finish_reason": "stop",
        "raw_finish_reason": None,
        "debug": {"trace": "t1"},
    }
    request = server.requests[0]
    assert (request.path, request.headers["x-api-key"], request.headers["x-user-id"]) == ("/generate", KEY, "llmcli")
    sent = request.json
    assert isinstance(sent["conversation"][0].pop("timestamp"), int)
    assert sent == {
        "conversation": [{"speaker": "human", "text": "why blue?"}],
        "settings": {"model_name": "your-default-model", "max_length": 9},
        "metadata": {"app": "llmcli"},
    }


def test_an_error_of_a_custom_rest_api_keeps_its_message(llmcli: Program, serve: Serve) -> None:
    server = serve(answers(422, {"error": {"message": "creativity is too high"}}))

    done = llmcli("chat", "-n", "-m", use(llmcli, "custom-rest", server), "--retries", "0", "hi")

    assert (done.status, done.out) == (5, b"")
    assert "creativity is too high" in done.err


def test_a_graphql_api(llmcli: Program, serve: Serve) -> None:
    usage = {"promptTokens": 3, "completionTokens": 1, "totalTokens": 4}
    server = serve(answers(200, {"data": {"generateResponse": {"text": "Yes.", "model": "g", "usage": usage}}}))

    done = llmcli("chat", "-n", "-m", use(llmcli, "graphql", server), "--json", "hi")

    assert done.json["content"] == "Yes."
    assert done.json["metadata"]["usage"]["total_tokens"] == 4
    sent = server.requests[0].json
    assert sent["query"].startswith("mutation GenerateResponse($input: ChatInput!)")
    assert sent["variables"] == {
        "input": {"messages": [{"role": "user", "content": "hi"}], "settings": {"model": "default"}}
    }
    assert server.requests[0].headers["authorization"] == f"Bearer {KEY}"


def test_half_an_answer_with_errors_is_no_answer(llmcli: Program, serve: Serve) -> None:
    half = {"data": {"generateResponse": {"text": "half"}}, "errors": [{"message": "ran out"}]}
    done = llmcli("chat", "-n", "-m", use(llmcli, "graphql", serve(answers(200, half))), "--retries", "0", "hi")

    assert (done.status, done.out) == (8, b"")
    assert "ran out" in done.err


def test_graphql_errors_under_status_200_are_errors(llmcli: Program, serve: Serve) -> None:
    server = serve(answers(200, {"data": {"generateResponse": None}, "errors": [{"message": "model is asleep"}]}))

    done = llmcli("chat", "-n", "-m", use(llmcli, "graphql", server), "--retries", "0", "hi")

    assert (done.status, done.out) == (8, b"")
    assert "model is asleep" in done.err


def test_hugging_face_text_generation(llmcli: Program, serve: Serve) -> None:
    server = serve(answers(200, [{"generated_text": "Rayleigh."}]))
    provider = use(llmcli, "hugging-face", server)

    done = llmcli("chat", "-n", "-m", provider, "-s", SYSTEM, "--max-tokens", "9", "why blue?")

    assert (done.status, done.text) == (0, "Rayleigh.")
    assert server.requests[0].path == "/meta-llama/Llama-2-7b-chat-hf"
    assert server.requests[0].json == {
        "inputs": "[INST] <<SYS>>\nBe brief.\n<</SYS>>\n\nwhy blue? [/INST]",
        "parameters": {"max_new_tokens": 9, "return_full_text": False},
    }
    listed = llmcli("models", "list", provider)
    assert f"{provider}/meta-llama/Llama-2-13b-chat-hf\n" in listed.text


def test_a_cold_model_of_hugging_face_is_busy(llmcli: Program, serve: Serve) -> None:
    server = serve(answers(503, {"error": "Model x is currently loading", "estimated_time": 120.0}))

    done = llmcli("chat", "-n", "-m", use(llmcli, "hugging-face", server), "--json", "hi")

    assert (done.status, done.error["retry_after"]) == (6, 120)


def test_cohere_v1_in_pieces_and_whole(llmcli: Program, serve: Serve) -> None:
    tokens = {"input_tokens": 5.0, "output_tokens": 2.0}
    pieces = lines(
        {"event_type": "stream-start", "generation_id": "g1", "is_finished": False},
        {"event_type": "text-generation", "text": "Ray", "is_finished": False},
        {"event_type": "text-generation", "text": "leigh.", "is_finished": False},
        {
            "event_type": "stream-end",
            "is_finished": True,
            "finish_reason": "COMPLETE",
            "response": {"text": "Rayleigh.", "meta": {"tokens": tokens}},
        },
    )
    server = serve(
        streams("application/stream+json", *pieces),
        answers(
            200, {"text": "Yes.", "generation_id": "g2", "finish_reason": "MAX_TOKENS", "meta": {"tokens": tokens}}
        ),
        streams("application/stream+json", *pieces[:-1]),
    )
    provider = use(llmcli, "cohere-v1", server)

    streamed = llmcli("chat", "-n", "-m", provider, "-s", SYSTEM, "--json", "why blue?")
    at_once = llmcli("chat", "-n", "-m", provider, "--no-stream", "--json", "why?")
    cut = llmcli("chat", "-n", "-m", provider, "why?")

    assert streamed.json["content"] == "Rayleigh."
    assert streamed.json["metadata"]["usage"] == {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7}
    assert streamed.json["metadata"]["generation_id"] == "g1"
    assert at_once.json["content"] == "Yes."
    assert at_once.json["metadata"]["finish_reason"] == "length"
    assert (cut.status, cut.text) == (10, "Rayleigh.")
    assert server.requests[0].json == {
        "model": "command",
        "preamble": SYSTEM,
        "message": "why blue?",
        "chat_history": [],
        "stream": True,
    }


def test_a_gateway(llmcli: Program, serve: Serve) -> None:
    answer = {
        "choices": [{"message": {"role": "assistant", "content": "Yes."}}],
        "metadata": {"model": "any", "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}},
    }
    server = serve(answers(200, answer))

    done = llmcli("chat", "-n", "-m", use(llmcli, "gateway", server), "--json", "hi")

    assert done.json["content"] == "Yes."
    assert done.json["metadata"]["model"] == "any"
    assert server.requests[0].json == {"messages": [{"role": "user", "content": "hi"}], "options": {}}


def test_a_stream_with_a_delimiter_of_its_own(llmcli: Program, serve: Serve) -> None:
    server = serve(streams("text/plain", b" Ray|", b"||lei|||gh", b". <b>"))

    done = llmcli("chat", "-n", "-m", use(llmcli, "custom-delimiter", server), "hi")

    assert (done.status, done.text) == (0, " Rayleigh. <b>")


def test_a_stream_that_ends_with_its_body_must_have_an_end_that_can_be_told_from_a_cut(
    llmcli: Program, serve: Serve
) -> None:
    cut = streams("text/plain", b"Ray|||", end=b"")
    endless = lambda connection: connection.send(head(200, "text/plain") + b"Ray|||leigh")  # noqa: E731
    server = serve(cut, endless)
    provider = use(llmcli, "custom-delimiter", server)

    broken = llmcli("chat", "-n", "-m", provider, "hi")
    closed = llmcli("chat", "-n", "-m", provider, "--retries", "0", "hi")

    assert (broken.status, broken.text) == (10, "Ray")
    assert (closed.status, closed.out) == (8, b"")
    assert "nothing tells whether the answer is whole" in closed.err


@pytest.mark.fault(65)
def test_a_delimiter_that_occurs_inside_a_record_is_an_error_and_no_half_answer(llmcli: Program, serve: Serve) -> None:
    server = serve(streams("text/plain", b'{"text": "a"}|||{"text": "b ||| c"}|||{"done": true}|||'))
    llmcli.configure(TABLE.format(port=server.port, more="") + DELIMITED)

    done = llmcli("chat", "-n", "-m", "acme", "--retries", "0", "hi")

    assert (done.status, done.text) == (10, "a")
    assert "malformed JSON" in done.err


@pytest.mark.fault(65)
def test_a_delimiter_that_never_occurs_fills_no_memory(llmcli: Program, serve: Serve) -> None:
    def endless(connection: Connection) -> None:
        connection.send(head(200, "text/plain", Transfer_Encoding="chunked"))
        while True:  # until the client closes the connection
            connection.send(chunk(b"x" * 65536))

    server = serve(endless)
    llmcli.configure(TABLE.format(port=server.port, more="") + DELIMITED)

    done = llmcli("chat", "-n", "-m", "acme", "--retries", "0", "hi")

    assert (done.status, done.out) == (8, b"")
    assert "longer than 16 MB" in done.err


def test_ai21_j2(llmcli: Program, serve: Serve) -> None:
    answer = {"outputs": [{"text": "Yes.", "role": "assistant", "finishReason": {"reason": "endoftext"}}]}
    server = serve(answers(200, answer), answers(422, {"detail": "maxTokens is too large"}))
    provider = use(llmcli, "ai21-j2", server)

    done = llmcli("chat", "-n", "-m", provider, "--stop", "END", "hi")
    refused = llmcli("chat", "-n", "-m", provider, "hi")

    assert (done.status, done.text) == (0, "Yes.")
    assert server.requests[0].path == "/j2-ultra/chat"
    assert server.requests[0].json == {
        "system": "",
        "messages": [{"role": "user", "text": "hi"}],
        "numResults": 1,
        "stopSequences": ["END"],
    }
    assert refused.status == 5
    assert "maxTokens is too large" in refused.err


def test_an_api_that_takes_and_gives_text_only(llmcli: Program, serve: Serve) -> None:
    server = serve(lambda connection: connection.send(whole(200, b" <yes>\n", "text/plain")))

    done = llmcli("chat", "-n", "-m", use(llmcli, "text-only", server), "-s", SYSTEM, "why?")

    assert (done.status, done.text) == (0, " <yes>\n")
    assert server.requests[0].json == {"prompt": "Be brief.\n\nHuman: why?\n\nAssistant:"}


def test_a_text_whose_end_cannot_be_told_from_a_cut_is_no_answer(llmcli: Program, serve: Serve) -> None:
    server = serve(lambda connection: connection.send(head(200, "text/plain") + b"half of a sent"))

    done = llmcli("chat", "-n", "-m", use(llmcli, "text-only", server), "--retries", "0", "why?")

    assert (done.status, done.out) == (8, b"")


def test_a_web_page_is_no_text_answer(llmcli: Program, serve: Serve) -> None:
    server = serve(answers(200, "<html>log in</html>", "text/html"))

    done = llmcli("chat", "-n", "-m", use(llmcli, "text-only", server), "--retries", "0", "why?")

    assert (done.status, done.out) == (8, b"")


def test_a_llama_2_prompt_for_a_real_llama_cpp_server(llmcli: Program, llama: Any) -> None:
    from tests import tiny_model
    from tests.conftest import LLAMA_KEY

    provider = use_at(llmcli, "llama-2", llama.url.removesuffix("/v1"))
    llmcli.env["LLAMA_KEY"] = LLAMA_KEY

    streamed = llmcli("chat", "-n", "-m", provider, "-s", SYSTEM, "--usage", "hi")
    at_once = llmcli("chat", "-n", "-m", provider, "--no-stream", "--json", "--max-tokens", "3", "hi")
    refused = llmcli("chat", "-n", "-m", provider, "hi", env={"LLAMA_KEY": "wrong"})

    assert (streamed.status, streamed.text.strip()) == (0, tiny_model.TEXT.strip())
    assert "prompt +" in streamed.err
    assert at_once.json["metadata"]["finish_reason"] == "length"
    assert refused.status == 4


@pytest.mark.parametrize("name", sorted(path.stem for path in TABLES.glob("*.toml")))
def test_each_documented_table_passes_the_check(llmcli: Program, name: str) -> None:
    done = llmcli("providers", "check", use_at(llmcli, name, "http://127.0.0.1:1"))

    assert done.status == 0, done.text
    assert " 0 failed" in done.text


# --- keys -----------------------------------------------------------------------------------------

TABLE = """
[providers.acme]
adapter = "http"
base_url = "http://127.0.0.1:{port}"
{more}
[providers.acme.chat]
path = "/chat"
request = "{{prompt: prompt}}"
content = "text"
"""


DELIMITED = """
[providers.acme.stream]
framing = "delimiter"
delimiter = "|||"
delta = "text"
end = "done"
"""


def asked(program: Program, serve: Serve, more: str, key: str = KEY) -> tuple[Done, Any]:
    """Ask an API whose table holds `more`; the answer and the request."""
    server = serve(answers(200, {"text": "yes"}))
    program.configure(TABLE.format(port=server.port, more=more))
    done = program("chat", "-n", "-m", "acme", "-v", "hi", env={"ACME_KEY": key})
    return done, server.requests[0]


@pytest.mark.parametrize(
    ("api_key", "header", "value"),
    [
        ('{ env = "ACME_KEY" }', "authorization", f"Bearer {KEY}"),
        ('{ env = "ACME_KEY", header = "X-API-Key" }', "x-api-key", KEY),
        ('{ env = "ACME_KEY", scheme = "Token" }', "authorization", f"Token {KEY}"),
        ('{ env = "ACME_KEY", header = "X-Auth", scheme = "Key" }', "x-auth", f"Key {KEY}"),
        ('{ env = "ACME_KEY", scheme = "Basic" }', "authorization", f"Basic {KEY}"),  # encoded already
        (f'{{ command = "echo {KEY}" }}', "authorization", f"Bearer {KEY}"),
    ],
)
def test_a_key_goes_where_the_table_says(llmcli: Program, serve: Serve, api_key: str, header: str, value: str) -> None:
    done, request = asked(llmcli, serve, f"api_key = {api_key}")

    assert (done.status, done.text) == (0, "yes")
    assert request.headers[header] == value
    assert KEY not in done.err


def test_user_and_password_are_encoded_for_basic(llmcli: Program, serve: Serve) -> None:
    done, request = asked(llmcli, serve, 'api_key = { env = "ACME_KEY", scheme = "Basic" }', "user:pass-word-9")
    encoded = base64.b64encode(b"user:pass-word-9").decode()

    assert request.headers["authorization"] == f"Basic {encoded}"
    assert "pass-word-9" not in done.err
    assert encoded not in done.err


def test_a_key_in_the_query_is_sent_with_a_warning_and_never_shown(llmcli: Program, serve: Serve) -> None:
    done, request = asked(llmcli, serve, 'api_key = { env = "ACME_KEY", query = "key" }', "sk/with+odd=signs")

    assert request.path == "/chat?key=sk%2Fwith%2Bodd%3Dsigns"
    assert "authorization" not in request.headers
    assert "warning: the key goes into the URL (`key=`)" in done.err
    assert "sk/with+odd=signs" not in done.err
    assert "sk%2Fwith%2Bodd%3Dsigns" not in done.err


def test_a_key_joins_a_query_that_is_there(llmcli: Program, serve: Serve) -> None:
    server = serve(answers(200, {"text": "yes"}))
    table = TABLE.format(port=server.port, more='api_key = { env = "ACME_KEY", query = "key" }')
    llmcli.configure(table.replace('path = "/chat"', 'path = "/chat?v=1"'))
    llmcli("chat", "-n", "-m", "acme", "hi", env={"ACME_KEY": KEY})

    assert server.requests[0].path == f"/chat?v=1&key={KEY}"


def test_a_password_may_hold_blanks_and_other_letters(llmcli: Program, serve: Serve) -> None:
    done, request = asked(llmcli, serve, 'api_key = { env = "ACME_KEY", scheme = "Basic" }', "user:pä ss word")

    assert (done.status, done.text) == (0, "yes")
    assert request.headers["authorization"] == f"Basic {base64.b64encode('user:pä ss word'.encode()).decode()}"


def test_a_short_key_in_the_query_is_never_shown(llmcli: Program, serve: Serve) -> None:
    done, request = asked(llmcli, serve, 'api_key = { env = "ACME_KEY", query = "key" }', "ab9")

    assert request.path == "/chat?key=ab9"
    assert "ab9" not in done.err


def test_a_password_that_the_service_repeats_is_not_shown(llmcli: Program, serve: Serve) -> None:
    server = serve(answers(400, {"error": {"message": "pass-word-9 is too weak"}}))
    llmcli.configure(TABLE.format(port=server.port, more='api_key = { env = "ACME_KEY", scheme = "Basic" }'))
    done = llmcli("chat", "-n", "-m", "acme", "hi", env={"ACME_KEY": "user:pass-word-9"})

    assert done.status == 5
    assert "*** is too weak" in done.err


@pytest.mark.parametrize(
    ("api_key", "key", "header", "path"),
    [
        ('{ env = "ACME_KEY" }', KEY, f"Bearer {KEY}", "/chat"),
        ('{ env = "ACME_KEY", scheme = "Basic" }', "user:pass-word-9", "Basic dXNlcjpwYXNzLXdvcmQtOQ==", "/chat"),
        ('{ env = "ACME_KEY", query = "key" }', "sk/with+odd", None, "/chat?key=sk%2Fwith%2Bodd"),
        ('{ command = "printenv ACME_KEY" }', KEY, f"Bearer {KEY}", "/chat"),
    ],
    ids=["bearer", "basic", "query", "command"],
)
def test_the_curl_command_runs_wherever_the_key_goes(
    llmcli: Program, serve: Serve, api_key: str, key: str, header: str | None, path: str
) -> None:
    server = serve(answers(200, {"text": "yes"}))
    llmcli.configure(TABLE.format(port=server.port, more=f"api_key = {api_key}"))
    command = llmcli("chat", "-n", "-m", "acme", "--curl", "hi", env={"ACME_KEY": key}).text

    assert key not in command
    subprocess.run(["bash", "-c", command], env={**llmcli.env, "ACME_KEY": key}, check=True, capture_output=True)
    assert server.requests[0].headers.get("authorization") == header
    assert server.requests[0].path.lower() == path.lower()  # older curls write %2f
    assert server.requests[0].json == {"prompt": "hi"}


def test_without_a_key_in_its_table_none_is_sent(llmcli: Program, serve: Serve) -> None:
    done, request = asked(llmcli, serve, "")

    assert done.status == 0
    assert "authorization" not in request.headers


def test_headers_may_name_environment_variables(llmcli: Program, serve: Serve) -> None:
    llmcli.env["ORG"] = "blue"
    _, request = asked(llmcli, serve, 'headers = { "X-Org" = "team-${ORG}", "X-Plain" = "$ORG" }')

    assert request.headers["x-org"] == "team-blue"
    assert request.headers["x-plain"] == "$ORG"


def test_a_header_from_the_environment_is_a_secret(llmcli: Program, serve: Serve) -> None:
    llmcli.env["ACME_PASSWORD"] = "open-sesame-9"
    done, request = asked(llmcli, serve, 'headers = { "X-Pass" = "${ACME_PASSWORD}" }')
    shown = llmcli("chat", "-n", "-m", "acme", "--dry-run", "hi")

    assert request.headers["x-pass"] == "open-sesame-9"
    assert "open-sesame-9" not in done.err + shown.text


def test_a_header_that_names_a_variable_that_is_not_set_is_exit_3(llmcli: Program) -> None:
    llmcli.configure(TABLE.format(port=1, more='headers = { "X-Org" = "${ORG}" }'))
    done = llmcli("chat", "-n", "-m", "acme", "hi")

    assert done.status == 3
    assert "providers.acme.headers.X-Org: the environment variable ORG is not set" in done.err


# --- before the first request ---------------------------------------------------------------------


def test_a_mistake_in_an_expression_is_found_before_anything_is_sent(llmcli: Program, serve: Serve) -> None:
    server = serve(answers(200, {}))
    llmcli.configure(TABLE.format(port=server.port, more="").replace("prompt: prompt", "prompt: promt"))
    done = llmcli("chat", "-n", "-m", "acme", "hi")

    assert done.status == 3
    assert re.search(r"config\.toml: providers\.acme\.chat\.request: unknown name promt at column 10", done.err)
    assert "hint: did you mean prompt?" in done.err
    assert server.accepted == 0


def test_a_mistake_in_one_table_stops_no_other_provider(llmcli: Program) -> None:
    llmcli.configure(TABLE.format(port=1, more="").replace("prompt: prompt", "prompt: promt"))

    assert llmcli("chat", "-n", "-m", "echo", "hi").text == "hi"


def test_dry_run_shows_the_body_that_an_expression_makes(llmcli: Program) -> None:
    llmcli.configure(TABLE.format(port=1, more=""))
    shown = llmcli("chat", "-n", "-m", "acme", "--dry-run", "hi").json

    assert shown["body"] == {"prompt": "hi"}
    assert shown["url"] == "http://127.0.0.1:1/chat"


def test_an_answer_without_what_was_promised_is_exit_8_with_the_path(llmcli: Program, serve: Serve) -> None:
    server = serve(answers(200, {"reply": {"text": "yes"}}))
    llmcli.configure(TABLE.format(port=server.port, more=""))
    done = llmcli("chat", "-n", "-m", "acme", "--retries", "0", "hi")

    assert (done.status, done.out) == (8, b"")
    assert (
        "providers.acme.chat.content should find a string, but text is null: the document is an object with reply"
        in done.err
    )


def test_health_asks_the_address_of_the_table(llmcli: Program, serve: Serve) -> None:
    server = serve(answers(200, {"status": "up"}))
    llmcli.configure(TABLE.format(port=server.port, more="") + '[providers.acme.health]\npath = "/healthz"\n')
    done = llmcli("health", "acme", "--json")

    assert done.status == 0
    assert done.json[0]["ok"] is True
    assert server.requests[0].path == "/healthz"


def test_a_service_that_says_under_status_200_that_it_is_ill_is_not_well(llmcli: Program, serve: Serve) -> None:
    server = serve(answers(200, {"error": {"message": "the model is gone", "code": 503}}))
    llmcli.configure(TABLE.format(port=server.port, more="") + '[providers.acme.health]\npath = "/healthz"\n')
    done = llmcli("health", "acme")

    assert done.status == 6
    assert "the model is gone" in done.err
