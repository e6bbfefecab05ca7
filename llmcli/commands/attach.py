"""
`-a`: files, stdin and URLs become attachments. Layer 3.

A provider that fetches pictures itself is handed their URLs. Anything else we fetch, from where the name leads at that
moment and nowhere else. A script may be handed its URLs by strangers, so what only this machine can reach is refused
unless the user says otherwise, and no redirect is followed.
"""

import os
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from errno import EACCES
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from llmcli import attachments
from llmcli.deadlines import Deadlines
from llmcli.errors import (
    LlmError,
    NetworkFailed,
    ProviderFailed,
    RequestRejected,
    TimedOut,
    UsageError,
)
from llmcli.provider import Provider
from llmcli.transport import Log, Resolver, Response, Transport, no_log
from llmcli.types import Attachment, HttpRequest, Timeouts
from llmcli.world import World

_SECONDS = 60.0  # that fetching may take
_LONGEST_LOOK_UP = 5.0  # seconds, of a name that a proxy will resolve by itself
_URL = re.compile(r"(https?)://(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+)(?::(\d{1,5}))?(?:[/?][!-\[\]-~]*)?")
_GLOBAL_UNICAST = "2000::/3"  # all of IPv6 that has been given to anybody
_HOST_OF_AZURE = "168.63.129.16"  # public by its number only: what is inside a virtual machine's host answers there
# Beside what Python's table has, which differs from version to version: numbers for protocols (some clouds tell secrets
# at one of them), an anycast that is no more, and what is for documents.
_SPECIAL = ("192.0.0.0/24", "192.88.99.0/24", "3fff::/20")
_IPV4_INSIDE = ("64:ff9b::/96", "::/96")  # whose last four bytes are an address of IPv4


class Fetching(NamedTuple):
    """
    How URLs are fetched. `private`: always by us, and also from addresses that are not everybody's. `seconds`: how
    long it may take. With `off` (a dry run) nothing is fetched, and a note stands where the bytes would.
    """

    private: bool = False
    off: bool = False
    ca_bundle: str | None = None
    seconds: float = _SECONDS
    log: Log = no_log
    resolve: Resolver = socket.getaddrinfo


def in_time(how: Fetching, total: float | None, world: World) -> Fetching:
    """The same, in what is left of the total timeout, which counts from the start of the process."""
    if total is None:
        return how
    return how._replace(seconds=min(how.seconds, max(0.0, world.started + total - time.monotonic())))


class Attached:
    """
    What `-a` names. Files (and stdin, `-`) are read at once, each URL when a provider is asked that does not fetch it
    itself.
    """

    def __init__(
        self, words: Sequence[str], world: World, *, read: Callable[[str], bytes], fetching: Fetching
    ) -> None:  # fmt: skip
        self._world = world
        self._fetching = fetching
        self._sources = [_checked_url(word) if _is_url(word) else _read(word, read) for word in words]
        self._fetched: dict[str, Attachment] = {}

    def parts(self, provider: Provider) -> tuple[Attachment, ...]:
        """
        The attachments as this provider takes them. Raises `RequestRejected` for what it does not take, `UsageError`
        for what cannot be fetched, `NetworkFailed` where that may be otherwise later.
        """
        if self._sources and not provider.attachments:
            raise RequestRejected(f"{provider.config.id} takes no attachments")
        return tuple(self._parts(provider))

    def _parts(self, provider: Provider) -> Iterator[Attachment]:
        for source in self._sources:
            part = source if isinstance(source, Attachment) else self._of_url(source, provider)
            attachments.check(part, provider)
            yield part

    def _of_url(self, url: str, provider: Provider) -> Attachment:
        kind = attachments.type_of_url(url) or ""
        name = attachments.name_of_url(url)
        # Some of those who fetch pictures themselves take other files by their bytes only.
        if _fetches(provider) and kind.startswith("image/") and not self._fetching.private:
            return Attachment(kind, url=url, name=name)
        if self._fetching.off:
            return attachments.unfetched(url)
        if url not in self._fetched:
            data = fetch(url, attachments.most_bytes(provider), self._world, self._fetching)
            self._fetched[url] = _typed(data, name, attachments.shown_url(url))
        return self._fetched[url]


