"""
The `errors` of a GraphQL result -> one of our errors.

A GraphQL server says under any HTTP status, mostly 200, what went wrong; what it means stands in the code that it puts
into `extensions`, if it does. The code decides; without one, the HTTP status does.
"""

import re
from collections.abc import Iterator, Mapping

from llmcli import http_errors
from llmcli.errors import ConfigurationError, LlmError, ProviderFailed
from llmcli.framing import as_object, as_text
from llmcli.http_errors import ErrorBody
from llmcli.types import NOTHING, Json

STATUS_OF_CODE: Mapping[str, int] = {
    **dict.fromkeys(("UNAUTHENTICATED", "UNAUTHORIZED", "INVALID_JWT", "INVALID_API_KEY"), 401),
    **dict.fromkeys(("FORBIDDEN", "ACCESS_DENIED", "PERMISSION_DENIED"), 403),
    **dict.fromkeys(("RATE_LIMITED", "RATE_LIMIT", "RATE_LIMIT_EXCEEDED", "TOO_MANY_REQUESTS", "THROTTLED"), 429),
    **dict.fromkeys(("PAYMENT_REQUIRED", "QUOTA_EXCEEDED", "INSUFFICIENT_CREDITS"), 402),
    **dict.fromkeys(("BAD_USER_INPUT", "BAD_REQUEST", "NOT_FOUND", "VALIDATION_ERROR", "INVALID_SYNTAX"), 400),
    **dict.fromkeys(("GRAPHQL_PARSE_FAILED", "GRAPHQL_VALIDATION_FAILED", "VALIDATION_FAILED", "PARSE_FAILED"), 400),
    **dict.fromkeys(("PERSISTED_QUERY_NOT_FOUND", "PERSISTED_QUERY_NOT_SUPPORTED"), 400),
    **dict.fromkeys(("OPERATION_RESOLUTION_FAILURE", "CONTEXT_LENGTH_EXCEEDED", "MODEL_NOT_FOUND"), 400),
    **dict.fromkeys(("INTERNAL_SERVER_ERROR", "INTERNAL_ERROR", "DATA_FETCHING_EXCEPTION"), 500),
    **dict.fromkeys(("SERVICE_UNAVAILABLE", "OVERLOADED"), 503),
    **dict.fromkeys(("TIMEOUT", "GATEWAY_TIMEOUT"), 504),
}
"""The HTTP status that a code stands for. Servers write one code in many ways; `_plain` makes them one."""

_IN_EXTENSIONS = ("code", "classification", "errorType", "statusCode", "status")
_IN_ERROR = ("code", "errorType", "type")


class Codes:
    """
    What the codes of an API mean: the ones that are known, and over them those of `error_codes` in the configuration.
    Raises `ConfigurationError` for one that is no status of an error.
    """

    def __init__(self, own: Mapping[str, Json], place: str) -> None:
        self._statuses = {_plain(code): status for code, status in STATUS_OF_CODE.items()}
        for code, status in own.items():
            if type(status) is not int or not 400 <= status <= 599:
                raise ConfigurationError(f"{place}.{code} should be the status of an error (400 to 599), not {status}")
            self._statuses[_plain(code)] = status

    def error(self, errors: Json, *, status: int = 200, headers: Mapping[str, str] = NOTHING) -> LlmError:
        """The error that the `errors` of a result are: the first whose code is known, else the first of them."""
        listed = _listed(errors)
        if not listed:
            return ProviderFailed("the provider reports an error without a word about it", http_status=status)
        chosen = next((each for each in listed if self._status(each)), listed[0])
        message = as_text(chosen.get("message")).strip() or "no explanation"
        codes = tuple(_codes(chosen))
        described = "".join(
            [
                message,
                f" ({codes[0]})" if codes else "",
                f", and {len(listed) - 1} more" if len(listed) > 1 else "",
            ]
        )
        return http_errors.classify(self._status(chosen) or status, ErrorBody(described, codes), headers)

    def _status(self, error: Mapping[str, Json]) -> int | None:
        for code in _codes(error):
            if re.fullmatch("[45][0-9][0-9]", code):
                return int(code)
            if (known := self._statuses.get(_plain(code))) is not None:
                return known
        # Without a path nothing was executed; with a place in the document, it is the document that is wrong.
        return 400 if error.get("locations") and not error.get("path") else None


def _listed(errors: Json) -> list[Mapping[str, Json]]:
    """The errors as the specification wants them; some servers write texts, or one instead of a list."""
    items = errors if isinstance(errors, list) else [errors]
    return [item if isinstance(item, dict) else {"message": str(item)} for item in items if item]


def _codes(error: Mapping[str, Json]) -> Iterator[str]:
    extensions = as_object(error.get("extensions"))
    found = [extensions.get(name) for name in _IN_EXTENSIONS] + [error.get(name) for name in _IN_ERROR]
    return (str(code) for code in found if isinstance(code, str | int) and code)


def _plain(code: str) -> str:
    """`RATE_LIMITED`, `rate-limited` and `RateLimited` are one code."""
    return re.sub("[^A-Z0-9]", "", code.upper())
