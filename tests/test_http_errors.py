"""
Whatever shape an error answer has, its message is found, and it becomes the error that says what to do.
"""

import json
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmcli.errors import (
    AuthenticationFailed,
    Busy,
    ContextTooLong,
    LlmError,
    ProviderFailed,
    QuotaExceeded,
    RequestRejected,
    UnknownModel,
)
from llmcli.framing import parse_json
from llmcli.http_errors import classify_in_stream, describe, error_in, read_error, retry_after


def body_of(document: object) -> bytes:
    """A JSON body."""
    return json.dumps(document).encode()


def error_of(status: int, document: object = None, headers: Mapping[str, str] | None = None) -> LlmError:
    """Our error for an answer with this status and JSON body."""
    return read_error(status, headers or {}, body_of(document))


def of_message(status: int, message: str, code: str | int | None = None) -> LlmError:
    """Our error for an answer in the shape that most services use."""
    return error_of(status, {"error": {"message": message, "type": None, "param": None, "code": code}})


# --- what a body says -----------------------------------------------------------------------------

SHAPES = [
    pytest.param({"error": {"message": "what", "type": "t", "param": None, "code": None}}, id="OpenAI"),
    pytest.param({"error": {"message": "what", "type": "t", "code": 1211}}, id="a number as code"),
    pytest.param({"error": {"message": "what", "code": "1211"}}, id="Zhipu"),
    pytest.param({"error": {"code": 429, "message": "what", "metadata": {"provider_name": "x"}}}, id="OpenRouter"),
    pytest.param([{"error": {"code": 400, "message": "what", "status": "INVALID_ARGUMENT"}}], id="Gemini, in an array"),
    pytest.param({"error": "what"}, id="Ollama"),
    pytest.param({"error": "what", "error_type": "validation"}, id="TGI"),
    pytest.param({"error": ["what"], "warnings": ["never mind"]}, id="Hugging Face"),
    pytest.param({"error": "invalid_token", "error_description": "what"}, id="OAuth"),
    pytest.param({"object": "error", "message": "what", "type": "t", "param": None, "code": 40}, id="Mistral, vLLM"),
    pytest.param({"detail": "what"}, id="FastAPI"),
    pytest.param({"detail": [{"msg": "what", "type": "missing"}]}, id="FastAPI, a list without places"),
    pytest.param({"detail": {"msg": "what"}}, id="FastAPI, an object"),
    pytest.param({"detail": {"message": "what", "status": "x"}}, id="an object with a message"),
    pytest.param({"message": "what"}, id="a proxy, Bedrock"),
    pytest.param({"message": "what", "id": "1"}, id="Cohere"),
    pytest.param({"msg": "what"}, id="msg"),
    pytest.param({"code": 20012, "message": "what", "data": None}, id="SiliconFlow"),
    pytest.param({"code": 3, "reason": "NO", "message": "what"}, id="Novita"),
    pytest.param({"errors": [{"code": 10000, "message": "what"}], "success": False, "result": None}, id="Cloudflare"),
    pytest.param({"errors": ["what"]}, id="a list of sentences"),
    pytest.param({"code": "InvalidApiKey", "message": "what", "requestId": "1"}, id="DashScope"),
    pytest.param(
        {"type": "error", "error": {"type": "api_error", "message": "what"}, "request_id": "1"}, id="Anthropic"
    ),
    pytest.param({"error": {"error": "what"}}, id="an error in an error"),
    pytest.param({"error": {"message": " what\n"}}, id="blanks around"),
]


@pytest.mark.fault(16)
@pytest.mark.parametrize("document", SHAPES)
def test_the_message_is_found_in_every_shape_of_body(document: object) -> None:
    assert describe(body_of(document)).message == "what"


def test_a_validation_error_says_at_which_place() -> None:
    document = {"detail": [{"loc": ["body", "messages", 0], "msg": "field required", "type": "missing"}]}

    assert describe(body_of(document)).message == "body.messages.0: field required"


@pytest.mark.parametrize("place", [None, 5, "body", {"a": 1}])
def test_a_place_of_another_shape_does_not_hide_the_message(place: object) -> None:
    assert describe(body_of({"detail": [{"loc": place, "msg": "field required"}]})).message == "field required"


