"""
An error answer of a model API -> one of our errors. Layer 0: knows only types, errors and framing.

Two steps: find the message and the codes in whatever shape the body has (`describe`), then decide by status, refined
by the codes (`classify`). Sources: the error shapes of OpenAI, Anthropic, Google, Mistral, FastAPI, OAuth and the
gateways in front of them; the documentation and the trackers of these services.
"""

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

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
from llmcli.framing import decode_body, parse_json

if TYPE_CHECKING:
    from datetime import datetime

_MESSAGE_LIMIT = 500  # characters of a provider's message that we show
_ENCODED = re.compile(r"[A-Za-z0-9+/=_-]{120,}")  # no words: what a service repeats of a picture, which is private
_SILENT = "no explanation"
_ADDRESS = (404, 405, 406, 410, 415, 426)  # statuses that say that what was asked for is not there
WRONG_ADDRESS = "check the base URL"  # the hint of such an error
_REQUEST_IDS = ("x-request-id", "request-id", "x-generation-id", "apim-request-id", "cf-ray")

# Codes and words, lower case, that decide more than the status does. Checked in this order.
_QUOTA = (
    "insufficient_quota",
    "exceeded_current_quota",
    "credit_balance",
    "spend_limit",
    "organization_usage_limit_exceeded",
    "billing_error",
    "billing_hard_limit",
    "payment_required",
    "insufficient balance",
    "insufficient credits",
    "specified api usage limits",
    "credit balance is too low",
    "api calls / month",
    "perday",
    "limit: 0",
    "1113",
)
_CONTEXT = (
    "context_length_exceeded",
    "exceed_context_size_error",
    "maximum context length",
    "exceeds the available context size",
    "input tokens exceed the configured limit",
    "exceeds the maximum number of tokens allowed",
    "longer than the model's context length",
    "prompt is too long",
    "current length is",
    "context overflow",
    "exceed context limit",
    "exceeds the context length",
    "exceeded max context length",
    "longer than the context length",
    "`inputs` tokens + `max_new_tokens` must be <=",  # text-generation-inference, and Together
    "`inputs` must have less than",
    "too many tokens: ",  # Cohere
)
_MODEL = (
    "model_not_found",
    "model_not_supported",
    "model_decommissioned",
    "model not exist",
    "supported api model names",
    "not supported by any provider",
    "not supported by provider",
    "invalid model",
    "unknown model",
    "model not found",
    "model_not_available",
    "not a valid model",
    "deploymentnotfound",
    "20012",
    "1211",
)
_MODEL_PATTERN = (
    r"(?is)\bmodels?\b.{0,120}(?:does not exist|not found|not available|no longer available)"
    r"|^model: \S+$"  # all that Anthropic says of a model that it does not have
)
_KEY = ("api key not valid", "api_key_invalid", "bad or missing authentication", "invalid api key", "wrong_api_key")
_UNKNOWN_CALLER = (
    "authentication_error",
    "authentication failed",
    "authentication_failed",
    "auth_failed",
    "auth_error",
    "invalid token",
    "invalid_token",
    "not authenticated",
    "unauthenticated",
    "unauthorized",
)  # said under status 200: elsewhere the status says it
_OVERLOAD = ("overloaded", "rate_limit_error", "rate_limit_exceeded")
_BADLY_WRITTEN = "tool_use_failed"  # Groq's: a call that the model wrote wrongly it may write well the next time (P55)
_CODE_NAMES = ("code", "type", "error_type", "status", "reason")
_PARAMETER = (
    r"(?i)(?:unsupported|unknown|unrecognized|extra|not permitted|unexpected|invalid)[^'\"`]{0,60}['\"`]([\w.]+)['\"`]"
)
# What is never closed reaches to the end, so that no page of a hostile server takes more than linear time.
_TAGS = r"(?is)<!--.*?(?:-->|\Z)|<(script|style)\b.*?(?:</\1\s*>|\Z)|<[^<>]*>"


class ErrorBody(NamedTuple):
    """What an error body says: the message for a person, the codes for us, the parameter that it names."""

    message: str
    codes: tuple[str, ...] = ()
    parameter: str | None = None
    status: int | None = None
    retry_after: float | None = None


def read_error(status: int, headers: Mapping[str, str], body: bytes) -> LlmError:
    """
    The error for an answer that is none. `headers` have lower-case names. The message is cut at 500 characters; the
    caller redacts and escapes it.
    """
    return classify(status, describe(body), headers)


def request_id(headers: Mapping[str, str]) -> str | None:
    """The id that the service gave the request, for its support."""
    return next((headers[name] for name in _REQUEST_IDS if name in headers), None)


