"""
Keeps secrets out of everything that a person or a log reads. Layer 0: knows nobody.

Redaction is by value: whatever text a secret ends up in, and however it was encoded, it is replaced.
"""

import re
import threading
from collections.abc import Iterator, Mapping
from os.path import commonprefix

MASK = "***"
_SHORTEST = 6  # a shorter "secret" would blank out ordinary words
_RUN = r"[\w\-*]+"  # what a starred-out key is made of
_AFTER_A_CUT = tuple(" \t\r\n…\"'`;,)]\\")  # what may follow a text whose end was cut off; \ begins JSON's escapes
_BEFORE_A_CUT = ("…", r"\u2026")  # what we write where a beginning was cut off, and how JSON may write that
_SECRET_HEADERS = ("authorization", "proxy-authorization", "x-api-key", "api-key", "x-goog-api-key", "cookie",
                   "set-cookie")  # fmt: skip


class Redactor:
    """
    Knows the secrets of this process. `add` each as soon as it is read, from any thread; `clean` every text that is
    shown.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._forms: list[str] = []  # the longest first; replaced as a whole, for others read it meanwhile
        self._ends: list[tuple[str, str]] = []
        self._headers = set(_SECRET_HEADERS)
        self._parameters: set[str] = set()  # as patterns

    def add(self, secret: str) -> None:
        """Remember a secret, with the forms that it takes in URLs, JSON and Basic authentication."""
        if len(secret) < _SHORTEST:
            return
        with self._lock:
            self._forms = sorted({*self._forms, *_forms(secret)}, key=len, reverse=True)
            self._ends.append((secret[:3], secret[-4:]))

    def add_header(self, name: str) -> None:
        """Remember a header that holds a secret, however short that is."""
        self._headers.add(name.lower())

    def add_parameter(self, name: str) -> None:
        """Remember a parameter of a URL's query that holds a secret, however short that is."""
        from urllib.parse import quote

        self._parameters.add(re.escape(quote(name, safe="")))

    def clean(self, text: str) -> str:
        """The text with every known secret replaced, and what is left of one where the text was cut."""
        if self._parameters:
            text = re.sub(rf"([?&](?:{'|'.join(self._parameters)})=)[^&#\s\"'\\]+", rf"\1{MASK}", text)
        forms = self._forms
        for form in forms:
            if form in text:
                text = text.replace(form, MASK)
        for form in forms:
            text = _without_start(text, form, _AFTER_A_CUT)
            text = _without_end(text, form)
        if self._ends and "*" in text:
            text = re.sub(_RUN, self._without_echo, text)
        return text

    def clean_headers(self, headers: Mapping[str, str]) -> dict[str, str]:
        """The headers, without the values of those that hold a secret."""
        return {name: MASK if name.lower() in self._headers else value for name, value in headers.items()}

    def _without_echo(self, run: re.Match[str]) -> str:
        """Services echo a key with its middle starred out; the ends are nobody's business either."""
        head, star, rest = run[0].partition("*")
        tail = rest.rpartition("*")[2]
        if star and any(first in head or tail.endswith(last) for first, last in self._ends):
            return MASK
        return run[0]


def _without_start(text: str, form: str, borders: tuple[str, ...]) -> str:
    """The text without the starts of a form that the end of the text or one of the borders cuts off."""
    head = form[:_SHORTEST]
    pieces: list[str] = []
    done, start = 0, text.find(head)
    while start >= 0:
        end = start + len(commonprefix((form, text[start : start + len(form)])))  # noqa: RUF071 - these are no paths
        if end == len(text) or text.startswith(borders, end):
            pieces += (text[done:start], MASK)
            done = end
        start = text.find(head, max(done, start + 1))
    return "".join((*pieces, text[done:]))


def _without_end(text: str, form: str) -> str:
    """The text without the ends of a form that follow a cut: a start of it, read backwards."""
    if form[-_SHORTEST:] not in text:
        return text
    borders = tuple(border[::-1] for border in _BEFORE_A_CUT)
    return _without_start(text[::-1], form[::-1], borders)[::-1]


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