def test_several_sentences_are_joined() -> None:
    assert describe(body_of({"error": ["one", "two"]})).message == "one; two"


def test_what_the_provider_behind_a_gateway_said_is_added() -> None:
    document = {"error": {"message": "Provider returned error", "code": 400, "metadata": {"raw": "too hot"}}}

    assert describe(body_of(document)).message == "Provider returned error: too hot"
    assert describe(body_of({"error": {"metadata": {"raw": "too hot"}}})).message == "too hot"


@pytest.mark.parametrize("document", [{"oops": "nobody knows this"}, {"error": {"oops": "nobody knows this"}}])
def test_a_body_of_an_unknown_shape_is_shown_as_it_is(document: object) -> None:
    assert "nobody knows this" in describe(body_of(document)).message


@pytest.mark.parametrize("body", [b"", b" \r\n", b"{}", b"[]", b"\xef\xbb\xbf"])
def test_an_empty_body_is_said_to_explain_nothing(body: bytes) -> None:
    assert describe(body).message == "no explanation"


@pytest.mark.parametrize(
    "body", [b"upstream connect error", b" upstream connect error\n", b"\xef\xbb\xbfupstream connect error"]
)
def test_plain_text_is_the_message(body: bytes) -> None:
    assert describe(body).message == "upstream connect error"


@pytest.mark.parametrize("body", [b"{not json", b'{"error": {"message": "cut he', b"[[["])
def test_what_only_looks_like_json_is_plain_text(body: bytes) -> None:
    assert describe(body).message == body.decode()


def test_a_body_that_is_no_utf8_is_shown_all_the_same() -> None:
    assert describe(b"caf\xe9").message == "caf\ufffd"


@pytest.mark.fault(31)
def test_a_web_page_is_summarised_without_its_tags() -> None:
    page = b"""<!DOCTYPE html><!-- a <b>comment</b> --><html><head><title>502 Bad Gateway</title>
        <style type="text/css">body > p { color: red }</style><SCRIPT>if (a < b) { alert("hi") }</SCRIPT ></head>
        <body class="x"><center><h1>502 Bad Gateway</h1></center><hr/>nginx/1.27</body></html>"""

    assert describe(page).message == "502 Bad Gateway 502 Bad Gateway nginx/1.27"


def test_a_script_that_is_never_closed_is_not_shown() -> None:
    assert describe(b"<p>Sorry</p><script>var secret = 1; if (a > b) {").message == "Sorry"


def test_a_hostile_page_is_read_in_passing() -> None:
    """If each tag that is never closed were searched to the end, this would not end today."""
    for piece in (b"<", b"<script>", b"<!--", b"<a ", b"<script", b"</script", b"<style x"):
        assert len(describe(piece * 200_000).message) <= 501


LONG = "no " * 200


@pytest.mark.parametrize("body", [LONG.encode(), body_of({"error": LONG}), body_of([LONG]), f"<p>{LONG}".encode()])
def test_a_long_message_is_cut_at_five_hundred_characters(body: bytes) -> None:
    assert describe(body).message == LONG[:500] + "…"


def test_what_a_service_repeats_of_a_picture_is_counted_and_not_shown() -> None:
    message = f"bad data:image/png;base64,{'iVBORw0K' * 50}== in part 1"

    assert describe(body_of({"error": message})).message == "bad data:image/png;base64,<402 characters> in part 1"


def test_a_message_of_five_hundred_characters_is_not_cut() -> None:
    assert describe(body_of({"error": LONG[:500].strip()})).message == LONG[:500].strip()


def test_an_error_that_is_json_inside_a_string_is_unpacked() -> None:
    inner = json.dumps({"error": {"code": 400, "message": "too hot", "type": "invalid_request_error"}})

    assert describe(body_of({"error": inner})).message == "too hot"
    assert describe(body_of({"error": "{too hot"})).message == "{too hot"


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3) | st.sampled_from(
        ["error", "errors", "message", "msg", "detail", "details", "error_description", "code", "type", "error_type",
         "status", "reason", "param", "metadata", "raw", "loc", "retryDelay", "estimated_time", "object"]
    ), inner, max_size=5),
    max_leaves=12,
)  # fmt: skip


