"""
What servers answer instead of an answer: errors by status and by body, what is retried and how soon, empty bodies and
bodies that are not what they say. Rows 15-36.
"""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest
from pytest_httpserver import HTTPServer

from llmcli.answer import Call, answer
from llmcli.errors import Busy, LlmError
from llmcli.providers.vendors import OpenAICompatible
from llmcli.retry import RetryPolicy
from llmcli.transport import Transport
from llmcli.types import ChatRequest, ProviderConfig, TextDelta, message
from tests.complaints import Complaint, complaint
from tests.program import Done, Program
from tests.servers import DONE, Connection, Script, Server, answers, chunk, completion, delta, finish, head, says

Serve = Callable[..., Server]

KEY = "sk-canary-2b7e151628aed2a6abf7"
PROMPT = "the-prompt-that-no-error-may-repeat"


def error(text: str, **more: Any) -> dict[str, Any]:
    """An error as OpenAI words it, and most services with it."""
    return {"error": {"message": text, **more}}


def ask(llmcli: Program, provider: str, server: Server, *args: str, key: str | None = KEY) -> Done:
    """Ask a model of a built-in provider, with its key, at this server."""
    env = {f"{provider.upper()}_API_KEY": key} if key is not None else {}
    line = ("chat", "-n", "-m", f"{provider}/some-model", "--base-url", server.url, "--retries", "2", *args, PROMPT)
    return llmcli(*line, env=env)


def once(llmcli: Program, serve: Serve, script: Script, status: int, *args: str) -> Complaint:
    """What is said about an answer that fails with this status and must not be asked for again."""
    server = serve(script)
    done = llmcli.chat(server.url, PROMPT, "--retries", "2", *args)
    said = complaint(done, status)
    assert len(server.requests) == 1
    assert said.notes == ()
    assert said.facts["provider"] == "openai-compatible"
    assert PROMPT not in done.err
    return said


def in_process(server: Server, *, retries: int = 2, max_wait: float = 60.0) -> tuple[str | LlmError, list[float]]:
    """The text of an answer, or the error, and the pauses before it; chance chooses the longest pause it may."""
    pauses: list[float] = []
    policy = RetryPolicy(retries, max_wait, jitter=lambda: 1.0)
    call = Call(Transport(env={}), retry=policy, sleep=pauses.append)
    events = answer(
        OpenAICompatible(ProviderConfig("acme", base_url=server.url)),
        ChatRequest("m", (message("user", "hi"),)),
        call,
    )
    try:
        return "".join(event.text for event in events if isinstance(event, TextDelta)), pauses
    except LlmError as exc:
        return exc, pauses


# --- the request is refused -----------------------------------------------------------------------


@pytest.mark.fault(15)
@pytest.mark.parametrize(
    "body",
    [
        error(
            "This model's maximum context length is 8192 tokens. However, your messages resulted in 9001 tokens.",
            type="invalid_request_error",
            code="context_length_exceeded",
        ),
        error(
            "the request exceeds the available context size (8192 tokens), try increasing it: 9001 tokens",
            type="exceed_context_size_error",
            n_prompt_tokens=9001,
            n_ctx=8192,
        ),
    ],
    ids=["openai", "llama.cpp"],
)
def test_a_prompt_that_is_too_long_is_told_with_its_tokens_and_sent_once(
    llmcli: Program, serve: Serve, body: Any
) -> None:
    said = once(llmcli, serve, answers(400, body), 5)

    assert said.message.startswith("the prompt is too long for the model: ")
    assert "9001" in said.message
    assert "8192" in said.message
    assert said.facts["http"] == "400"


@pytest.mark.fault(15)
def test_a_prompt_that_is_too_long_for_anthropic_is_told_with_its_tokens(llmcli: Program, serve: Serve) -> None:
    body = {
        "type": "error",
        "error": {"type": "invalid_request_error", "message": "prompt is too long: 210000 tokens > 200000 maximum"},
    }
    server = serve(answers(400, body))
    said = complaint(ask(llmcli, "anthropic", server), 5)

    assert said.message == ("the prompt is too long for the model: prompt is too long: 210000 tokens > 200000 maximum")
    assert len(server.requests) == 1


@pytest.mark.fault(15)
def test_ollama_is_told_to_refuse_a_prompt_that_is_too_long_rather_than_to_cut_it(
    llmcli: Program, serve: Serve
) -> None:
    server = serve(answers(400, {"error": "the input length exceeds the context length"}))
    said = complaint(ask(llmcli, "ollama", server), 5)

    assert said.message.startswith("the prompt is too long for the model: ")
    assert server.requests[0].json["truncate"] is False
    assert len(server.requests) == 1


