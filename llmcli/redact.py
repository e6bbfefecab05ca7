"""
Keeps secrets out of everything that a person or a log reads. Layer 0: knows nobody.

Redaction is by value: whatever text a secret ends up in, and however it was encoded, it is replaced.
"""

import re

MASK = "***"
_SHORTEST = 6  # a shorter "secret" would blank out ordinary words


class Redactor:
    """Knows the secrets of this process. `add` each as soon as it is read; `clean` every text that is shown."""

    def __init__(self) -> None:
        self._forms: set[str] = set()
        self._echoes: list[re.Pattern[str]] = []

    def add(self, secret: str) -> None:
        """Remember a secret, with the forms that it takes in URLs, JSON and Basic authentication."""
        if len(secret) < _SHORTEST:
            return
        from base64 import b64encode
        from urllib.parse import quote

        raw = secret.encode()
        self._forms |= {secret, quote(secret, safe=""), secret.encode("unicode_escape").decode()}
        # Base64 of a text that contains the secret depends on where it begins; these parts do not.
        for skip in range(3):
            encoded = b64encode(bytes(skip) + raw).decode().rstrip("=")
            self._forms.add(encoded[(0, 2, 3)[skip] : -1 if (len(raw) + skip) % 3 else None])
        # Services echo a key with its middle starred out; the ends are nobody's business either.
        self._echoes.append(
            re.compile(rf"{re.escape(secret[:3])}[\w\-]*\*+[\w\-*]*|[\w\-*]*\*+[\w\-]*{re.escape(secret[-4:])}")
        )

    def clean(self, text: str) -> str:
        """The text with every known secret replaced."""
        for form in sorted(self._forms, key=len, reverse=True):
            if form in text:
                text = text.replace(form, MASK)
        for echo in self._echoes:
            text = echo.sub(MASK, text)
        return text