@given(document=_JSON, status=st.sampled_from([200, 400, 404, 429, 500]), word=st.text(max_size=9))
def test_no_body_breaks_the_reading_of_errors(document: object, status: int, word: str) -> None:
    headers = {"retry-after": word, "date": word, "x-should-retry": word}
    error = read_error(status, headers, body_of(document))

    assert 0 < len(error.message) < 600
    assert error.retry_after is None or error.retry_after >= 0
    in_stream = error_in(document)
    assert in_stream is None or classify_in_stream(in_stream).message


@pytest.mark.fault(50)
@pytest.mark.parametrize("key", ["error", "errors", "details", "detail", "code", "oops"])
def test_no_depth_of_nesting_breaks_the_reading_of_errors(key: str) -> None:
    for depth in range(100, 1100, 5):
        body = b'{"error": true, "%s": ' % key.encode() + b"[" * depth + b"]" * depth + b"}"
        assert describe(body).message
        try:
            document = parse_json(body.decode())
        except ProviderFailed:
            continue
        assert error_in(document) is not None


@pytest.mark.parametrize("code", ["²²²", "٤٠٤", "9" * 5000, "404.0", "-404"])
def test_a_code_that_is_no_http_status_is_not_taken_for_one(code: str) -> None:
    assert describe(body_of({"error": {"message": "what", "code": code}})).status is None


# --- the parameter that was refused ---------------------------------------------------------------


def test_the_parameter_that_the_body_names_is_kept() -> None:
    error = error_of(400, {"error": {"message": "no", "param": "max_tokens", "code": "unsupported_parameter"}})

    assert isinstance(error, RequestRejected)
    assert error.parameter == "max_tokens"


@pytest.mark.parametrize(
    "message",
    [
        "Unsupported parameter: 'stream_options' is not supported with this model.",
        'Unrecognized request argument supplied: "stream_options"',
        "unknown field `stream_options`",
        "Extra inputs are not permitted: 'stream_options'",
    ],
)
def test_the_parameter_is_found_in_the_message(message: str) -> None:
    error = of_message(400, message)

    assert isinstance(error, RequestRejected)
    assert error.parameter == "stream_options"


def test_no_parameter_is_made_up() -> None:
    error = of_message(400, "something is 'wrong'")

    assert isinstance(error, RequestRejected)
    assert error.parameter is None


# --- the class of an error ------------------------------------------------------------------------

STATUSES = {
    400: RequestRejected,
    401: AuthenticationFailed,
    402: QuotaExceeded,
    403: AuthenticationFailed,
    404: RequestRejected,
    405: RequestRejected,
    406: RequestRejected,
    408: ProviderFailed,
    409: ProviderFailed,
    410: RequestRejected,
    413: RequestRejected,
    415: RequestRejected,
    418: RequestRejected,
    422: RequestRejected,
    424: ProviderFailed,
    426: RequestRejected,
    429: Busy,
    498: AuthenticationFailed,
    499: ProviderFailed,
    500: ProviderFailed,
    501: ProviderFailed,
    502: ProviderFailed,
    503: Busy,
    504: ProviderFailed,
    520: ProviderFailed,
    522: ProviderFailed,
    524: ProviderFailed,
    529: Busy,
}


@pytest.mark.fault(18)
@pytest.mark.fault(20)
@pytest.mark.fault(24)
@pytest.mark.fault(31)
@pytest.mark.fault(32)
@pytest.mark.parametrize(("status", "cls"), STATUSES.items())
@pytest.mark.parametrize("body", [b"", b"what", b'{"error": {"message": "what"}}', b"<html>what</html>"])
def test_without_a_word_from_the_body_the_status_decides(status: int, cls: type[LlmError], body: bytes) -> None:
    error = read_error(status, {}, body)

    assert type(error) is cls
    assert error.http_status == status
    assert ("what" if body else "no explanation") in error.message


@pytest.mark.fault(22)
@pytest.mark.fault(23)
@pytest.mark.parametrize("status", [404, 405, 406, 410, 415, 426])
def test_a_wrong_address_is_told_from_an_unknown_model(status: int) -> None:
    error = of_message(status, "Not Found")

    assert error.hint == "check the base URL"
    assert "model" not in error.message