@pytest.mark.fault(16)
@pytest.mark.parametrize("status", [400, 422])
def test_a_bad_request_exits_5_with_the_provider_s_own_words(llmcli: Program, serve: Serve, status: int) -> None:
    said = once(llmcli, serve, answers(status, error("top_k: must be at most 100"), X_Request_ID="req-7"), 5)

    assert said.message == "top_k: must be at most 100"
    assert said.facts == {"provider": "openai-compatible", "http": str(status), "request_id": "req-7"}


@pytest.mark.fault(16)
def test_a_long_error_is_cut_and_does_not_repeat_the_prompt_behind_it(llmcli: Program, serve: Serve) -> None:
    said = once(llmcli, serve, answers(400, error("no " * 1000 + PROMPT)), 5)

    assert len(said.message) <= 501
    assert said.message.endswith("…")


@pytest.mark.fault(16)
def test_an_error_cannot_write_to_the_terminal(llmcli: Program, serve: Serve) -> None:
    """Escape sequences, 8-bit controls, direction changes and new lines are shown, not obeyed."""
    said = once(
        llmcli, serve, answers(400, error("\x1b]52;c;cm0=\x07 \x9b31m \u202e desrever\nllmcli: all is well")), 5
    )

    assert said.message == r"^[]52;c;cm0=^G \x9b31m \u202e desrever llmcli: all is well"


@pytest.mark.fault(16)
@pytest.mark.parametrize("body", ["", "   ", "{}", "[]", '[""]', "<html></html>"])
def test_an_error_without_a_word_says_at_least_its_status(llmcli: Program, serve: Serve, body: str) -> None:
    assert once(llmcli, serve, answers(400, body), 5).message == "HTTP 400: no explanation"


@pytest.mark.fault(17)
def test_a_400_that_is_a_spend_limit_exits_9(llmcli: Program, serve: Serve) -> None:
    text = "You have reached your specified API usage limits. You will regain access on 2026-12-01 at 00:00 UTC."
    body = {"type": "error", "error": {"type": "invalid_request_error", "message": text}, "request_id": "req_011"}
    server = serve(answers(400, body, Request_ID="req_011"))
    said = complaint(ask(llmcli, "anthropic", server), 9)

    assert said.message == f"quota or credit is used up: {text}"
    assert said.hint == "waiting does not help; see the provider's billing page"
    assert said.facts == {"provider": "anthropic", "http": "400", "request_id": "req_011"}
    assert len(server.requests) == 1


@pytest.mark.fault(18)
def test_a_401_names_where_the_key_came_from_and_no_part_of_the_key(llmcli: Program, serve: Serve) -> None:
    echo = f"Incorrect API key provided: {KEY}. Also known as {KEY[:8]}*********{KEY[-4:]}."
    server = serve(answers(401, error(echo, code="invalid_api_key")))
    done = ask(llmcli, "openai", server)
    said = complaint(done, 4)

    assert said.message == ("the provider does not accept the key: Incorrect API key provided: ***. Also known as ***.")
    assert said.hint == "the key came from OPENAI_API_KEY"
    assert not any(part in done.err for part in (KEY, KEY[:8], KEY[-4:]))
    assert len(server.requests) == 1


