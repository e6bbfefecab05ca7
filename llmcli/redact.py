"""
Keeps secrets out of everything that a person or a log reads. Layer 0: knows nobody.

Redaction is by value: whatever text a secret ends up in, and however it was encoded, it is replaced.
"""

import re
from collections.abc import Iterator

MASK = "***"
_SHORTEST = 6  # a shorter "secret" would blank out ordinary words
_RUN = r"[\w\-*]+"  # what a starred-out key is made of


class Redactor:
    """Knows the secrets of this process. `add` each as soon as it is read; `clean` every text that is shown."""

    def __init__(self) -> None:
        self._forms: list[str] = []  # the longest first
        self._ends: list[tuple[str, str]] = []

    def add(self, secret: str) -> None:
        """Remember a secret, with the forms that it takes in URLs, JSON and Basic authentication."""
        if len(secret) < _SHORTEST:
            return
        self._forms = sorted({*self._forms, *_forms(secret)}, key=len, reverse=True)
        self._ends.append((secret[:3], secret[-4:]))

    def clean(self, text: str) -> str:
        """The text with every known secret replaced."""
        for form in self._forms:
            if form in text:
                text = text.replace(form, MASK)
        if self._ends and "*" in text:
            text = re.sub(_RUN, self._without_echo, text)
        return text

    def _without_echo(self, run: re.Match[str]) -> str:
        """Services echo a key with its middle starred out; the ends are nobody's business either."""
        head, star, rest = run[0].partition("*")
        tail = rest.rpartition("*")[2]
        if star and any(first in head or tail.endswith(last) for first, last in self._ends):
            return MASK
        return run[0]


def _forms(secret: str) -> Iterator[str]:
    from base64 import b64encode
    from json import dumps
    from urllib.parse import quote, quote_plus

    raw = secret.encode("utf-8", "surrogateescape")  # the environment may hold what is no UTF-8
    yield secret
    yield from (quote(raw, safe=""), quote(raw), quote_plus(raw))
    yield from (dumps(secret)[1:-1], dumps(secret, ensure_ascii=False)[1:-1])
    yield secret.encode("unicode_escape").decode()
    # Base64 of a text that contains the secret depends on where it begins; these parts do not.
    for skip in range(3):
        encoded = b64encode(bytes(skip) + raw).decode().rstrip("=")
        part = encoded[(0, 2, 3)[skip] : -1 if (len(raw) + skip) % 3 else None]
        yield from (part, part.replace("+", "-").replace("/", "_"))