@pytest.mark.parametrize("status", [408, 409, 424, 500, 501, 504, 529])
def test_a_failure_of_the_service_is_told_with_its_status_or_in_words(status: int) -> None:
    said = of_message(status, "what").message

    assert said == ("the provider is busy: what" if status == 529 else f"HTTP {status}: what")


QUOTA = [
    pytest.param(429, "You exceeded your current quota", "insufficient_quota", id="OpenAI"),
    pytest.param(429, "no more", "credit_balance_exhausted", id="OpenAI, credit"),
    pytest.param(429, "no more", "organization_spend_limit_exceeded", id="OpenAI, organization"),
    pytest.param(429, "no more", "project_spend_limit_exceeded", id="OpenAI, project"),
    pytest.param(429, "no more", "organization_usage_limit_exceeded", id="OpenAI, usage"),
    pytest.param(403, "no more", "exceeded_current_quota_error", id="Moonshot"),
    pytest.param(429, "余额不足", "1113", id="Zhipu"),
    pytest.param(429, "余额不足", 1113, id="Zhipu, as a number"),
    pytest.param(402, "Insufficient Balance", "invalid_request_error", id="DeepSeek"),
    pytest.param(400, "Your credit balance is too low to access the API", None, id="Anthropic"),
    pytest.param(400, "You have reached your specified API usage limits.", None, id="Anthropic, a limit of one's own"),
    pytest.param(402, "Insufficient credits", 402, id="OpenRouter"),
    pytest.param(429, "Your Trial key is limited to 1000 API calls / month.", None, id="Cohere"),
    pytest.param(
        429, "Quota exceeded for metric: free_tier_requests, limit: 0, model: x", None, id="Gemini, no free tier"
    ),
]


@pytest.mark.fault(17)
@pytest.mark.fault(19)
@pytest.mark.parametrize(("status", "message", "code"), QUOTA)
def test_a_quota_that_is_used_up_is_no_rate_limit(status: int, message: str, code: str | int | None) -> None:
    error = of_message(status, message, code)

    assert type(error) is QuotaExceeded
    assert not error.retryable
    assert message in error.message


@pytest.mark.fault(29)
def test_a_daily_quota_is_found_in_geminis_details() -> None:
    document = {
        "error": {
            "code": 429,
            "message": "You exceeded your current quota. Please retry in 46.1s.",
            "status": "RESOURCE_EXHAUSTED",
            "details": [
                {
                    "@type": "type.googleapis.com/google.rpc.QuotaFailure",
                    "violations": [{"quotaId": "GenerateRequestsPerDayPerProjectPerModel-FreeTier"}],
                },
                {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "46s"},
            ],
        }
    }

    assert type(error_of(429, document)) is QuotaExceeded


@pytest.mark.fault(17)
def test_a_spend_limit_is_found_in_anthropics_details() -> None:
    document = {
        "type": "error",
        "error": {
            "type": "invalid_request_error",
            "message": "no more",
            "details": {"error_code": "enforced_spend_limit_reached"},
        },
    }

    assert type(error_of(400, document)) is QuotaExceeded


def test_a_code_in_a_list_of_errors_counts() -> None:
    assert type(error_of(429, {"errors": [{"code": "insufficient_quota", "message": "what"}]})) is QuotaExceeded


@pytest.mark.parametrize(
    "message",
    [
        "Rate limit reached on tokens per min (TPM): Limit 30000, Used 29000, Requested 11134",
        "Rate limit reached on requests per day (RPD): Limit 200, Used 200",
        "You are using a Trial key, which is limited to 20 API calls / minute.",
        "slow down, request 6f1113a",
    ],
)
def test_an_unknown_429_is_a_rate_limit(message: str) -> None:
    assert type(of_message(429, message, "rate_limit_exceeded")) is Busy