@pytest.mark.fault(18)
def test_a_401_names_the_key_file_too(llmcli: Program, serve: Serve, tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text(KEY)
    file.chmod(0o600)
    said = once(llmcli, serve, answers(401, error("who?")), 4, "--api-key-file", str(file))

    assert said.hint == f"the key came from --api-key-file {file}"


@pytest.mark.fault(18)
def test_a_401_without_a_key_says_that_none_was_sent(llmcli: Program, serve: Serve) -> None:
    said = once(llmcli, serve, answers(401, error("who?")), 4)

    assert said.message == "the provider does not accept the key: who?"
    assert said.hint == "no key was sent; --api-key-file FILE sends one"


@pytest.mark.fault(18)
@pytest.mark.parametrize("extra", [("--verbose",), ("--debug",), ("--json",), ("--log-file", "log")])
def test_a_key_that_is_echoed_is_shown_nowhere(llmcli: Program, serve: Serve, extra: tuple[str, ...]) -> None:
    server = serve(answers(401, error(f"bad key {KEY}"), X_Echo=KEY, X_Request_ID=KEY))
    done = ask(llmcli, "openai", server, *extra)

    assert done.status == 4
    assert server.requests[0].headers["authorization"] == f"Bearer {KEY}"
    assert KEY not in done.err
    assert not any(KEY in file.read_text() for file in llmcli.home.iterdir() if file.is_file())


@pytest.mark.fault(18)
@pytest.mark.parametrize("provider", ["anthropic", "ollama"])
def test_a_401_of_another_protocol_is_the_same(llmcli: Program, serve: Serve, provider: str) -> None:
    server = serve(answers(401, {"error": f"invalid key {KEY}"}))
    said = complaint(ask(llmcli, provider, server), 4)

    assert said.message == "the provider does not accept the key: invalid key ***"
    assert said.hint == f"the key came from {provider.upper()}_API_KEY"
    assert len(server.requests) == 1


@pytest.mark.fault(19)
@pytest.mark.parametrize(
    ("status", "body"),
    [
        (402, error("Insufficient Balance", type="unknown_error", code="invalid_request_error")),
        (402, ""),
        (429, error("You exceeded your current quota, please check your plan.", code="insufficient_quota")),
        (400, error("Your credit balance is too low to access the Anthropic API.", type="invalid_request_error")),
        (403, error("billing_hard_limit_reached", code="billing_hard_limit_reached")),
    ],
    ids=["402", "402-empty", "429-quota", "400-credit", "403-billing"],
)
def test_no_credit_exits_9_at_once(llmcli: Program, serve: Serve, status: int, body: Any) -> None:
    said = once(llmcli, serve, answers(status, body, Retry_After="0"), 9)

    assert said.message.startswith("quota or credit is used up: ")
    assert said.hint == "waiting does not help; see the provider's billing page"


@pytest.mark.fault(20)
@pytest.mark.parametrize(
    "body",
    [
        error("Country, region, or territory not supported", code="unsupported_country_region_territory"),
        "<!DOCTYPE html><html><head><title>Just a moment...</title><script>steal()</script></head></html>",
    ],
    ids=["region", "firewall"],
)
def test_a_403_exits_4_without_calling_the_key_wrong(llmcli: Program, serve: Serve, body: Any) -> None:
    said = once(llmcli, serve, answers(403, body), 4)

    assert said.message.startswith("the provider refuses this key or region: ")
    assert "<" not in said.message
    assert "steal" not in said.message


@pytest.mark.fault(21)
@pytest.mark.parametrize(
    ("provider", "body"),
    [
        (
            "openai",
            error("The model `some-model` does not exist or you do not have access to it.", code="model_not_found"),
        ),
        ("anthropic", {"type": "error", "error": {"type": "not_found_error", "message": "model: some-model"}}),
        ("ollama", {"error": "model 'some-model' not found"}),
    ],
)
def test_an_unknown_model_is_named_and_no_other_is_asked(
    llmcli: Program, serve: Serve, provider: str, body: Any
) -> None:
    server = serve(answers(404, body))
    said = complaint(ask(llmcli, provider, server), 5)

    assert said.message.startswith("unknown model: ")
    assert "some-model" in said.message
    assert said.hint is not None
    assert "llmcli models" in said.hint
    assert said.facts["provider"] == provider
    assert [request.json["model"] for request in server.requests] == ["some-model"]


@pytest.mark.fault(22)
@pytest.mark.parametrize("body", ["404 page not found", "", {"detail": "Not Found"}, error("Invalid URL (POST /chat)")])
def test_a_wrong_path_is_shown_and_is_no_unknown_model(llmcli: Program, serve: Serve, body: Any) -> None:
    server = serve(answers(404, body))
    said = complaint(llmcli.chat(server.url + "/v1", "hi", "--retries", "2"), 5)

    assert said.message.startswith("no such address: ")
    assert said.hint == f"check the base URL; what was asked is POST {server.url}/v1/chat/completions"
    assert len(server.requests) == 1


@pytest.mark.fault(23)
@pytest.mark.parametrize("status", [405, 406, 415, 426])
def test_a_server_for_something_else_is_told_by_its_status(llmcli: Program, serve: Serve, status: int) -> None:
    said = once(llmcli, serve, answers(status, ""), 5)

    assert said.message == f"HTTP {status}: no explanation"
    assert said.hint is not None
    assert said.hint.startswith("check the base URL")


@pytest.mark.fault(25)
def test_a_request_that_is_too_large_is_told_with_its_size(llmcli: Program, serve: Serve) -> None:
    server = serve(answers(413, "<html><h1>413 Request Entity Too Large</h1></html>", "text/html"))
    said = complaint(llmcli.chat(server.url, "x" * 50_000, "--retries", "2"), 5)

    assert "413 Request Entity Too Large" in said.message
    assert said.hint == f"{len(server.requests[0].body)} bytes were sent"
    assert len(server.requests) == 1


# --- try again ------------------------------------------------------------------------------------


@pytest.mark.fault(24)
@pytest.mark.fault(31)
@pytest.mark.fault(32)
@pytest.mark.parametrize("status", [408, 409, 429, 500, 502, 503, 504, 520, 521, 522, 523, 524, 529])
def test_what_may_pass_is_asked_for_again_and_then_answered(llmcli: Program, serve: Serve, status: int) -> None:
    server = serve(answers(status, error("not now"), Retry_After="0"), says("at ", "last"))
    done = llmcli.chat(server.url, "hi", "--retries", "2")

    assert (done.status, done.text) == (0, "at last")
    assert len(server.requests) == 2
    assert server.requests[0].body == server.requests[1].body
    assert done.err.endswith("not now; trying again in 0.0 s (1 of 2)\n")


def test_a_call_that_a_model_wrote_wrongly_is_asked_for_once_more_whatever_failed_before(
    llmcli: Program, serve: Serve
) -> None:
    """P55. The note says how often, and that is true."""
    wrong = {"error": {"message": "Failed to call a function.", "code": "tool_use_failed"}}
    server = serve(answers(503, error("not now"), Retry_After="0"), answers(400, wrong, Retry_After="0"))
    said = complaint(llmcli.chat(server.url, "hi", "--retries", "5"), 5)

    assert len(server.requests) == 3
    assert [note.rpartition(" (")[2] for note in said.notes] == ["1 of 5)", "2 of 2)"]


def test_a_request_that_was_refused_is_sent_again_as_often_as_the_server_asks(llmcli: Program, serve: Serve) -> None:
    server = serve(answers(400, error("not so"), Retry_After="0", X_Should_Retry="true"))
    said = complaint(llmcli.chat(server.url, "hi", "--retries", "2"), 5)

    assert len(server.requests) == 3
    assert [note.rpartition(" (")[2] for note in said.notes] == ["1 of 2)", "2 of 2)"]


@pytest.mark.fault(24)
@pytest.mark.fault(31)
@pytest.mark.fault(32)
@pytest.mark.parametrize(
    ("status", "code"),
    [*((status, 8) for status in (408, 409, 500, 502, 504, 520, 524)), (429, 6), (503, 6), (529, 6)],
)
def test_what_does_not_pass_is_given_up_after_two_retries(
    llmcli: Program, serve: Serve, status: int, code: int
) -> None:
    server = serve(answers(status, error("not now"), Retry_After="0"))
    said = complaint(llmcli.chat(server.url, "hi", "--retries", "2"), code)

    assert len(server.requests) == 3
    assert [note.rpartition("; ")[2] for note in said.notes] == [
        "trying again in 0.0 s (1 of 2)",
        "trying again in 0.0 s (2 of 2)",
    ]
    assert said.message.endswith("not now")
    assert said.facts == {"provider": "openai-compatible", "http": str(status)}


@pytest.mark.fault(24)
@pytest.mark.fault(31)
def test_without_retries_the_first_failure_is_the_last(llmcli: Program, serve: Serve) -> None:
    server = serve(answers(500, error("not now"), Retry_After="0"), says("hi"))
    said = complaint(llmcli.chat(server.url, "hi", "--retries", "0"), 8)

    assert said.notes == ()
    assert len(server.requests) == 1


@pytest.mark.fault(26)
@pytest.mark.parametrize(
    ("headers", "pause"),
    [
        ({"Retry_After": "7"}, 7.0),
        ({"Retry_After": "0"}, 0.0),
        ({"Retry_After": "0.25"}, 0.25),
        ({"Retry_After": " 60 "}, 60.0),
        ({"retry_after_ms": "1500"}, 1.5),
        ({"retry_after_ms": "0"}, 0.0),
        ({"retry_after_ms": "20", "Retry_After": "30"}, 0.02),
    ],
)
def test_the_wait_is_what_the_server_asks_for(serve: Serve, headers: dict[str, str], pause: float) -> None:
    """Chance neither lengthens nor shortens it, and nothing is a number of seconds too."""
    server = serve(answers(429, error("slow down"), **headers), says("hi"))

    assert in_process(server) == ("hi", [pause])


@pytest.mark.fault(26)
@pytest.mark.parametrize("value", ["-1", "soon", "", "1e3", "nan", "infinity", "0x10"])
def test_a_wait_that_is_no_number_is_replaced_by_ours(serve: Serve, value: str) -> None:
    server = serve(answers(429, error("slow down"), Retry_After=value), says("hi"))

    assert in_process(server) == ("hi", [0.5])


@pytest.mark.fault(26)
def test_a_wait_longer_than_the_whole_timeout_is_not_begun(llmcli: Program, serve: Serve) -> None:
    server = serve(answers(429, error("slow down"), Retry_After="50"))
    said = complaint(llmcli.chat(server.url, "hi", "--retries", "2", "--timeout", "30"), 6)

    assert said.message == "the provider is busy: slow down"
    assert len(server.requests) == 1


@pytest.mark.fault(27)
@pytest.mark.parametrize(("seconds", "pause"), [(7, 7.0), (0, 0.0), (-3600, 0.0)])
@pytest.mark.parametrize("clock", [datetime(1999, 12, 31, 23, 59, 59, tzinfo=UTC), datetime(2099, 1, 1, tzinfo=UTC)])
def test_a_date_is_counted_from_the_server_s_own_clock(
    serve: Serve, clock: datetime, seconds: int, pause: float
) -> None:
    then = format_datetime(clock + timedelta(seconds=seconds), usegmt=True)
    server = serve(
        answers(429, error("slow down"), Retry_After=then, Date=format_datetime(clock, usegmt=True)), says("hi")
    )

    assert in_process(server) == ("hi", [pause])


@pytest.mark.fault(27)
@pytest.mark.parametrize("date", ["Fri, 31 Dec 9999 23:59:59 GMT", "Fri, 31 Dec 99999 23:59:59 GMT", "tomorrow, GMT"])
def test_a_date_without_a_clock_to_count_from_is_replaced_by_our_own_wait(serve: Serve, date: str) -> None:
    server = serve(answers(429, error("slow down"), Retry_After=date), says("hi"))

    assert in_process(server) == ("hi", [0.5])


@pytest.mark.fault(27)
@pytest.mark.fault(28)
def test_a_date_years_ahead_fails_at_once(llmcli: Program, serve: Serve) -> None:
    dates = {"Date": "Mon, 23 Nov 2026 00:00:00 GMT", "Retry_After": "Fri, 31 Dec 9999 23:59:59 GMT"}
    said = once(llmcli, serve, answers(429, error("slow down"), **dates), 6)

    assert said.hint == "--retry-max-wait SECONDS waits longer"


@pytest.mark.fault(28)
@pytest.mark.parametrize("wait", ["3600", "60.001", "1" + "0" * 400])
def test_an_absurd_wait_fails_at_once_and_says_how_to_wait_all_the_same(
    llmcli: Program, serve: Serve, wait: str
) -> None:
    said = once(llmcli, serve, answers(429, error("slow down"), Retry_After=wait), 6)

    assert said.message == (
        f"the provider is busy: slow down; it asks for a wait of {float(wait):g} s, more than the 60 s allowed"
    )
    assert said.hint == "--retry-max-wait SECONDS waits longer"


@pytest.mark.fault(28)
def test_who_allows_a_longer_wait_gets_it(serve: Serve) -> None:
    server = serve(answers(429, error("slow down"), Retry_After="3600"), says("hi"))

    assert in_process(server, max_wait=7200) == ("hi", [3600.0])


@pytest.mark.fault(28)
def test_who_allows_no_wait_gets_none(llmcli: Program, serve: Serve) -> None:
    said = once(llmcli, serve, answers(503, error("slow down"), Retry_After="1"), 6, "--retry-max-wait", "0.5")

    assert "it asks for a wait of 1 s, more than the 0.5 s allowed" in said.message


@pytest.mark.fault(29)
def test_a_daily_quota_exits_9_although_the_server_says_to_try_again(llmcli: Program, serve: Serve) -> None:
    """Google's free tier: the wait that it names is one of seconds, the quota one of a day."""
    details = [
        {
            "@type": "type.googleapis.com/google.rpc.QuotaFailure",
            "violations": [{"quotaId": "GenerateRequestsPerDayPerProjectPerModel-FreeTier", "quotaValue": "20"}],
        },
        {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "0s"},
    ]
    text = "You exceeded your current quota, please check your plan and billing details."
    body = [{"error": {"code": 429, "message": text, "status": "RESOURCE_EXHAUSTED", "details": details}}]
    said = once(llmcli, serve, answers(429, body), 9)

    assert said.message == f"quota or credit is used up: {text}"


@pytest.mark.fault(29)
def test_a_quota_of_a_minute_is_waited_for_as_the_body_says(serve: Serve) -> None:
    details = [
        {
            "@type": "type.googleapis.com/google.rpc.QuotaFailure",
            "violations": [{"quotaId": "GenerateRequestsPerMinutePerProjectPerModel-FreeTier", "quotaValue": "5"}],
        },
        {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "17.5s"},
    ]
    body = [{"error": {"code": 429, "message": "slow down", "status": "RESOURCE_EXHAUSTED", "details": details}}]
    server = serve(answers(429, body), says("hi"))

    assert in_process(server) == ("hi", [17.5])


@pytest.mark.fault(30)
def test_a_429_without_a_word_about_waiting_is_waited_for_longer_and_longer(serve: Serve) -> None:
    server = serve(answers(429, error("slow down")))
    failed, pauses = in_process(server, retries=6)

    assert isinstance(failed, Busy)
    assert pauses == [0.5, 1.0, 2.0, 4.0, 8.0, 8.0]
    assert len(server.requests) == 7


@pytest.mark.fault(31)
def test_a_gateway_s_error_page_is_told_in_its_words_and_never_printed(llmcli: Program, serve: Serve) -> None:
    page = (
        "<html>\r\n<head><title>502 Bad Gateway</title><style>h1 {color: red}</style></head>\r\n"
        "<body>\r\n<center><h1>502 Bad Gateway</h1></center>\r\n<hr><center>nginx/1.27</center>\r\n</body>\r\n</html>"
    )
    said = complaint(llmcli.chat(serve(answers(502, page, "text/html")).url, "hi"), 8)

    assert "502 Bad Gateway" in said.message
    assert "<" not in said.message
    assert "color" not in said.message


@pytest.mark.fault(31)
def test_a_status_that_nobody_has_defined_is_not_retried(llmcli: Program, serve: Serve) -> None:
    assert once(llmcli, serve, answers(599, "what?"), 8).message == "HTTP 599: what?"


@pytest.mark.fault(32)
@pytest.mark.parametrize("status", [529, 500, 503])
def test_an_overloaded_anthropic_is_asked_again_and_exits_6(llmcli: Program, serve: Serve, status: int) -> None:
    body = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}
    server = serve(answers(status, body, Retry_After="0"))
    said = complaint(ask(llmcli, "anthropic", server), 6)

    assert said.message == "the provider is busy: Overloaded"
    assert len(server.requests) == 3


