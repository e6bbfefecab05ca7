"""
The only door to the network. Layer 1: knows types, errors and deadlines; it does not know providers.

It drives httpcore, the engine of httpx, directly: that is where deadlines can be put under every single operation,
and it starts in 0.6 of the time of a whole `httpx.Client`. httpx itself is loaded only for what stands above the
engine and is rarely needed: decoding an answer that a server compressed although it was asked not to.

Everything that the HTTP library raises becomes one of our errors here, and only here.
"""

import errno
import os
import re
import socket
import ssl
import threading
import time
from base64 import b64encode
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import closing, contextmanager
from functools import cache
from typing import Any, NamedTuple, Protocol, TypeAlias, cast

import httpcore

from llmcli import __version__, signals
from llmcli.deadlines import Deadlines
from llmcli.errors import ConfigurationError, LlmError, NetworkFailed, ProviderFailed, TimedOut, UsageError
from llmcli.types import HttpRequest

_Chunks: TypeAlias = Generator[bytes, None, None]

WHOLE_LIMIT = 64 * 1024 * 1024  # bytes of an answer that comes whole
ERROR_LIMIT = 256 * 1024  # bytes of an error answer that are read
_READ_SIZE = 64 * 1024  # bytes of an upgraded connection that are taken at once
_SLICE = 0.1  # seconds that an upgraded connection is waited for without looking up
# Seconds that we wait at once. A signal that comes in the moment before we wait is heard after it.
_GLANCE = 0.25
_WRITE_SIZE = 64 * 1024
_GZIP = b"\x1f\x8b"  # how every gzip file begins
_LIBRARIES = {"br": ("brotli", "brotlicffi"), "zstd": ("zstandard",)}  # what httpx needs beside itself, any of them
_USER_AGENT = f"llmcli/{__version__}"
_NO_CHECK_TIME = 0x200000  # OpenSSL's X509_V_FLAG_NO_CHECK_TIME, which the ssl module does not name

Resolver = Callable[..., list[tuple[Any, ...]]]


class Log(Protocol):
    """
    Where the transport tells what it does; the receiver redacts. The events, in their order: `request`; `resolved`
    (host, addresses, seconds; not for an address), `tcp` (address, seconds) and `tls` (host, version, days that the
    certificate still holds, seconds), the first two of the proxy where there is one, and `tunnel` between them and the
    host's `tls`; `connected`, `response`, `body`.
    """

    def __call__(self, event: str, /, **fields: object) -> None: ...


def no_log(event: str, /, **fields: object) -> None:
    """The log that keeps nothing."""


def _since(started: float) -> float:
    return round(time.monotonic() - started, 4)


class Proxy(NamedTuple):
    """A proxy, and where its URL came from (an environment variable or the configuration)."""

    url: str
    source: str

    @property
    def shown(self) -> str:
        """The URL without user and password, wherever in it they are thought to end."""
        return re.sub(r"//.*@", "//", self.url)

    @property
    def usable(self) -> bool:
        """Whether the URL can be dialled."""
        found = re.fullmatch(r"https?://(?:[^/]*@)?(?:\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+)(?::(\d{1,5}))?/?", self.url)
        return found is not None and 0 < int(found[1] or 80) < 65536

    @property
    def label(self) -> str:
        """How an error names it."""
        return f"proxy {self.shown} ({self.source})"