CONTEXT = [
    pytest.param(400, "too long", "context_length_exceeded", id="by its code"),
    pytest.param(400, "This model's maximum context length is 8192 tokens", None, id="OpenAI, vLLM"),
    pytest.param(400, "the request exceeds the available context size", "exceed_context_size_error", id="llama.cpp"),
    pytest.param(400, "Input tokens exceed the configured limit of 272000 tokens", None, id="OpenAI Responses"),
    pytest.param(400, "The input token count exceeds the maximum number of tokens allowed", None, id="Gemini"),
    pytest.param(400, "The prompt is longer than the model's context length", None, id="longer"),
    pytest.param(400, "Current length is 10000 while limit is 8192", None, id="Cerebras"),
    pytest.param(400, "prompt is too long: 210000 tokens > 200000 maximum", None, id="Anthropic"),
    pytest.param(422, "Input validation error: `inputs` tokens + `max_new_tokens` must be <= 4096", None, id="TGI"),
    pytest.param(422, "`inputs` must have less than 4096 tokens. Given: 5000", None, id="TGI, the prompt alone"),
    pytest.param(400, "too many tokens: the total number of tokens cannot exceed 4081", None, id="Cohere"),
    pytest.param(413, "prompt is too long", None, id="413"),
    pytest.param(422, "maximum context length", None, id="422"),
]


@pytest.mark.fault(15)
@pytest.mark.parametrize(("status", "message", "code"), CONTEXT)
def test_a_prompt_that_is_too_long_is_called_so(status: int, message: str, code: str | None) -> None:
    error = of_message(status, message, code)

    assert type(error) is ContextTooLong
    assert message in error.message


MODEL = [
    pytest.param(404, "The model `x` does not exist or you do not have access to it.", "model_not_found", id="OpenAI"),
    pytest.param(404, "The model `x` does not exist.", 404, id="vLLM"),
    pytest.param(400, "Model Not Exist", "invalid_request_error", id="DeepSeek"),
    pytest.param(400, "The supported API model names are a or b, but you passed x.", None, id="DeepSeek, newer"),
    pytest.param(400, "The requested model is not supported by any provider", "model_not_supported", id="HF router"),
    pytest.param(400, "Model x not supported by provider hf-inference", None, id="HF hub"),
    pytest.param(404, "This model models/gemini-x is no longer available to new users.", None, id="Gemini, retired"),
    pytest.param(400, "no", 20012, id="SiliconFlow"),
    pytest.param(400, "模型不存在", "1211", id="Zhipu"),
    pytest.param(400, "gone", "model_decommissioned", id="Groq"),
    pytest.param(400, "Invalid model: x", None, id="Mistral"),
    pytest.param(404, "model: claude-x", None, id="Anthropic"),
    pytest.param(404, "models/x is not found for API version v1beta", None, id="Gemini"),
    pytest.param(404, "model 'x' not found", None, id="Ollama, Cohere"),
    pytest.param(400, "x is not a valid model ID", 400, id="OpenRouter"),
    pytest.param(404, "Unable to access model x.", "model_not_available", id="Together"),
]


@pytest.mark.fault(21)
@pytest.mark.parametrize(("status", "message", "code"), MODEL)
def test_an_unknown_model_is_called_so(status: int, message: str, code: str | int | None) -> None:
    error = of_message(status, message, code)

    assert type(error) is UnknownModel
    assert error.hint is not None
    assert "llmcli models" in error.hint


@pytest.mark.parametrize(
    "message", ["You asked for 121100 tokens", "request 1211 failed", "20012 characters are too many"]
)
def test_a_number_in_a_sentence_is_no_code(message: str) -> None:
    assert type(of_message(400, message)) is RequestRejected


@pytest.mark.fault(18)
@pytest.mark.parametrize(
    "document",
    [
        pytest.param(
            [{"error": {"code": 400, "message": "API key not valid. Please pass a valid API key."}}], id="Gemini"
        ),
        pytest.param(
            {"error": {"message": "no", "details": [{"reason": "API_KEY_INVALID"}]}}, id="Gemini, by its reason"
        ),
        pytest.param({"detail": "Bad or missing authentication"}, id="AI21"),
    ],
)
def test_a_wrong_key_is_called_so_also_where_the_status_is_400(document: object) -> None:
    error = error_of(400, document)

    assert type(error) is AuthenticationFailed
    assert "does not accept the key" in error.message


@pytest.mark.fault(20)
def test_a_403_does_not_say_that_the_key_is_wrong() -> None:
    assert "refuses this key or region" in of_message(403, "not in your country").message


@pytest.mark.fault(25)
def test_a_request_that_is_too_large_is_not_called_busy() -> None:
    error = of_message(413, "Request too large: Limit 6000, Requested 7000", "rate_limit_exceeded")

    assert type(error) is RequestRejected