def error_in(document: object) -> ErrorBody | None:
    """The error that a JSON document reports under status 200 (`{"error": ...}`, at any truthy value), if it does."""
    if isinstance(document, list) and document:
        document = document[0]
    if not isinstance(document, dict):
        return None
    if document.get("error") or document.get("object") == "error" or document.get("type") == "error":
        return _describe_document(document)
    return None


def classify_in_stream(body: ErrorBody) -> LlmError:
    """
    An error that came after status 200: its own code stands for the status where it is one. That something is not
    found is then no word about the address, which was right.
    """
    error = classify(400 if body.status in _ADDRESS else body.status or 200, body, {})
    error.http_status = body.status
    return error


def describe(body: bytes) -> ErrorBody:
    """What an error body says, whatever its shape."""
    text = decode_body(body).strip()
    if text[:1] in "{[" and text:
        try:
            return _describe_document(parse_json(text))
        except ProviderFailed:
            pass
    plain = " ".join(re.sub(_TAGS, " ", text).split()) if "<" in text else text
    return ErrorBody(_cut(plain) or _SILENT)


def _describe_document(document: object) -> ErrorBody:
    if isinstance(document, list):
        document = document[0] if document else {}
    if not isinstance(document, dict):
        return ErrorBody(_cut(_shown(document)).strip() or _SILENT)
    inner = _unpacked(document.get("error"))
    fields = {**document, **inner} if isinstance(inner, dict) else document
    errors = document.get("errors")
    if isinstance(errors, list) and errors and isinstance(errors[0], dict):
        fields = {**fields, **errors[0]}
    message = _first_text(
        inner if isinstance(inner, str) and not document.get("error_description") else None,
        *(fields.get(name) for name in ("message", "msg", "detail", "error_description", "error", "errors")),
    )
    details = fields.get("details")
    codes = [_shown(fields[name]) for name in _CODE_NAMES if fields.get(name) is not None]
    if isinstance(inner, str):
        codes.append(inner)
    if isinstance(details, dict):
        codes += [_shown(value) for value in details.values()]
    elif isinstance(details, list):
        codes.append(_shown(details))
    metadata = fields.get("metadata")
    if isinstance(metadata, dict) and isinstance(metadata.get("raw"), str):
        message = f"{message}: {metadata['raw']}" if message else metadata["raw"]
    parameter = fields.get("param")
    named = re.search(_PARAMETER, message)
    return ErrorBody(
        _cut(message or (_shown(document) if document else "")) or _SILENT,
        tuple(codes),
        parameter if isinstance(parameter, str) and parameter else named.group(1) if named else None,
        next((int(code) for code in codes if re.fullmatch("[45][0-9][0-9]", code)), None),
        _retry_hint(details, fields),
    )


def _unpacked(inner: object) -> object:
    """Ollama hands on what llama.cpp answered as a string of JSON; what is in it is the error."""
    if isinstance(inner, str) and inner.startswith("{"):
        try:
            document = parse_json(inner)
        except ProviderFailed:
            return inner
        if isinstance(document, dict):
            return document.get("error") or document
    return inner


def _first_text(*candidates: object) -> str:
    for candidate in candidates:
        if isinstance(candidate, str) and candidate.strip():
            return candidate.strip()
        if isinstance(candidate, list) and candidate:
            return _first_of(candidate)
        if isinstance(candidate, dict) and (text := _text_in(candidate)):
            return text
    return ""


def _first_of(items: list[object]) -> str:
    """FastAPI's list of what is wrong, with the place of the first; or a plain list of sentences."""
    first = items[0]
    if isinstance(first, dict) and (text := _text_in(first)):
        steps = first.get("loc")
        where = ".".join(str(step) for step in steps) if isinstance(steps, list) else ""
        return f"{where}: {text}" if where else text
    return "; ".join(_shown(item) for item in items)


def _shown(value: object) -> str:
    """Whatever a service has put where a text should stand; it may be nested as deeply as it likes."""
    try:
        return str(value)
    except RecursionError:
        return ""


def _text_in(fields: Mapping[str, object]) -> str:
    texts = (fields.get(name) for name in ("msg", "message", "error"))
    return next((text for text in texts if isinstance(text, str) and text.strip()), "")


def _retry_hint(details: object, fields: Mapping[str, object]) -> float | None:
    """Google's RetryInfo and Hugging Face's estimated_time, in seconds."""
    for detail in details if isinstance(details, list) else []:
        delay = detail.get("retryDelay") if isinstance(detail, dict) else None
        if isinstance(delay, str) and delay.endswith("s"):
            return _number(delay[:-1])
    estimated = fields.get("estimated_time")
    return _number(f"{estimated:f}" if isinstance(estimated, float) else str(estimated))