@pytest.mark.fault(33)
@pytest.mark.parametrize(("status", "code"), [(500, 8), (503, 6), (429, 6), (409, 8)])
def test_a_server_that_says_not_to_retry_is_obeyed(llmcli: Program, serve: Serve, status: int, code: int) -> None:
    once(llmcli, serve, answers(status, error("no"), x_should_retry="false", Retry_After="0"), code)


@pytest.mark.fault(33)
def test_a_server_that_says_to_retry_is_obeyed_too(llmcli: Program, serve: Serve) -> None:
    server = serve(answers(400, error("not yet"), x_should_retry="true", Retry_After="0"), says("hi"))

    assert llmcli.chat(server.url, "hi", "--retries", "2").text == "hi"
    assert len(server.requests) == 2


@pytest.mark.fault(24)
@pytest.mark.fault(26)
def test_retries_are_not_talked_about_with_quiet(llmcli: Program, serve: Serve) -> None:
    server = serve(answers(429, error("slow down"), Retry_After="0"), says("hi"))
    done = llmcli.chat(server.url, "hi", "--retries", "2", "--quiet")

    assert (done.text, done.err) == ("hi", "")


# --- 200, and yet no answer -----------------------------------------------------------------------

IN_A_BODY = [
    pytest.param(error("The server had an error", type="server_error"), 8, id="server"),
    pytest.param({"error": "something broke"}, 8, id="a-text"),
    pytest.param({"object": "error", "message": "something broke"}, 8, id="vllm"),
    pytest.param(error("Insufficient credits", code=402), 9, id="credit"),
    pytest.param(error("No auth credentials found", code=401), 4, id="key"),
    pytest.param(error("The model `m` does not exist", code="model_not_found"), 5, id="model"),
    pytest.param(error("top_k must be positive", type="invalid_request_error"), 5, id="rejected"),
    pytest.param(
        error("This model's maximum context length is 5 tokens", code="context_length_exceeded"), 5, id="long"
    ),
]