class Duplex:
    """
    A connection that was upgraded to another protocol: bytes in both directions. Every operation keeps the deadlines
    and raises our errors only.
    """

    def __init__(
        self, stream: httpcore.NetworkStream, deadlines: Deadlines, failed: Callable[[Exception], LlmError]
    ) -> None:
        self._stream = stream
        self._deadlines = deadlines
        self._failed = failed

    def read(self) -> bytes:
        """
        What has arrived; waits for it. Empty when the other side has hung up. The wait has slices, between which it is
        seen that the call was abandoned.
        """
        while True:
            try:
                return self._stream.read(_READ_SIZE, _SLICE)
            except httpcore.ReadTimeout:
                continue
            except _FAILURES as exc:
                raise self._failed(exc) from exc

    def write(self, data: bytes) -> None:
        """Send all of it."""
        try:
            self._stream.write(data)
        except _FAILURES as exc:
            raise self._failed(exc) from exc

    def part(self, last: bytes) -> None:
        """
        Send a last word and wait a moment, but not more, for the other side to hang up: closing a connection while
        something on it is unread resets it, and that takes the last word with it. Nothing that fails matters any more.
        """
        self._deadlines.parting()
        try:
            self._stream.write(last)
            while self._stream.read(_READ_SIZE):
                pass
        except (*_FAILURES, NetworkFailed):
            pass


class Response:
    """
    The head of an answer, and its body as it arrives. `headers` have lower-case names. `duplex` is the connection
    itself where the server agreed to change the protocol (status 101).
    """

    def __init__(
        self, status: int, headers: Mapping[str, str], chunks: Iterator[bytes], duplex: Duplex | None = None
    ) -> None:
        self.status = status
        self.headers = headers
        self.duplex = duplex
        self._chunks = chunks

    def chunks(self) -> Iterator[bytes]:
        """The body as it arrives, decompressed. Raises our errors only."""
        encoding = self.headers.get("content-encoding", "identity").strip().lower()
        first = next(self._chunks, b"")
        if first == _GZIP[:1]:
            first += next(self._chunks, b"")
        if encoding in ("", "identity") and not first.startswith(_GZIP):
            if first:
                yield first
            yield from self._chunks
            return
        yield from _decompressed(first, self._chunks, "gzip" if first.startswith(_GZIP) else encoding)

    def read(self, limit: int = WHOLE_LIMIT) -> bytes:
        """The whole body. Raises `ProviderFailed` when it is longer than `limit` bytes."""
        body = bytearray()
        for chunk in self.chunks():
            body += chunk
            if len(body) > limit:
                raise ProviderFailed(f"the answer is longer than {limit // 1024} kB")
        return bytes(body)

    def excerpt(self, limit: int = ERROR_LIMIT) -> bytes:
        """As much of an error's body as can be had; that it is cut or long is no further error."""
        body = bytearray()
        try:
            for chunk in self.chunks():
                body += chunk
                if len(body) >= limit:
                    break
        except LlmError:
            pass
        return bytes(body[:limit])