def classify(status: int, body: ErrorBody, headers: Mapping[str, str]) -> LlmError:
    """
    The error class for a status, refined by what the body says. An unrecognised 429 is a rate limit.

    `status` may be 200 for an error inside a stream.
    """
    codes = " ".join(body.codes).lower()
    words = f"{codes} {body.message.lower()}"
    context = {
        "http_status": status if status >= 300 else None,
        "request_id": request_id(headers),
        "retry_after": retry_after(headers) if retry_after(headers) is not None else body.retry_after,
        "retry_ok": {"true": True, "false": False}.get(headers.get("x-should-retry", "").lower()),
    }

    def made(error: type[LlmError], message: str | None = None, hint: str | None = None) -> LlmError:
        return error(message or body.message, hint=hint, **context)  # type: ignore[arg-type]  # mypy joins the values

    def said(listed: tuple[str, ...]) -> bool:
        # A number is a code only where codes stand: in a message it would be a part of some count of tokens.
        return any(word in (body.codes if word.isdigit() else words) for word in listed)

    if status == 402 or (said(_QUOTA) and status in (200, 400, 403, 429)):
        return made(
            QuotaExceeded,
            f"quota or credit is used up: {body.message}",
            "waiting does not help; see the provider's billing page",
        )
    if status in (200, 400, 413, 422) and said(_CONTEXT):
        return made(ContextTooLong, f"the prompt is too long for the model: {body.message}")
    refused = (status in (200, 400) and said(_KEY)) or (status == 200 and said(_UNKNOWN_CALLER))
    if status in (401, 498) or refused:
        return made(AuthenticationFailed, f"the provider does not accept the key: {body.message}")
    if status == 403:
        return made(AuthenticationFailed, f"the provider refuses this key or region: {body.message}")
    described = status in (400, 404) and re.search(_MODEL_PATTERN, body.message)
    if described or (status in (200, 400, 404) and said(_MODEL)):
        return made(UnknownModel, f"unknown model: {body.message}", "llmcli models lists what there is")
    if status == 404:
        return made(RequestRejected, f"no such address: {body.message}", WRONG_ADDRESS)
    if status in _ADDRESS:
        return made(RequestRejected, f"HTTP {status}: {body.message}", WRONG_ADDRESS)
    if status in (408, 409, 424, 499):  # what went wrong lies behind the server, not in the request
        return made(ProviderFailed, f"HTTP {status}: {body.message}")
    if status in (429, 503, 529) or ((status == 200 or status >= 500) and any(word in codes for word in _OVERLOAD)):
        return made(Busy, f"the provider is busy: {body.message}")
    if 400 <= status < 500 or "invalid_request" in codes or _BADLY_WRITTEN in body.codes:
        rejected = made(RequestRejected, f"HTTP {status}: {_SILENT}" if body.message == _SILENT else None)
        if isinstance(rejected, RequestRejected):
            rejected.parameter = body.parameter
        rejected.retry_once = _BADLY_WRITTEN in body.codes and rejected.retry_ok is None
        return rejected
    if status >= 500:
        return made(ProviderFailed, f"HTTP {status}: {body.message}")
    return made(ProviderFailed, f"the provider reports an error: {body.message}")


def retry_after(headers: Mapping[str, str]) -> float | None:
    """
    Seconds that the server asks to wait: `retry-after-ms`, then `retry-after` as seconds or as an HTTP date.

    A date is counted from the server's own `Date` header, because our clock may be wrong.
    """
    milliseconds = _number(headers.get("retry-after-ms"))
    if milliseconds is not None:
        return milliseconds / 1000
    value = headers.get("retry-after")
    seconds = _number(value)
    if seconds is not None or value is None:
        return seconds
    then, now = _date(value), _date(headers.get("date", ""))
    if then is None or now is None:
        return None
    return max(0.0, (then - now).total_seconds())


def _number(value: str | None) -> float | None:
    """A number that is not negative; one too large for a float is infinite, so that it counts as too long."""
    if value is None or not re.fullmatch(r"\s*([0-9]+(\.[0-9]*)?|\.[0-9]+)\s*", value):
        return None
    return float(value)


def _date(value: str) -> "datetime | None":
    from datetime import UTC
    from email.utils import parsedate_to_datetime  # six milliseconds of start-up that only a date needs

    try:
        date = parsedate_to_datetime(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return date if date.tzinfo else date.replace(tzinfo=UTC)


def _cut(text: str) -> str:
    text = _ENCODED.sub(lambda found: f"<{len(found[0]):,} characters>", text)
    return text if len(text) <= _MESSAGE_LIMIT else text[:_MESSAGE_LIMIT] + "…"