def anthropic(kind: str) -> object:
    """An error of Anthropic's."""
    return {"type": "error", "error": {"type": kind, "message": "what"}, "request_id": "1"}


def google(code: int, status: str, message: str = "what") -> object:
    """An error of Google's."""
    return {"error": {"code": code, "message": message, "status": status}}


BODIES = {
    "Anthropic, bad request": (400, anthropic("invalid_request_error"), RequestRejected),
    "Anthropic, key": (401, anthropic("authentication_error"), AuthenticationFailed),
    "Anthropic, billing": (402, anthropic("billing_error"), QuotaExceeded),
    "Anthropic, permission": (403, anthropic("permission_error"), AuthenticationFailed),
    "Anthropic, size": (413, anthropic("request_too_large"), RequestRejected),
    "Anthropic, rate": (429, anthropic("rate_limit_error"), Busy),
    "Anthropic, failure": (500, anthropic("api_error"), ProviderFailed),
    "Anthropic, overloaded as 500": (500, anthropic("overloaded_error"), Busy),
    "Anthropic, timeout": (504, anthropic("timeout_error"), ProviderFailed),
    "Anthropic, overloaded": (529, anthropic("overloaded_error"), Busy),
    "Gemini, region": (400, google(400, "FAILED_PRECONDITION", "location is not supported"), RequestRejected),
    "Gemini, permission": (403, google(403, "PERMISSION_DENIED"), AuthenticationFailed),
    "Gemini, overloaded": (503, google(503, "UNAVAILABLE", "The model is overloaded."), Busy),
    "Gemini, timeout": (504, google(504, "DEADLINE_EXCEEDED"), ProviderFailed),
    "Cohere, key": (401, {"message": "invalid api token"}, AuthenticationFailed),
    "Cohere, token": (498, {"message": "invalid token", "id": "1"}, AuthenticationFailed),
    "Ollama, sign in": (401, {"error": "unauthorized", "signin_url": "https://x"}, AuthenticationFailed),
    "Ollama, model": (404, {"error": 'model "x" not found, try pulling it first'}, UnknownModel),
    "Ollama, busy": (503, {"error": "server busy, please try again"}, Busy),
    "HF, bad request": (400, {"error": ["Error in `inputs`: too short"], "warnings": []}, RequestRejected),
    "HF, model": (404, {"error": "Model x/y does not exist"}, UnknownModel),
    "TGI, validation": (422, {"error": "Input validation error", "error_type": "validation"}, RequestRejected),
    "TGI, generation": (424, {"error": "Request failed", "error_type": "generation"}, ProviderFailed),
    "TGI, overloaded": (429, {"error": "Model is overloaded", "error_type": "overloaded"}, Busy),
    "AI21, validation": (422, {"detail": [{"loc": ["body"], "msg": "what", "type": "y"}]}, RequestRejected),
    "AI21, model": (424, {"detail": "what"}, ProviderFailed),
}


@pytest.mark.parametrize(("status", "document", "cls"), BODIES.values(), ids=BODIES)
def test_the_bodies_of_each_service_become_the_right_error(status: int, document: object, cls: type[LlmError]) -> None:
    assert type(error_of(status, document)) is cls


# --- errors under status 200 ----------------------------------------------------------------------

IN_STREAM = {
    "OpenRouter": ({"error": {"code": 502, "message": "upstream died"}, "choices": []}, ProviderFailed),
    "vLLM": ({"error": {"object": "error", "message": "not multimodal", "code": 400}}, RequestRejected),
    "LM Studio": ({"error": {"message": "context overflow"}, "message": "context overflow"}, ContextTooLong),
    "Anthropic, overloaded": (anthropic("overloaded_error"), Busy),
    "Anthropic, rate": (anthropic("rate_limit_error"), Busy),
    "Anthropic, bad request": (anthropic("invalid_request_error"), RequestRejected),
    "TGI": ({"error": "Model is overloaded", "error_type": "overloaded"}, Busy),
    "Gemini": (google(503, "UNAVAILABLE"), Busy),
    "Gemini, in an array": ([google(429, "RESOURCE_EXHAUSTED")], Busy),
    "Ollama": ({"error": "unexpected EOF"}, ProviderFailed),
    "quota": ({"error": {"message": "what", "code": "insufficient_quota"}}, QuotaExceeded),
    "context": ({"error": {"message": "what", "code": "context_length_exceeded"}}, ContextTooLong),
    "model": ({"error": {"message": "what", "code": "model_not_found"}}, UnknownModel),
    "key": ({"error": {"message": "what", "code": 401}}, AuthenticationFailed),
    "Anthropic, key": (anthropic("authentication_error"), AuthenticationFailed),
    "key, by a code": ({"type": "error", "code": "unauthorized", "message": "what"}, AuthenticationFailed),
    "key, in plain words": ({"type": "error", "error": "Invalid token"}, AuthenticationFailed),
    "Mistral": ({"object": "error", "message": "what", "code": 400}, RequestRejected),
    "any truthy value": ({"error": True}, ProviderFailed),
}