class Transport:
    """
    Sends requests. One object serves a process; each `send` makes its own connection.

    `env`: proxies and certificate paths are taken from it. `ca_bundle`: a file or hashed directory of certificates
    that replaces the system's. `proxy`: replaces the environment's; an empty text means none.
    """

    def __init__(
        self,
        *,
        env: Mapping[str, str],
        ca_bundle: str | None = None,
        proxy: str | None = None,
        log: Log = no_log,
        resolve: Resolver = socket.getaddrinfo,
    ) -> None:
        self._env = env
        self._ca_bundle = ca_bundle
        self._proxy = proxy
        self._log = log
        self._resolve = resolve

    @contextmanager
    def send(
        self, request: HttpRequest, deadlines: Deadlines, before_wait: Callable[[], None] = lambda: None
    ) -> Iterator[Response]:
        """
        Send a request and hand out the answer; leaving the block closes the connection, which also stops a model
        that is still generating. `before_wait` is called whenever the server is about to be waited for.

        Raises `NetworkFailed` (with `sent`), `TimedOut`, `ProviderFailed` for what is no HTTP or a redirect.
        """
        deadlines.connecting()
        proxy = self.proxy(request.url)
        exchange = _Exchange(request, deadlines, proxy, self._log, self._certificate)
        self._log("request", method=request.method, url=request.url, headers=dict(request.headers),
                  bytes=len(request.body or b""), proxy=proxy.shown if proxy else None)  # fmt: skip
        try:
            with self._pool(request, proxy, _Backend(deadlines, self._resolve, before_wait, self._log)) as pool:
                with pool.stream(
                    request.method,
                    request.url,
                    headers=_wire_headers(request),
                    content=_pieces(request.body),
                    extensions={"trace": exchange.trace},
                ) as answer:
                    headers = _header_map(answer.headers)
                    exchange.answered(answer.status, headers)
                    if answer.status == 407 and proxy:
                        raise _proxy_error(proxy, "407")
                    if 300 <= answer.status < 400:
                        raise _redirect(answer.status, headers)
                    stream = answer.extensions["network_stream"]
                    duplex = Duplex(stream, deadlines, exchange.failed) if answer.status == 101 else None
                    with closing(exchange.body(cast(_Chunks, answer.iter_stream()))) as body:
                        yield Response(answer.status, headers, body, duplex)
        except NetworkFailed as exc:
            exchange.named(exc)
            raise
        except _FAILURES as exc:
            raise exchange.failed(exc) from exc

    def _pool(self, request: HttpRequest, proxy: Proxy | None, backend: "_Backend") -> httpcore.ConnectionPool:
        encrypted = request.url.startswith("https:")
        context = self._tls() if encrypted or (proxy and proxy.url.startswith("https:")) else None
        if proxy is None:
            return httpcore.ConnectionPool(ssl_context=context, network_backend=backend)
        if not proxy.usable:
            raise NetworkFailed(
                f"{proxy.source} is no usable proxy URL: {proxy.shown}",
                hint="it should look like http://host:port, or http://user:password@host:port with / as %2F",
                retryable=False,
            )
        if not encrypted and "upgrade" in map(str.lower, request.headers):
            direct = httpcore.ConnectionPool(ssl_context=context, network_backend=backend)
            return httpcore.ConnectionPool(network_backend=_Tunnels(proxy, direct))
        return httpcore.HTTPProxy(
            proxy.shown,
            proxy_auth=_userinfo(proxy.url),
            ssl_context=context,
            proxy_ssl_context=context if proxy.url.startswith("https:") else None,
            network_backend=backend,
        )

    def _tls(self) -> ssl.SSLContext:
        """
        One for all transports that trust the same: many providers are asked at once, and reading a file of certificates
        takes longer than asking one.
        """
        with _one_reads_certificates:
            return _context(self.trusted())

    def trusted(self) -> tuple[str, ...]:
        """
        The files and hashed directories of certificates to trust, by their order of precedence: --ca-bundle,
        SSL_CERT_FILE and SSL_CERT_DIR, the system's hashed directory (certificates are then read one by one as needed,
        which costs nothing at start), certifi.
        """
        if self._ca_bundle:
            return (self._ca_bundle,)
        if paths := tuple(path for name in ("SSL_CERT_FILE", "SSL_CERT_DIR") if (path := self._env.get(name))):
            return paths
        system = ssl.get_default_verify_paths().openssl_capath
        if _holds_certificates(system):
            return (system,)
        import certifi

        return (certifi.where(),)

    def proxy(self, url: str) -> Proxy | None:
        """The proxy that leads to a URL; see `proxy_for`."""
        return proxy_for(url, self._env, self._proxy)

    def _certificate(self, host: str, port: int, *, check_host: bool) -> dict[str, Any]:
        """
        The certificate of a host that failed verification, fetched again for the error message only: everything but
        the failed check still has to hold, and nothing is sent.
        """
        context = _trusting(self.trusted())
        if check_host:
            context.verify_flags |= _NO_CHECK_TIME
        else:
            context.check_hostname = False
        try:
            with socket.create_connection((host, port), timeout=2) as plain:
                with context.wrap_socket(plain, server_hostname=host) as wrapped:
                    return dict(wrapped.getpeercert() or {})
        except (OSError, ValueError):
            return {}


# --- one exchange ---------------------------------------------------------------------------------