@pytest.mark.fault(34)
@pytest.mark.parametrize("mode", ["--stream", "--no-stream", "--json"])
@pytest.mark.parametrize(("body", "code"), IN_A_BODY)
def test_an_error_with_status_200_is_told_from_an_answer(
    llmcli: Program, serve: Serve, body: Any, code: int, mode: str
) -> None:
    server = serve(answers(200, body, X_Request_ID="req-7"))
    done = llmcli.chat(server.url, "hi", "--retries", "2", mode)

    assert (done.status, done.out) == (code, b"")
    said = done.error if mode == "--json" else complaint(done, code).facts
    assert said["request_id"] == "req-7"
    assert (body["error"]["message"] if isinstance(body.get("error"), dict) else "something broke") in done.err
    assert len(server.requests) == 1


@pytest.mark.fault(34)
@pytest.mark.parametrize("code", [429, 500])
def test_a_passing_trouble_with_status_200_is_retried_like_any_other(serve: Serve, code: int) -> None:
    server = serve(answers(200, error("not now", code=code)), says("hi"))

    assert in_process(server) == ("hi", [0.5])
    assert len(server.requests) == 2


@pytest.mark.fault(34)
def test_an_error_of_ollama_with_status_200_is_told_from_an_answer(llmcli: Program, serve: Serve) -> None:
    server = serve(answers(200, '{"error":"llama runner process has terminated"}\n', "application/x-ndjson"))
    said = complaint(ask(llmcli, "ollama", server), 8)

    assert "llama runner process has terminated" in said.message