@pytest.mark.fault(34)
@pytest.mark.fault(46)
@pytest.mark.parametrize(("document", "cls"), IN_STREAM.values(), ids=IN_STREAM)
def test_an_error_under_status_200_is_an_error(document: object, cls: type[LlmError]) -> None:
    body = error_in(document)

    assert body is not None
    assert type(classify_in_stream(body)) is cls


@pytest.mark.parametrize(
    "document",
    [
        {"choices": [], "error": None},
        {"error": {}, "message": {"role": "assistant"}},
        {"error": ""},
        {"type": "message_start", "message": "hi"},
        {"object": "chat.completion.chunk"},
        [{"generated_text": "error"}],
        [],
        {},
        None,
        "error",
        1,
    ],
)
def test_an_answer_is_not_taken_for_an_error(document: object) -> None:
    assert error_in(document) is None


def test_an_error_under_status_200_has_no_http_status_unless_it_names_one() -> None:
    plain, with_code = error_in({"error": "x"}), error_in({"error": {"code": 502, "message": "x"}})

    assert plain is not None
    assert with_code is not None
    assert classify_in_stream(plain).http_status is None
    assert classify_in_stream(with_code).http_status == 502


# --- what the headers say -------------------------------------------------------------------------

NOW = "Mon, 23 Nov 2026 01:00:00 GMT"


@pytest.mark.fault(26)
@pytest.mark.fault(27)
@pytest.mark.fault(28)
@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "7"}, 7),
        ({"retry-after": "0"}, 0),
        ({"retry-after": " 1.5 "}, 1.5),
        ({"retry-after": ".5"}, 0.5),
        ({"retry-after": "2."}, 2),
        ({"retry-after": "3600"}, 3600),
        ({"retry-after": "99999999999999999999"}, 1e20),
        ({"retry-after": "9" * 5000}, float("inf")),
        ({"retry-after-ms": "1500"}, 1.5),
        ({"retry-after-ms": "20.5"}, 0.0205),
        ({"retry-after-ms": "250", "retry-after": "9"}, 0.25),
        ({"retry-after-ms": "soon", "retry-after": "9"}, 9),
        ({"retry-after-ms": "-1", "retry-after": "9"}, 9),
        ({"retry-after": "Mon, 23 Nov 2026 01:00:30 GMT", "date": NOW}, 30),
        ({"retry-after": "Mon, 23 Nov 2026 02:00:30 +0100", "date": NOW}, 30),
        ({"retry-after": "Mon, 23 Nov 2026 01:00:30 -0000", "date": NOW}, 30),
        ({"retry-after": "Mon, 23 Nov 2026 01:00:30", "date": NOW}, 30),
        ({"retry-after": "Mon, 23 Nov 2026 01:00:30 GMT", "date": "Mon, 23 Nov 2026 01:00:00"}, 30),
        ({"retry-after": "Monday, 23-Nov-26 01:00:30 GMT", "date": NOW}, 30),
        ({"retry-after": "Mon, 23 Nov 2026 00:00:00 GMT", "date": NOW}, 0),
        ({"retry-after": "Tue, 23 Nov 2027 01:00:00 GMT", "date": NOW}, 365 * 24 * 3600),
    ],
)
def test_the_wait_that_a_server_asks_for_is_read_in_every_form(headers: dict[str, str], seconds: float) -> None:
    assert retry_after(headers) == pytest.approx(seconds)


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"retry-after": ""},
        {"retry-after": "-5"},
        {"retry-after": "+5"},
        {"retry-after": "1e3"},
        {"retry-after": "0x10"},
        {"retry-after": "nan"},
        {"retry-after": "inf"},
        {"retry-after": "."},
        {"retry-after": "5, 5"},
        {"retry-after": "٥"},
        {"retry-after": "soon"},
        {"retry-after": "Mon, 23 Nov 2026 01:00:30 GMT"},
        {"retry-after": "Mon, 23 Nov 2026 01:00:30 GMT", "date": "today"},
        {"retry-after": "Mon, 99 Nov 2026 01:00:30 GMT", "date": NOW},
        {"retry-after": "Mon, 23 Nov 99999 01:00:30 GMT", "date": NOW},
        {"retry-after": "Mon, 23 Nov 2026 01:00:30 +9999", "date": NOW},
        {"retry-after": "Mon, 23 Nov 2026 01:00:30 +99999999999999999999", "date": NOW},
        {"date": NOW},
    ],
)
def test_a_wait_that_makes_no_sense_is_none(headers: dict[str, str]) -> None:
    assert retry_after(headers) is None


