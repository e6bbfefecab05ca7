"""
Every error that a user can meet, each with its exit status. Layer 0: knows nobody.

    LlmError
    ├── UsageError            2   flags, prompt, URL, input that cannot be read
    ├── ConfigurationError    3   configuration or plugin: missing, broken, incompatible, ambiguous
    │   └── BrokenPlugin
    ├── AuthenticationFailed  4   no key, 401, 403
    ├── RequestRejected       5   bad request, unsupported option
    │   ├── UnknownModel
    │   └── ContextTooLong
    ├── Busy                  6   429, 503, 529 after retries, or a wait over the cap
    ├── NetworkFailed         7   DNS, connect, TLS, proxy, timeout before any output
    │   └── TimedOut
    ├── ProviderFailed        8   5xx, redirect, not an API answer, protocol violation, before any output
    ├── QuotaExceeded         9   quota or billing
    ├── Incomplete           10   output began, then was cut, stalled, failed, or had no end marker
    ├── OutputFailed         11   stdout or the output file could not be written
    ├── FinishedEarly        12   with --strict: finish reason length or content_filter
    └── WrongForm            13   the answer is not of the form asked for

The numbers are stable for ever; new ones only between 14 and 63. 1 is a bug in llmcli and has no class.
"""

from typing import ClassVar

EXIT_STATUSES: dict[int, tuple[str, str, str]] = {
    0: ("ok", "A terminal marker was seen and every byte was written", "use the output"),
    1: ("internal", "A bug in llmcli", "report it"),
    2: ("usage", "Flags, prompt, URL, input that cannot be read", "fix the call"),
    3: ("configuration", "Configuration or plugin: missing, broken, incompatible, ambiguous", "fix the set-up"),
    4: ("authentication", "No key, 401, 403", "fix the key"),
    5: ("rejected", "Bad request, unknown model, too long, unsupported option", "change the request"),
    6: ("busy", "429, 503, 529 after retries, or a wait over the cap", "try later"),
    7: ("network", "DNS, connect, TLS, proxy, timeout before any output", "retry"),
    8: ("provider", "5xx, redirect, not an API answer, protocol violation, before any output", "retry, perhaps"),
    9: ("quota", "Quota or billing", "do not retry"),
    10: ("incomplete", "Output began, then was cut, stalled, failed, or had no end marker", "discard or rerun"),
    11: ("output", "stdout or the output file could not be written", "free space"),
    12: ("finished-early", "With --strict only: finish reason length or content_filter", "ask differently"),
    13: ("form", "The answer is not of the form asked for; stdout stays empty", "ask differently"),
    129: ("sighup", "Ended by SIGHUP, really re-raised", "-"),
    130: ("sigint", "Ended by SIGINT (Ctrl-C), really re-raised", "-"),
    141: ("sigpipe", "The reader of stdout went away (`| head -1`)", "-"),
    143: ("sigterm", "Ended by SIGTERM, really re-raised", "-"),
}


class LlmError(Exception):
    """
    The base of all: one line that says what happened, and at most one that says what to do next.

    `retryable`: the same request may work later; it need be said only where an error differs from its class.
    `retry_after`: seconds, as the provider said. `retry_ok`: the provider's own word (`x-should-retry`), which beats
    every rule of ours; `None` when it said nothing. `retry_once`: asking again may help, but hardly twice.
    """

    status: ClassVar[int] = 1
    retryable: bool = False
    retry_once: bool = False

    def __init__(
        self,
        message: str,
        *,
        hint: str | None = None,
        provider: str | None = None,
        http_status: int | None = None,
        request_id: str | None = None,
        retry_after: float | None = None,
        retry_ok: bool | None = None,
        retryable: bool | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.provider = provider
        self.http_status = http_status
        self.request_id = request_id
        self.retry_after = retry_after
        self.retry_ok = retry_ok
        self.bytes_out = 0
        if retryable is not None:
            self.retryable = retryable

    @property
    def name(self) -> str:
        """The name of the exit status, as `docs/exit-status.md` lists it."""
        return EXIT_STATUSES[self.status][0]


class UsageError(LlmError):
    """The call itself is wrong; nothing was sent."""

    status = 2


class ConfigurationError(LlmError):
    """Something about the set-up is wrong: a file, a key in it, a provider's name, a plugin."""

    status = 3


class BrokenPlugin(ConfigurationError):
    """A plugin cannot be loaded or set up, by its own fault; the message says whose."""


class AuthenticationFailed(LlmError):
    """There is no key, or the provider does not accept it."""

    status = 4


class RequestRejected(LlmError):
    """
    The provider (or we, on its behalf) cannot do what was asked.

    `parameter` is the wire name of the parameter that was refused, when the answer says so.
    """

    status = 5
    parameter: str | None = None


class UnknownModel(RequestRejected):
    """The provider has no such model."""


class ContextTooLong(RequestRejected):
    """The prompt does not fit the model's context."""


class Busy(LlmError):
    """The provider asks to come back later."""

    status = 6
    retryable = True


class NetworkFailed(LlmError):
    """
    No answer reached us. `sent` is False while it is certain that the request was not sent, so that asking again
    cannot bill twice.
    """

    status = 7
    retryable = True
    sent: bool = True


class TimedOut(NetworkFailed):
    """One of the four timeouts passed before any output."""


class ProviderFailed(LlmError):
    """The provider answered, but not with an answer."""

    status = 8
    retryable = True


class QuotaExceeded(LlmError):
    """Credit, plan or spend limit is used up; waiting does not help."""

    status = 9


class Incomplete(LlmError):
    """Output began, and then the rest did not come."""

    status = 10
    retryable = True


class OutputFailed(LlmError):
    """The answer could not be written."""

    status = 11


class FinishedEarly(LlmError):
    """`--strict`: the model stopped for a reason other than having said all."""

    status = 12


class WrongForm(LlmError):
    """The answer does not have the form that was asked for."""

    status = 13