_FAILURES = (
    httpcore.TimeoutException,
    httpcore.NetworkError,
    httpcore.ProtocolError,
    httpcore.ProxyError,
    httpcore.UnsupportedProtocol,
    ssl.SSLError,
    OSError,
)


class _Exchange:
    """One request and its answer: knows how far it got, and what an error at that point means."""

    def __init__(
        self,
        request: HttpRequest,
        deadlines: Deadlines,
        proxy: Proxy | None,
        log: Log,
        certificate: Callable[..., dict[str, Any]],
    ) -> None:
        url = httpcore.URL(request.url)
        self._host = url.host.decode("ascii")
        self._port = url.port or {b"https": 443}.get(url.scheme, 80)
        self._deadlines = deadlines
        self._proxy = proxy
        self._log = log
        self._certificate = certificate
        self._tunnelling = False
        self._sent = False
        self._answered = False
        self._started = time.monotonic()

    def trace(self, event: str, info: Mapping[str, Any]) -> None:
        """httpcore tells of each step; sending the request's head ends the phase of connecting."""
        if event == "proxy.start_tls.started" and self._proxy:
            self._log("tunnel", proxy=self._proxy.shown, seconds=self._elapsed())
        if event != "http11.send_request_headers.started":
            return
        if info["request"].method == b"CONNECT":
            self._tunnelling = True
        else:
            self._sent = True
            self._deadlines.waiting()
            self._log("connected", seconds=self._elapsed())

    def answered(self, status: int, headers: Mapping[str, str]) -> None:
        """The head of the answer is here."""
        self._answered = True
        self._log("response", status=status, headers=dict(headers), seconds=self._elapsed())

    def body(self, chunks: _Chunks) -> _Chunks:
        """The body, counted for the log, be it read to its end or not. Raises our errors only."""
        total = 0
        try:
            for chunk in chunks:
                total += len(chunk)
                yield chunk
        except _FAILURES as exc:
            raise self.failed(exc) from exc
        finally:
            with signals.held():  # closing tears down generators of the library, in which a signal would be lost
                chunks.close()
            self._log("body", bytes=total, seconds=self._elapsed())

    def _elapsed(self) -> float:
        return _since(self._started)

    def named(self, error: LlmError) -> LlmError:
        """The error, with the host in it while there was no connection, and with what is known about sending."""
        if isinstance(error, NetworkFailed):
            error.sent = self._sent
            if isinstance(error, TimedOut) and not self._sent:
                error.message = f"{self._peer}: {error.message}"
        return error

    def failed(self, exc: Exception) -> LlmError:
        """Our error for an exception of the HTTP library."""
        return self.named(self._translated(exc))

    @property
    def _peer(self) -> str:
        return self._proxy.label if self._proxy and not self._sent else self._address

    @property
    def _address(self) -> str:
        return f"[{self._host}]:{self._port}" if ":" in self._host else f"{self._host}:{self._port}"

    def _translated(self, exc: Exception) -> LlmError:
        if isinstance(exc, httpcore.TimeoutException):
            return self._deadlines.expired()
        if self._proxy and not self._sent and isinstance(exc, httpcore.ProxyError | httpcore.RemoteProtocolError):
            return _proxy_error(self._proxy, str(exc))
        if isinstance(exc, httpcore.UnsupportedProtocol):
            return UsageError(f"unsupported URL: {exc}")
        if isinstance(exc, httpcore.LocalProtocolError):
            return ConfigurationError("a header of the request is not valid", hint="look at the configured headers")
        if isinstance(exc, httpcore.RemoteProtocolError):
            return _protocol_error(str(exc), answered=self._answered)
        cause: BaseException = exc
        while not isinstance(cause, OSError) and (below := cause.__cause__ or cause.__context__) is not None:
            cause = below  # the pool raises `from None`, which hides the cause but keeps it
        if isinstance(cause, ssl.SSLError) and not self._sent:
            return self._handshake_error(cause)
        if not self._sent:
            return _connect_error(cause, self._peer)
        return NetworkFailed(f"the connection to {self._peer} was lost: {_strerror(cause)}")

    def _handshake_error(self, cause: ssl.SSLError) -> LlmError:
        """The host's, or the proxy's. Behind a proxy the certificate is not looked at again: no way leads past it."""

        def again(*, check_host: bool) -> dict[str, Any]:
            return {} if self._proxy else self._certificate(self._host, self._port, check_host=check_host)

        if self._proxy and not self._tunnelling:
            return _tls_error(cause, self._proxy.label, self._proxy.label, again)
        return _tls_error(cause, self._host, self._address, again)