@pytest.mark.fault(34)
def test_an_error_of_anthropic_with_status_200_is_told_from_an_answer(llmcli: Program, serve: Serve) -> None:
    body = {"type": "error", "error": {"type": "api_error", "message": "Internal server error"}}
    said = complaint(ask(llmcli, "anthropic", serve(answers(200, body))), 8)

    assert "Internal server error" in said.message


def no_content(connection: Connection) -> None:
    connection.send(b"HTTP/1.1 204 No Content\r\n\r\n")


EMPTY: list[Any] = [
    pytest.param(no_content, id="204"),
    pytest.param(answers(200, ""), id="200"),
    pytest.param(answers(202, "", "text/event-stream"), id="202"),
    pytest.param(answers(200, " \n\n\t"), id="blank"),
    pytest.param(answers(200, "\ufeff"), id="bom"),
    pytest.param(answers(200, "", "text/html"), id="html"),
]


@pytest.mark.fault(35)
@pytest.mark.parametrize("mode", ["--stream", "--no-stream"])
@pytest.mark.parametrize("script", EMPTY)
def test_an_empty_answer_exits_8_and_says_so(llmcli: Program, serve: Serve, script: Script, mode: str) -> None:
    assert once(llmcli, serve, script, 8, mode).message == "the provider sent an empty answer"