@given(value=st.text(), date=st.text())
def test_no_header_breaks_the_reading_of_the_wait(value: str, date: str) -> None:
    seconds = retry_after({"retry-after": value, "date": date})

    assert seconds is None or seconds >= 0


def gemini_delay(delay: object) -> object:
    """A 429 of Gemini's with a RetryInfo."""
    return {"error": {"code": 429, "message": "slow down", "details": [{"violations": []}, {"retryDelay": delay}]}}


@pytest.mark.parametrize(
    ("document", "seconds"),
    [
        (gemini_delay("46s"), 46),
        (gemini_delay("46.123456789s"), 46.123456789),
        (gemini_delay("0s"), 0),
        ({"error": "Model x is currently loading", "estimated_time": 20.0}, 20),
        ({"error": "Model x is currently loading", "estimated_time": 20}, 20),
        ({"error": "Model x is currently loading", "estimated_time": 1e20}, 1e20),
        ({"error": "Model x is currently loading", "estimated_time": 10**400}, float("inf")),
    ],
)
def test_the_wait_may_stand_in_the_body(document: object, seconds: float) -> None:
    assert error_of(503, document).retry_after == pytest.approx(seconds)


@pytest.mark.parametrize("delay", ["46", "s", ".s", "1.2.3s", "-5s", "1m", 46, None, ["46s"]])
def test_a_delay_in_the_body_that_makes_no_sense_is_none(delay: object) -> None:
    assert error_of(429, gemini_delay(delay)).retry_after is None


@pytest.mark.parametrize("estimate", [-5, -0.5, "soon", None, True, [], {}])
def test_an_estimate_that_makes_no_sense_is_none(estimate: object) -> None:
    assert error_of(503, {"error": "loading", "estimated_time": estimate}).retry_after is None


def test_the_header_counts_more_than_the_body() -> None:
    error = error_of(429, gemini_delay("46s"), {"retry-after": "0"})

    assert error.retry_after == 0


@pytest.mark.fault(33)
@pytest.mark.parametrize(
    ("word", "retry_ok"), [("true", True), ("False", False), ("false", False), ("maybe", None), ("", None)]
)
def test_the_servers_own_word_on_retrying_is_kept(word: str, retry_ok: bool | None) -> None:
    assert error_of(500, None, {"x-should-retry": word}).retry_ok is retry_ok


def test_without_a_word_on_retrying_there_is_none() -> None:
    assert error_of(500).retry_ok is None


@pytest.mark.parametrize("name", ["x-request-id", "request-id", "x-generation-id", "apim-request-id", "cf-ray"])
def test_the_id_of_the_request_is_kept(name: str) -> None:
    assert error_of(500, None, {"server": "x", name: "r1"}).request_id == "r1"


def test_the_id_of_the_api_counts_more_than_that_of_the_network_in_front_of_it() -> None:
    assert error_of(500, None, {"cf-ray": "r2", "request-id": "r1"}).request_id == "r1"
    assert error_of(500, None, {"server": "x"}).request_id is None