def _proxy_error(proxy: Proxy, text: str) -> NetworkFailed:
    """A proxy said no, or nothing that can be understood."""
    if text.startswith("407"):
        what, hint = "wants authentication", "put user and password into its URL: http://user:password@host:port"
    else:
        what, hint = f"refused the connection: {_readable(text)}", None
    return NetworkFailed(f"{proxy.label} {what}", hint=hint, retryable=False)


def _protocol_error(text: str, *, answered: bool) -> ProviderFailed:
    if "incomplete" in text or "without sending complete message body" in text:
        return ProviderFailed("the connection was closed in the middle of the answer")
    if "without sending a response" in text:
        return ProviderFailed("the server closed the connection without an answer")
    if answered:
        return ProviderFailed(f"the connection broke in the middle of the answer: {_readable(text)}")
    return ProviderFailed(f"the server does not speak HTTP: {_readable(text)}", hint="check the base URL")


def _readable(text: str) -> str:
    """What the HTTP library says, without Python's signs around what it quotes."""
    return re.sub(r"bytearray\(b(.*)\)", r"\1", text.rstrip("."))[:200]


def _redirect(status: int, headers: Mapping[str, str]) -> ProviderFailed:
    location = re.sub(r"//[^/]*@", "//", headers.get("location", "nowhere"))[:200]
    return ProviderFailed(
        f"redirect to {location} refused: following it would carry the key and the prompt along",
        hint="if that is the right address, use it as the base URL",
        http_status=status,
        retryable=False,
    )


def _connect_error(cause: BaseException, peer: str) -> NetworkFailed:
    code = cause.errno if isinstance(cause, OSError) else None
    if code == errno.ECONNREFUSED:
        local = peer.startswith(("127.", "localhost:", "[::1]"))
        return NetworkFailed(f"connection refused by {peer}", hint="is the server running?" if local else None)
    if code in (errno.EMFILE, errno.ENFILE):
        return NetworkFailed("too many open files", hint="see `ulimit -n`")
    return NetworkFailed(f"cannot connect to {peer}: {_strerror(cause)}")


def _strerror(cause: BaseException) -> str:
    if isinstance(cause, ssl.SSLError) and cause.reason:
        return cause.reason.lower().replace("_", " ")
    return (cause.strerror if isinstance(cause, OSError) else None) or str(cause) or type(cause).__name__


# --- TLS ------------------------------------------------------------------------------------------


_one_reads_certificates = threading.Lock()


@cache
def _context(trusted: tuple[str, ...]) -> ssl.SSLContext:
    return _trusting(trusted)


