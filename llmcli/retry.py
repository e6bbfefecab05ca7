"""
What is retried, and how long to wait. Layer 0: knows only errors. The driver does the waiting.
"""

from collections.abc import Callable
from typing import NamedTuple

from llmcli.errors import Busy, LlmError, NetworkFailed

_RETRIED_STATUSES = frozenset({408, 409, 429, 500, 502, 503, 504, 520, 521, 522, 523, 524, 529})
_LAST_DOUBLING = 60  # far above any ceiling, and far below where a float overflows


def _random() -> float:
    from random import random  # only a retry pays for it

    return random()


class RetryPolicy(NamedTuple):
    """
    At most `retries` further attempts, only before the first output.

    A server's own wish (`Retry-After`) is obeyed to the second, also when it is zero, up to `max_wait` seconds; a
    longer one ends the attempts at once. Otherwise full jitter on 0.5 s * 2^n up to 8 s, so that thirty processes do
    not come back together. What may help only once (`retry_once`) is tried once more, whatever else failed before.
    """

    retries: int = 2
    max_wait: float = 60.0
    base: float = 0.5
    ceiling: float = 8.0
    jitter: Callable[[], float] = _random

    def pause(self, error: LlmError, attempt: int, alike: int = 1) -> float | None:
        """
        Seconds to wait before attempt number `attempt` + 1 (counted from 1), or `None`: do not try again. `alike`: how
        many of the attempts have ended with an error that is worth one more.

        Raises `Busy` when the server asks for a longer wait than `max_wait`.
        """
        if not self._may_help(error) or attempt > self.retries or (error.retry_once and alike > 1):
            return None
        if error.retry_after is not None:
            if error.retry_after > self.max_wait:
                raise _too_long(error, self.max_wait) from error
            return max(0.0, error.retry_after)
        return self.jitter() * min(self.base * 2.0 ** min(attempt - 1, _LAST_DOUBLING), self.ceiling, self.max_wait)

    @staticmethod
    def _may_help(error: LlmError) -> bool:
        if error.retry_once:
            return True
        if error.retry_ok is not None:
            return error.retry_ok
        if isinstance(error, NetworkFailed):
            return error.retryable and not error.sent
        return error.retryable and (isinstance(error, Busy) or error.http_status in _RETRIED_STATUSES)


def _too_long(error: LlmError, max_wait: float) -> Busy:
    return Busy(
        f"{error.message}; it asks for a wait of {error.retry_after:g} s, more than the {max_wait:g} s allowed",
        hint="--retry-max-wait SECONDS waits longer",
        provider=error.provider,
        http_status=error.http_status,
        request_id=error.request_id,
        retry_after=error.retry_after,
    )