def _fetches(provider: Provider) -> bool:
    """
    Whether a service fetches URLs, which is then its maker's concern. A server of the user's own, at an address of the
    user's own, would fetch from inside the user's network.
    """
    theirs, used = type(provider).default_base_url, provider.config.base_url
    moved = theirs is not None and used is not None and urlsplit(used).hostname != urlsplit(theirs).hostname
    return provider.attachment_urls and not moved


def _is_url(word: str) -> bool:
    return "://" in word or word.startswith("data:")


# --- files ----------------------------------------------------------------------------------------


def _read(path: str, read: Callable[[str], bytes]) -> Attachment:
    if path == "-":
        return _typed(read(path), "stdin", "stdin")
    name = os.fsencode(os.path.basename(path)).decode("utf-8", "replace")  # it goes into the request
    return _typed(read(path), name, path)


def _typed(data: bytes, name: str, place: str) -> Attachment:
    kind = attachments.media_type(data)
    if not data:
        raise UsageError(f"{place} is empty, and cannot be attached")
    if kind is None:
        raise UsageError(
            f"{place} is no image, sound or PDF that could be attached",
            hint="-f, or /file in a conversation, adds a text file",
        )
    return Attachment(kind, data, name=name)


# --- URLs -----------------------------------------------------------------------------------------


def _checked_url(word: str) -> str:
    """
    A URL that means the same to whoever reads it. What two parsers may take apart differently (user and password,
    backslashes, other characters than ASCII) is refused.
    """
    scheme, colon, rest = word.partition(":")
    if scheme.lower() not in ("http", "https"):
        raise UsageError(f"-a {scheme}{colon} only http and https are fetched", hint="a file is named by its path")
    url = f"{scheme.lower()}:{rest}".partition("#")[0]
    found = _URL.fullmatch(url)
    if found is None or not 0 < int(found[3] or 80) < 65536 or not _is_host(found[2]):
        raise UsageError(
            f"-a {attachments.shown_url(url)} is no URL that can be fetched",
            hint="it has no user and password, and other characters than ASCII stand in it as %XX",
        )
    return url


def _is_host(text: str) -> bool:
    """Whether what stands in brackets is an address of IPv6."""
    from ipaddress import IPv6Address

    try:
        return not text.startswith("[") or bool(IPv6Address(text[1:-1]))
    except ValueError:
        return False


def fetch(url: str, most: int, world: World, how: Fetching) -> bytes:
    """
    What a URL leads to. Nothing but the request itself is sent. Raises `UsageError` where there is nothing that could
    be attached, `NetworkFailed` or `ProviderFailed` where the server does not give what it has.
    """
    shown = attachments.shown_url(url)
    exchange = _Exchange(how)
    try:
        return exchange.get(url, most, world)
    except LlmError as exc:
        if exchange.refused is not None:
            raise _refusal(shown, exchange.refused) from None
        if exchange.location is not None:
            raise _redirected(shown, exchange.location) from None
        if isinstance(exc, TimedOut) and how.seconds >= _SECONDS:
            exc.hint = "download it, and attach the file"  # no option allows more
        exc.message = f"cannot fetch {shown}: {exc.message}"
        raise


def _redirected(url: str, location: str) -> UsageError:
    return UsageError(
        f"cannot fetch {url}: it redirects to {location}, and no redirect is followed",
        hint="attach that, if it is the right one",
    )


def _refusal(url: str, address: str) -> UsageError:
    return UsageError(
        f"refusing to fetch {url}: {address} is not an address of the public internet",
        hint="--attach-private fetches from this machine and its network too",
    )