def _trusting(paths: tuple[str, ...]) -> ssl.SSLContext:
    """A client's side of TLS that trusts the certificates in these files and hashed directories."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    for path in paths:
        try:
            if os.path.isdir(path):
                context.load_verify_locations(capath=path)
            else:
                context.load_verify_locations(cafile=path)
        except (OSError, ssl.SSLError) as exc:
            raise ConfigurationError(f"cannot read the CA bundle {path}: {_strerror(exc)}") from exc
    return context


def _tls_error(cause: ssl.SSLError, host: str, peer: str, certificate: Callable[..., dict[str, Any]]) -> NetworkFailed:
    """What failed in the handshake, with what a person needs to see of the certificate."""
    code = getattr(cause, "verify_code", 0)
    hint = None
    if code in (9, 10):  # not yet valid, expired
        found = certificate(check_host=True)
        dates = f" (valid from {found.get('notBefore')} to {found.get('notAfter')})" if found else ""
        what = "is not yet valid" if code == 9 else "has expired"
        message = (
            f"the certificate of {host} {what}{dates}; the clock here says {time.strftime('%b %d %H:%M:%S %Y %Z')}"
        )
    elif code in (62, 64):  # hostname mismatch, address mismatch
        found = certificate(check_host=False)
        names = ", ".join(name for _, name in found.get("subjectAltName", ())) or "other names"
        message = f"the certificate is not for {host} but for {names}"
    elif code in (2, 18, 19, 20, 21):
        message = f"the certificate of {host} is signed by an authority that is not trusted here"
        hint = "give that authority's certificate with --ca-bundle FILE or SSL_CERT_FILE"
    elif "WRONG_VERSION_NUMBER" in str(cause) or "UNEXPECTED_EOF" in str(cause) or "record layer" in str(cause):
        message, hint = f"{peer} did not speak TLS", "is the URL meant to be http://?"
    else:
        message = f"the TLS handshake with {peer} failed: {_strerror(cause)}"
    return NetworkFailed(message, hint=hint, retryable=False)


def _tls_facts(connection: ssl.SSLSocket | ssl.SSLObject | None) -> dict[str, object]:
    """What a connection under TLS is worth telling: its version, and the days that the certificate still holds."""
    ends = ((connection.getpeercert() if connection else None) or {}).get("notAfter")
    days = int((ssl.cert_time_to_seconds(ends) - time.time()) // 86400) if isinstance(ends, str) else None
    return {"version": connection.version() if connection else None, "days": days}


def _holds_certificates(directory: str | None) -> bool:
    """Whether a directory holds certificates under OpenSSL's hashed names (`a94d09e5.0`)."""
    try:
        return any(re.fullmatch(r"[0-9a-f]{8}\.\d", name) for name in os.listdir(directory)) if directory else False
    except OSError:
        return False


# --- proxies --------------------------------------------------------------------------------------


def proxy_for(url: str, env: Mapping[str, str], configured: str | None = None) -> Proxy | None:
    """
    The proxy for a URL. Loopback addresses never go through one; `configured` beats the environment (empty: none);
    `NO_PROXY` holds host names, domains, addresses and networks, or `*`.
    """
    parts = httpcore.URL(url)
    host = parts.host.decode("ascii").strip("[]").lower()
    scheme = "https" if parts.scheme in (b"https", b"wss", b"grpcs") else "http"
    if is_loopback(host):
        return None
    if configured is not None:
        return Proxy(configured, "proxy in the configuration") if configured else None
    if _exempt(host, env.get("no_proxy") or env.get("NO_PROXY") or ""):
        return None
    for name in (f"{scheme}_proxy", f"{scheme.upper()}_PROXY", "all_proxy", "ALL_PROXY"):
        if env.get(name):
            value = env[name]
            return Proxy(value if "://" in value else f"http://{value}", name)
    return None


def is_loopback(host: str) -> bool:
    """Whether a host name or address means this machine."""
    host = host.strip("[]").lower()
    return bool(re.fullmatch(r"(.+\.)?localhost|127(\.\d+){3}|0\.0\.0\.0|::1?", host))


def _exempt(host: str, no_proxy: str) -> bool:
    for entry in (part.strip().lower() for part in no_proxy.split(",")):
        if entry == "*":
            return True
        if not entry:
            continue
        if "/" in entry:
            from ipaddress import ip_address, ip_network

            try:
                if ip_address(host) in ip_network(entry, strict=False):
                    return True
            except ValueError:
                continue
        name = entry.rpartition(":")[0] if re.search(r":\d+$", entry) and entry.count(":") == 1 else entry
        if host == name.lstrip(".") or host.endswith("." + name.lstrip(".")):
            return True
    return False


