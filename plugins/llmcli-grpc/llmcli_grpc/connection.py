"""
A channel to one server, and the calls on it: bytes in both directions, deadlines as everywhere, our errors only.

A grpcio call waits without an end for its next message, and its own `timeout` is one for the whole call. So each
message is awaited in a thread that lives as long as the call, while we keep the deadline; cancelling the call sets the
thread free. Every kind of method is called in the same way, because on the wire they are alike: one message goes out,
any number come back, and then a status.
"""

import os
import re
from collections.abc import Generator, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from queue import Empty, SimpleQueue
from threading import Thread
from typing import NamedTuple
from urllib.parse import urlsplit

import grpc
from llmcli import __version__
from llmcli.deadlines import Deadlines
from llmcli.errors import ConfigurationError, NetworkFailed
from llmcli.provider import NativeCall, Way

from llmcli_grpc.statuses import failure

RECEIVE_LIMIT = 16 * 1024 * 1024  # bytes of one message
_SLICE = 0.1  # seconds of one wait, so that an answer that nobody waits for any more is let go at once
_PLAIN_PORT, _TLS_PORT = 80, 443
# The C core keeps to our rules: no retries, connections and settings of its own.
_OPTIONS: tuple[tuple[str, str | int], ...] = (
    ("grpc.max_receive_message_length", RECEIVE_LIMIT),
    ("grpc.enable_retries", 0),
    ("grpc.service_config_disable_resolution", 1),
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.primary_user_agent", f"llmcli/{__version__}"),
)
_SETTLED = (grpc.ChannelConnectivity.READY, grpc.ChannelConnectivity.TRANSIENT_FAILURE)
_HASHED_NAME = r"[0-9a-f]{8}\.\d+"  # of a certificate in a directory as OpenSSL wants it


class Address(NamedTuple):
    """Where a server is, and whether it is spoken to over TLS."""

    host: str
    port: int
    tls: bool

    @classmethod
    def of(cls, url: str) -> "Address":
        """Of a base URL. Raises `ConfigurationError` for one that has a path, because the method is the path."""
        parts = urlsplit(url)
        if parts.path.strip("/") or parts.query:
            raise ConfigurationError(
                f"the base URL of a gRPC service has no path, and this one has {parts.path or '?' + parts.query}",
                hint='the service and the method stand in `method = "/package.Service/Method"`',
            )
        tls = parts.scheme in ("grpcs", "https")
        return cls(parts.hostname or "", parts.port or (_TLS_PORT if tls else _PLAIN_PORT), tls)

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


@contextmanager
def connect(call: NativeCall, address: Address, metadata: Mapping[str, str]) -> Iterator["Connection"]:
    """A connection to a server; leaving the block closes it, whatever is still going on."""
    proxy = call.proxy(f"http{'s' if address.tls else ''}://{address}")
    peer = f"{address} through {proxy.label}" if proxy else str(address)
    options = [*_OPTIONS, _way(proxy)]
    if address.tls:
        credentials = grpc.ssl_channel_credentials(_certificates(call.trusted()))
        channel = grpc.secure_channel(f"dns:///{address}", credentials, options)
    else:
        channel = grpc.insecure_channel(f"dns:///{address}", options)
    try:
        _establish(channel, call, peer)
        yield Connection(channel, call, peer, metadata)
    finally:
        # grpcio closes a channel only after a last look at its state, which may take 0.2 s; nobody has to wait for it.
        Thread(target=channel.close, daemon=True).start()


class Connection:
    """A server that was reached, by the name of `peer`. `metadata` goes out with every call."""

    def __init__(self, channel: grpc.Channel, call: NativeCall, peer: str, metadata: Mapping[str, str]) -> None:
        self._channel = channel
        self._call = call
        self._peer = peer
        self._metadata = tuple(metadata.items())

    def messages(self, path: str, request: bytes) -> Generator[bytes, None, None]:
        """
        The messages that a method answers with, as they come. They end only with the server's word that all is well
        (the status OK); whatever else ends them is raised. Closing the iterator cancels the call.
        """
        self._call.log("call", method=path, bytes=len(request))
        rpc = self._channel.unary_stream(path, bytes, bytes)(request, metadata=self._metadata)
        with ThreadPoolExecutor(1) as reading:
            try:
                while (message := self._awaited(reading.submit(next, rpc, None), rpc)) is not None:
                    yield message
            finally:
                rpc.cancel()
        self._call.log("status", code="OK")

    def _awaited(self, message: "Future[bytes | None]", rpc: grpc.Call) -> bytes | None:
        """The next message, `None` at the end of all."""
        while True:
            left = self._call.remaining()  # raises when the time is over, or nobody waits any more
            try:
                return message.result(_SLICE if left is None else min(left, _SLICE))
            except TimeoutError:
                continue
            except grpc.RpcError:
                error = failure(rpc, self._peer)
                if not isinstance(error, NetworkFailed):
                    self._call.log("status", code=rpc.code().name)
                raise error from None


def _establish(channel: grpc.Channel, call: NativeCall, peer: str) -> None:
    """
    Wait until the server is reached, or cannot be: why it cannot be is said only to a call, so the first one hears it.
    Raises `TimedOut` when it takes too long to tell.
    """
    connecting = Deadlines(call.timeouts._replace(total=None), started=0.0)
    states: SimpleQueue[grpc.ChannelConnectivity] = SimpleQueue()
    tell = states.put
    channel.subscribe(tell, try_to_connect=True)
    try:
        while _state(states, connecting, call, peer) not in _SETTLED:
            pass
    finally:
        channel.unsubscribe(tell)
    call.log("connected", peer=peer)


def _state(
    states: "SimpleQueue[grpc.ChannelConnectivity]", connecting: Deadlines, call: NativeCall, peer: str
) -> grpc.ChannelConnectivity:
    """The next state of a channel that connects, within the timeout of connecting and those of the call."""
    while True:
        try:
            left = [seconds for seconds in (connecting.remaining(), call.remaining()) if seconds is not None]
            return states.get(timeout=min([_SLICE, *left]))
        except Empty:
            continue
        except NetworkFailed as exc:
            exc.sent = False
            exc.message = f"{peer}: {exc.message}"
            raise


def _way(proxy: Way | None) -> tuple[str, str | int]:
    """The option that leads through a proxy, or past those that the C core would find by itself."""
    if proxy is None:
        return "grpc.enable_http_proxy", 0
    if not proxy.url.startswith("http://"):
        raise NetworkFailed(f"{proxy.label}: gRPC goes through http:// proxies only", retryable=False)
    return "grpc.http_proxy", proxy.url


def _certificates(paths: Sequence[str]) -> bytes:
    """The certificates in files and hashed directories, as one text. Raises `ConfigurationError`."""
    found: list[bytes] = []
    for path in paths:
        try:
            files = [path]
            if os.path.isdir(path):
                files = [f"{path}/{name}" for name in sorted(os.listdir(path)) if re.fullmatch(_HASHED_NAME, name)]
            for file in files:
                with open(file, "rb") as certificate:
                    found.append(certificate.read())
        except OSError as exc:
            raise ConfigurationError(f"cannot read the CA bundle {path}: {exc.strerror}") from exc
    return b"\n".join(found)