class _Exchange:
    """
    One fetch. It resolves names for the transport, which connects to the addresses that it is given here and asks
    nobody again; so what was looked at is what is connected to.

    `refused` is the address for which nothing was connected, `location` where the server would send us instead.
    """

    def __init__(self, how: Fetching) -> None:
        self._how = how
        self.refused: str | None = None
        self.location: str | None = None

    def get(self, url: str, most: int, world: World) -> bytes:
        """The body. Raises whatever the transport does."""
        transport = Transport(env=world.env, ca_bundle=self._how.ca_bundle, log=self._log, resolve=self._resolve)
        if transport.proxy(url) is not None:
            self._check_behind_proxy(url)
            transport = Transport(env=world.env, ca_bundle=self._how.ca_bundle, log=self._log)
        deadlines = Deadlines(Timeouts(first=None, idle=None, total=self._how.seconds), started=time.monotonic())
        request = HttpRequest("GET", url, {"Accept": "image/*, audio/*, application/pdf"})
        with transport.send(request, deadlines) as answer:
            if answer.status != 200:
                kind = ProviderFailed if answer.status >= 500 else UsageError
                raise kind(f"the server answers with status {answer.status}")
            return _whole(answer, most)

    def _log(self, event: str, /, **fields: Any) -> None:
        if event == "response" and 300 <= fields["status"] < 400:
            self.location = attachments.shown_url(fields["headers"].get("location", "nowhere"))
        if "url" in fields:  # a signed one is a key to what it leads to
            fields["url"] = attachments.shown_url(fields["url"])
        self._how.log(event, **fields)

    def _resolve(self, host: bytes, port: int, **options: Any) -> list[tuple[Any, ...]]:
        """See `socket.getaddrinfo`. Raises `OSError` where one of the addresses is refused."""
        found = self._how.resolve(host, port, **options)
        if not self._how.private:
            self.refused = next((entry[4][0] for entry in found if not is_public(entry[4][0])), None)
        if self.refused is not None:
            raise PermissionError(EACCES, f"{self.refused} is refused")
        return found

    def _check_behind_proxy(self, url: str) -> None:
        """
        A proxy resolves by itself, and may reach more than we do; so what leads to a private address as seen from here
        is refused. What cannot be resolved here is the proxy's to judge.
        """
        host = urlsplit(url).hostname or ""

        def look_up() -> None:
            with suppress(OSError):
                self._resolve(host.encode(), 0, type=socket.SOCK_STREAM)

        thread = threading.Thread(target=look_up, daemon=True)
        thread.start()
        thread.join(min(_LONGEST_LOOK_UP, self._how.seconds))
        if thread.is_alive():
            raise NetworkFailed(f"cannot tell where {host} leads: the name service did not answer in time")
        if self.refused is not None:
            raise NetworkFailed(f"{self.refused} is refused")


def _whole(answer: Response, most: int) -> bytes:
    body = bytearray()
    for chunk in answer.chunks():
        body += chunk
        if len(body) > most:
            raise UsageError(f"it is longer than {most:,} bytes")
    return bytes(body)


def is_public(address: str) -> bool:
    """Whether an address is one of the public internet, whatever it is wrapped in."""
    from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

    found = ip_address(address.partition("%")[0])
    if isinstance(found, IPv6Address):
        inner = found.ipv4_mapped or found.sixtofour or (found.teredo[1] if found.teredo else None)
        if inner is None and any(found in ip_network(prefix) for prefix in _IPV4_INSIDE):
            inner = IPv4Address(found.packed[-4:])
        if inner is not None:
            return is_public(str(inner))
        if found not in ip_network(_GLOBAL_UNICAST):
            return False
    special = any(found in ip_network(prefix) for prefix in _SPECIAL)
    return found.is_global and not special and not found.is_multicast and address != _HOST_OF_AZURE