def _userinfo(url: str) -> tuple[bytes, bytes] | None:
    found = re.match(r"[a-z]+://([^/]*)@", url)
    if not found:
        return None
    from urllib.parse import unquote_to_bytes

    user, _, password = found.group(1).partition(":")
    return unquote_to_bytes(user), unquote_to_bytes(password)


# --- the network under the HTTP library -----------------------------------------------------------


class _Backend(httpcore.NetworkBackend):
    """Connects under the deadline: resolves in a thread that may be left behind, and tries every address."""

    def __init__(self, deadlines: Deadlines, resolve: Resolver, before_wait: Callable[[], None], log: Log) -> None:
        self._deadlines = deadlines
        self._resolve = resolve
        self._before_wait = before_wait
        self._log = log
        self._inner = httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Any = None,
    ) -> httpcore.NetworkStream:
        """Each address gets its share of what is left, so that one black hole does not eat the others' time."""
        started = time.monotonic()
        addresses = self._addresses(host, port)
        if addresses and addresses != [host.encode("ascii")]:
            self._log("resolved", host=host, addresses=[each.decode() for each in addresses], seconds=_since(started))
        started = time.monotonic()
        for number, address in enumerate(addresses):
            left = self._deadlines.remaining()
            share = None if left is None else left / (len(addresses) - number)
            try:
                inner = self._inner.connect_tcp(address, port, share, local_address, socket_options)  # type: ignore[arg-type]  # sockets take bytes
                self._log("tcp", address=address.decode(), seconds=_since(started))
                return _Stream(inner, self._deadlines, self._before_wait, self._log)
            except (httpcore.ConnectError, httpcore.ConnectTimeout):
                if number == len(addresses) - 1:
                    raise
        raise NetworkFailed(f"{host} has no address")

    def _addresses(self, host: str, port: int) -> list[bytes]:
        """
        The addresses of a host, in the system's order. A resolver that never answers costs only the deadline.

        Names and addresses are bytes because for text the socket module loads the codec of international names, which
        takes longer than all the rest of connecting to this machine.
        """
        found: list[Any] = []

        def look_up() -> None:
            try:
                found.extend(self._resolve(host.encode("ascii"), port, type=socket.SOCK_STREAM))
            except OSError as exc:
                found.append(exc)

        thread = threading.Thread(target=look_up, daemon=True)
        thread.start()
        thread.join(self._deadlines.remaining())
        if not found:
            if thread.is_alive():
                raise NetworkFailed(f"cannot resolve {host}: the name service did not answer in time")
            return []
        if isinstance(found[0], OSError):
            raise NetworkFailed(
                f"cannot resolve {host}: {_strerror(found[0])}", retryable=found[0].errno == socket.EAI_AGAIN
            )
        return list(dict.fromkeys(entry[4][0].encode("ascii") for entry in found))


