"""
Files beside the text of a prompt: what they are, by their bytes, and whether a provider takes them. Layer 1: knows
types, errors and the contract; reads nothing.
"""

import re
from base64 import b64encode
from collections.abc import Iterable
from urllib.parse import urlsplit

from llmcli.errors import RequestRejected
from llmcli.provider import Provider
from llmcli.types import Attachment

# Where bytes tell what a file is: each piece has to stand at its place.
_SIGNS: tuple[tuple[str, tuple[tuple[int, bytes], ...]], ...] = (
    ("image/png", ((0, b"\x89PNG\r\n\x1a\n"),)),
    ("image/jpeg", ((0, b"\xff\xd8\xff"),)),
    ("image/gif", ((0, b"GIF87a"),)),
    ("image/gif", ((0, b"GIF89a"),)),
    ("image/webp", ((0, b"RIFF"), (8, b"WEBP"))),
    ("image/bmp", ((0, b"BM"), (6, b"\0\0\0\0"))),
    ("image/tiff", ((0, b"II*\0"),)),
    ("image/tiff", ((0, b"MM\0*"),)),
    ("application/pdf", ((0, b"%PDF-"),)),
    ("audio/wav", ((0, b"RIFF"), (8, b"WAVE"))),
    ("audio/mpeg", ((0, b"ID3"),)),
    ("audio/flac", ((0, b"fLaC"),)),
    ("audio/ogg", ((0, b"OggS"),)),
    ("audio/aiff", ((0, b"FORM"), (8, b"AIF"))),
    ("video/webm", ((0, b"\x1aE\xdf\xa3"),)),
)
_UNFETCHED = b"not fetched: "
_BRANDS = {  # of what begins as MP4 does
    b"avif": "image/avif", b"avis": "image/avif", b"heic": "image/heic", b"heix": "image/heic", b"mif1": "image/heic",
    b"M4A ": "audio/mp4", b"M4B ": "audio/mp4", b"qt  ": "video/quicktime",
}  # fmt: skip
_ENDINGS = {
    "png": "image/png", "jpg": "image/jpeg", "jpeg": "image/jpeg", "gif": "image/gif", "webp": "image/webp",
    "pdf": "application/pdf", "wav": "audio/wav", "mp3": "audio/mpeg",
}  # fmt: skip


def media_type(data: bytes) -> str | None:
    """What a file is, by its first bytes; `None` where they do not tell."""
    for name, signs in _SIGNS:
        if all(data.startswith(sign, at) for at, sign in signs):
            return name
    if data.startswith(b"ftyp", 4):
        return _BRANDS.get(data[8:12], "video/mp4")
    return _sound(data[:4])


def _sound(head: bytes) -> str | None:
    """MPEG audio without a tag in front begins with a frame: eleven bits that are set, a version, a layer, a rate."""
    if len(head) < 4 or head[0] != 0xFF or head[1] & 0xE0 != 0xE0:
        return None
    if head[1] & 0xF6 == 0xF0:
        return "audio/aac"
    version, layer, rate = head[1] >> 3 & 3, head[1] >> 1 & 3, head[2] >> 4
    return "audio/mpeg" if version != 1 and layer == 1 and rate not in (0, 15) else None


def type_of_url(url: str) -> str | None:
    """What a URL leads to, as far as the end of its path tells."""
    return _ENDINGS.get(urlsplit(url).path.rpartition(".")[2].lower())


def name_of_url(url: str) -> str:
    """What a person would call what a URL leads to: the end of its path."""
    return urlsplit(url).path.rpartition("/")[2] or urlsplit(url).netloc


def shown_url(url: str) -> str:
    """A URL for a message: without its query, and without user and password, all of which may give access."""
    return re.sub(r"(?<=//)[^/]*@", "", re.sub(r"[?#].*", "", url, flags=re.DOTALL))


# --- what a provider takes ------------------------------------------------------------------------


def most_bytes(provider: Provider, kind: str | None = None) -> int:
    """The most bytes that an attachment of a media type may have, or of any; 0 where none is taken."""
    if kind is None:
        return max(provider.attachments.values(), default=0)
    return max((most for name, most in provider.attachments.items() if _covers(name, kind)), default=0)


def check(attachment: Attachment, provider: Provider) -> None:
    """Raise `RequestRejected` for what the provider does not take, or not in this size."""
    most = most_bytes(provider, attachment.media_type)
    name = attachment.name or "the attachment"
    if not most:
        taken = ", ".join(provider.attachments) or "none"
        raise RequestRejected(
            f"{provider.config.id} takes no {attachment.media_type} ({name})", hint=f"what it takes: {taken}"
        )
    if len(attachment.data) > most:
        raise RequestRejected(
            f"{name} has {len(attachment.data):,} bytes; {provider.config.id} takes at most {most:,} of "
            f"{attachment.media_type}",
        )


def _covers(name: str, kind: str) -> bool:
    return name in (kind, "*/*") or (name.endswith("/*") and kind.startswith(name[:-1]))


# --- in the place of the bytes --------------------------------------------------------------------


def unfetched(url: str) -> Attachment:
    """What stands for an attachment that would be fetched."""
    return Attachment(type_of_url(url) or "image/png", _UNFETCHED + shown_url(url).encode(), name=name_of_url(url))


def note(attachment: Attachment) -> str:
    """A few words in the place of the bytes: `<image/png, 1,234 bytes>`."""
    if attachment.data.startswith(_UNFETCHED):
        return f"<{attachment.media_type}, fetched from {attachment.data.removeprefix(_UNFETCHED).decode()}>"
    return f"<{attachment.media_type}, {len(attachment.data):,} bytes>"


def without_bytes(text: str, attached: Iterable[Attachment]) -> str:
    """A request's text with a note in the place of each attachment's bytes, which stand in it as base64."""
    for attachment in attached:
        if attachment.data:
            text = text.replace(b64encode(attachment.data).decode(), note(attachment))
    return text