@pytest.mark.fault(35)
@pytest.mark.parametrize("provider", ["anthropic", "ollama"])
def test_an_empty_answer_in_another_protocol_is_the_same(llmcli: Program, serve: Serve, provider: str) -> None:
    server = serve(answers(200, ""))

    assert complaint(ask(llmcli, provider, server), 8).message == "the provider sent an empty answer"
    assert len(server.requests) == 1


TYPES = ["text/event-stream", "application/json", "text/plain", "text/html", "application/octet-stream", "nonsense"]


@pytest.mark.fault(36)
@pytest.mark.parametrize("mode", ["--stream", "--no-stream"])
@pytest.mark.parametrize("content_type", TYPES)
def test_a_stream_is_read_whatever_it_calls_itself_and_whether_or_not_it_was_asked_for(
    llmcli: Program, serve: Serve, content_type: str, mode: str
) -> None:
    body = b": hello\n\n" + delta("right ") + delta("anyway") + finish() + DONE
    done = llmcli.chat(serve(answers(200, body, content_type)).url, "hi", mode)

    assert (done.status, done.text, done.err) == (0, "right anyway", "")


@pytest.mark.fault(36)
@pytest.mark.parametrize("mode", ["--stream", "--no-stream"])
@pytest.mark.parametrize("content_type", TYPES)
def test_a_whole_answer_is_read_whatever_it_calls_itself_and_whether_or_not_it_was_asked_for(
    llmcli: Program, serve: Serve, content_type: str, mode: str
) -> None:
    body = "\n\n  " + json.dumps(completion("right anyway"))
    done = llmcli.chat(serve(answers(200, body, content_type)).url, "hi", mode)

    assert (done.status, done.text, done.err) == (0, "right anyway", "")


@pytest.mark.fault(36)
def test_a_body_without_any_content_type_is_read(llmcli: Program, serve: Serve) -> None:
    body = json.dumps(completion("right anyway")).encode()
    bare = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)

    assert llmcli.chat(serve(lambda connection: connection.send(bare)).url, "hi").text == "right anyway"


@pytest.mark.fault(36)
@pytest.mark.parametrize("mode", ["--stream", "--no-stream"])
@pytest.mark.parametrize("size", [1, 2, 5])
def test_what_a_body_is_does_not_depend_on_how_its_first_bytes_were_cut(
    llmcli: Program, serve: Serve, size: int, mode: str
) -> None:
    body = delta("right anyway") + finish() + DONE

    def script(connection: Connection) -> None:
        connection.send(head(200, "text/html", Transfer_Encoding="chunked"))
        for start in range(0, 10, size):
            connection.send(chunk(body[start : start + size]))
        connection.send(chunk(body[10:]) + b"0\r\n\r\n")

    done = llmcli.chat(serve(script).url, "hi", mode)

    assert (done.status, done.text, done.err) == (0, "right anyway", "")


@pytest.mark.fault(36)
@pytest.mark.parametrize("mode", ["--stream", "--no-stream"])
@pytest.mark.parametrize("body", ["upstream timed out", "%PDF-1.7", "null", '"hello"', "42"])
def test_what_is_neither_is_not_printed_as_the_answer(llmcli: Program, serve: Serve, body: str, mode: str) -> None:
    said = once(llmcli, serve, answers(200, body, "text/plain"), 8, mode)

    assert body in said.message