class _Stream(httpcore.NetworkStream):
    """A connection, each operation of which is clipped to the one deadline."""

    def __init__(
        self, inner: httpcore.NetworkStream, deadlines: Deadlines, before_wait: Callable[[], None], log: Log
    ) -> None:
        self._inner = inner
        self._deadlines = deadlines
        self._before_wait = before_wait
        self._log = log

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """
        What has arrived. After the deadline, what already lies in the socket may still be read once. Raises the HTTP
        library's `ReadTimeout` when not the deadline but `timeout` has passed.
        """
        self._before_wait()
        while True:
            try:
                left = self._deadlines.remaining()
                longest = _GLANCE if timeout is None else timeout
                return self._inner.read(max_bytes, longest if left is None else min(longest, left))
            except httpcore.ReadTimeout:
                if timeout is not None:
                    raise
            except TimedOut:
                if self._deadlines.grace() and self._inner.get_extra_info("is_readable"):
                    return self._inner.read(max_bytes, 1.0)
                raise self._deadlines.expired() from None

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Send all of it."""
        self._inner.write(buffer, self._deadlines.remaining())

    def close(self) -> None:
        """Close the connection."""
        self._inner.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        """The same connection under TLS."""
        started = time.monotonic()
        inner = self._inner.start_tls(ssl_context, server_hostname, self._deadlines.remaining())
        if self._log is not no_log:  # taking a certificate apart costs something
            facts = _tls_facts(inner.get_extra_info("ssl_object"))
            self._log("tls", host=server_hostname, **facts, seconds=_since(started))
        return _Stream(inner, self._deadlines, self._before_wait, self._log)

    def get_extra_info(self, info: str) -> Any:
        """Facts about the socket, for the HTTP library."""
        return self._inner.get_extra_info(info)


class _Tunnels(httpcore.NetworkBackend):
    """
    Connects by having a proxy make a tunnel. httpcore itself does so for https only; what is to change its protocol
    needs one too, because few proxies pass that on.
    """

    def __init__(self, proxy: Proxy, direct: httpcore.ConnectionPool) -> None:
        self._proxy = proxy
        self._direct = direct

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Any = None,
    ) -> httpcore.NetworkStream:
        """The tunnel to a host."""
        target = f"{host}:{port}"
        headers = [("Host", target)]
        if user := _userinfo(self._proxy.url):
            headers.append(("Proxy-Authorization", f"Basic {b64encode(b':'.join(user)).decode()}"))
        answer = self._direct.handle_request(
            httpcore.Request("CONNECT", self._proxy.shown, headers=headers, extensions={"target": target.encode()})
        )
        if not 200 <= answer.status < 300:
            self._direct.close()
            raise httpcore.ProxyError(f"{answer.status} {answer.extensions['reason_phrase'].decode('latin-1')}")
        stream: httpcore.NetworkStream = answer.extensions["network_stream"]
        return stream


# --- heads and bodies -----------------------------------------------------------------------------


def _wire_headers(request: HttpRequest) -> list[tuple[bytes, bytes]]:
    given = {name.lower() for name in request.headers}
    defaults = {"User-Agent": _USER_AGENT, "Accept": "*/*", "Accept-Encoding": "identity"}
    headers = {name: value for name, value in defaults.items() if name.lower() not in given} | dict(request.headers)
    if request.body is not None:
        headers["Content-Length"] = str(len(request.body))
    try:
        return [(name.encode("ascii"), value.strip(" \t").encode("latin-1")) for name, value in headers.items()]
    except UnicodeEncodeError:
        raise ConfigurationError(
            "a header of the request holds characters that HTTP does not allow", hint="look at the configured headers"
        ) from None


def _pieces(body: bytes | None) -> Iterator[bytes] | None:
    """The body in pieces, so that a large prompt is not copied again and again on its way out."""
    if body is None:
        return None
    view = memoryview(body)
    return (bytes(view[start : start + _WRITE_SIZE]) for start in range(0, len(view), _WRITE_SIZE))


def _header_map(headers: list[tuple[bytes, bytes]]) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, value in headers:
        key, text = name.decode("latin-1").lower(), value.decode("latin-1")
        found[key] = f"{found[key]}, {text}" if key in found else text
    return found


def _decompressed(first: bytes, rest: Iterator[bytes], encoding: str) -> Iterator[bytes]:
    """Decompress incrementally, with httpx's decoders. What httpx does not know it would leave as it is."""
    from importlib.util import find_spec

    import httpx

    for name in filter(None, (part.strip() for part in encoding.split(","))):
        if name not in ("gzip", "deflate", "identity") and not any(map(find_spec, _LIBRARIES.get(name, ()))):
            raise ProviderFailed(f"the answer is compressed as {name[:40]}, which cannot be read here")

    class Body(httpx.SyncByteStream):
        def __iter__(self) -> Iterator[bytes]:
            yield first
            yield from rest

    answer = httpx.Response(200, headers={"content-encoding": encoding}, stream=Body())
    try:
        yield from answer.iter_bytes()
    except httpx.DecodingError as exc:
        raise ProviderFailed(f"the answer is not the {encoding} that it says it is") from exc