@pytest.mark.fault(36)
def test_noise_is_shown_in_part_and_escaped(llmcli: Program, serve: Serve) -> None:
    said = once(llmcli, serve, answers(200, b"\x89PNG\r\n\x1a\n\xff" + b"x" * 10_000, "image/png"), 8)

    assert said.message.startswith("got no API answer, but: ")
    assert len(said.message) < 200


# --- what the log says, and what is sent ----------------------------------------------------------


@pytest.mark.parametrize("script", [says("hello"), answers(200, completion("hello"))])
def test_the_log_says_how_long_every_answer_was(llmcli: Program, serve: Serve, script: Script) -> None:
    """A stream is not read beyond its end marker; what was read is counted."""
    done = llmcli.chat(serve(script).url, "-v", "--log-file", "log", "hi")

    log = [json.loads(line) for line in (llmcli.home / "log").read_text().splitlines()]
    (body,) = (record for record in log if record["event"] == "body")
    assert body["bytes"] >= len('{"content": "hello"}')
    assert body["seconds"] > 0
    assert f"* body: bytes={body['bytes']}" in done.err


@pytest.mark.parametrize("name", ["user-agent", "User-Agent", "ACCEPT-ENCODING"])
def test_a_configured_header_takes_the_place_of_ours(llmcli: Program, httpserver: HTTPServer, name: str) -> None:
    """This server joins headers of the same name, so it shows what was sent twice."""
    httpserver.expect_request("/v1/chat/completions").respond_with_json(completion("hello"))
    llmcli.configure(
        f'[providers.mine]\nadapter = "openai-compatible"\nbase_url = "{httpserver.url_for("/v1")}"\n'
        f'headers = {{ {name} = "mine/1" }}'
    )

    assert llmcli("chat", "-m", "mine/m", "-n", "hi").text == "hello"
    assert httpserver.log[0][0].headers[name] == "mine/1"


# --- the error as JSON ----------------------------------------------------------------------------


@pytest.mark.fault(26)
@pytest.mark.parametrize("mode", ["--json", "--jsonl"])
def test_with_json_the_last_line_of_stderr_is_the_error_as_a_document(llmcli: Program, serve: Serve, mode: str) -> None:
    server = serve(answers(429, error("slow\ndown"), Retry_After="0", X_Request_ID="req-7"))
    done = llmcli.chat(server.url, "hi", "--retries", "1", mode)

    assert (done.status, done.out) == (6, b"")
    assert len(done.err.splitlines()) == 2  # the retry, and the document
    assert done.error == {
        "code": 6,
        "name": "busy",
        "message": "the provider is busy: slow\ndown",
        "hint": None,
        "provider": "openai-compatible",
        "http_status": 429,
        "request_id": "req-7",
        "retryable": True,
        "retry_after": 0.0,
        "bytes_out": 0,
    }


@pytest.mark.fault(18)
@pytest.mark.fault(19)
@pytest.mark.fault(21)
@pytest.mark.fault(28)
@pytest.mark.parametrize(
    ("status", "body", "code", "name", "retryable"),
    [
        (400, error("no"), 5, "rejected", False),
        (401, error("no"), 4, "authentication", False),
        (402, error("no"), 9, "quota", False),
        (404, error("The model `m` does not exist"), 5, "rejected", False),
        (429, error("no"), 6, "busy", True),
        (500, error("no"), 8, "provider", True),
        (302, "", 8, "provider", False),
    ],
)
def test_a_script_can_tell_from_the_document_whether_trying_again_may_help(
    llmcli: Program, serve: Serve, status: int, body: Any, code: int, name: str, retryable: bool
) -> None:
    done = llmcli.chat(serve(answers(status, body)).url, "hi", "--json")

    assert done.status == code
    document = done.error
    assert (document["code"], document["name"], document["http_status"]) == (code, name, status)
    assert document["retryable"] is retryable


@pytest.mark.fault(28)
def test_the_document_says_how_long_the_server_wants_us_to_wait(llmcli: Program, serve: Serve) -> None:
    done = llmcli.chat(serve(answers(429, error("no"), Retry_After="3600")).url, "hi", "--json", "--retries", "2")

    assert done.status == 6
    assert done.error["retry_after"] == 3600


@pytest.mark.fault(28)
def test_the_document_is_json_even_when_the_wait_is_beyond_all_numbers(llmcli: Program, serve: Serve) -> None:
    done = llmcli.chat(serve(answers(429, error("no"), Retry_After="9" * 400)).url, "hi", "--json", "--retries", "2")

    assert done.status == 6
    assert "Infinity" not in done.err
    assert done.error["retry_after"] is None
