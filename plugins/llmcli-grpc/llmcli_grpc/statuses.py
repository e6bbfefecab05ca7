"""
What a gRPC call ended with -> one of our errors.

Sources: the gRPC status codes and their HTTP counterparts as `google/rpc/code.proto` gives them; the rich error model
(`grpc-status-details-bin`) and `google/rpc/error_details.proto`; how the C core words what it says by itself, found by
trying with grpcio 1.74 and 1.85 (November 2026).
"""

import json
import re
from collections.abc import Mapping

import grpc
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import DecodeError
from google.rpc.error_details_pb2 import DESCRIPTOR as ERROR_DETAILS  # type: ignore[import-untyped]
from google.rpc.status_pb2 import Status  # type: ignore[import-untyped]
from llmcli.errors import LlmError, NetworkFailed, ProviderFailed, RequestRejected
from llmcli.http_errors import ErrorBody, classify, describe

UNIMPLEMENTED = 501  # the HTTP status that stands for a method that the server does not have

_HTTP_STATUS: Mapping[grpc.StatusCode, int] = {
    grpc.StatusCode.CANCELLED: 499,
    grpc.StatusCode.UNKNOWN: 500,
    grpc.StatusCode.INVALID_ARGUMENT: 400,
    grpc.StatusCode.DEADLINE_EXCEEDED: 504,
    grpc.StatusCode.NOT_FOUND: 404,
    grpc.StatusCode.ALREADY_EXISTS: 409,
    grpc.StatusCode.PERMISSION_DENIED: 403,
    grpc.StatusCode.RESOURCE_EXHAUSTED: 429,
    grpc.StatusCode.FAILED_PRECONDITION: 400,
    grpc.StatusCode.ABORTED: 409,
    grpc.StatusCode.OUT_OF_RANGE: 400,
    grpc.StatusCode.UNIMPLEMENTED: UNIMPLEMENTED,
    grpc.StatusCode.INTERNAL: 500,
    grpc.StatusCode.UNAVAILABLE: 503,
    grpc.StatusCode.DATA_LOSS: 500,
    grpc.StatusCode.UNAUTHENTICATED: 401,
}
_DETAILS_KEY = "grpc-status-details-bin"
_DETAILS = {message.full_name for message in ERROR_DETAILS.message_types_by_name.values()}

# What the C core says by itself under UNAVAILABLE. Nothing was sent:
_NO_CONNECTION = r"failed to connect to all addresses|errors? resolving |DNS resolution failed|empty address list"
# The connection was there, and went away:
_LOST = r"Stream removed|Socket closed|recvmsg:|sendmsg:|GOAWAY|Connection reset|Broken pipe|keepalive|Endpoint closing"
# The call ended, but not with a status of the server's:
_NO_STATUS = r"Stream removed|No status received|Received RST_STREAM"
_TOO_LARGE = r"message larger than max|decompressed message size"
_UNTRUSTED = r"CERTIFICATE_VERIFY_FAILED"
_OTHER_NAME = r"Hostname Verification|Peer name"
_CURES = (
    (_OTHER_NAME, "its certificate is for another name; check the host in the base URL"),
    (_UNTRUSTED, "--ca-bundle FILE trusts the authority that signed its certificate"),
    (r"Tls handshake failed|SSL", "does the server speak TLS? grpc:// in the base URL is without"),
    (r"http1\.x|HTTP/2", "the server speaks no gRPC in the clear; check the port, or whether it should be grpcs://"),
    (r"refused", "is the server running?"),
)


def failure(rpc: grpc.Call, peer: str) -> LlmError:
    """The error for a call that did not end with OK. `peer` is whom it was made to, and through which proxy."""
    code, details = rpc.code(), rpc.details() or ""
    if code is grpc.StatusCode.UNAVAILABLE:
        if re.match(_NO_CONNECTION, details):
            return _no_connection(details, peer)
        if re.match(_LOST, details):
            return NetworkFailed(f"the connection to {peer} was lost: {_cause(details)}")
    if re.match(_NO_STATUS, details) and not re.search(_TOO_LARGE, details):
        return ProviderFailed(f"the stream ended without its status: {_cause(details)}")
    return _reported(code, details, _metadata(rpc))


def _no_connection(details: str, peer: str) -> NetworkFailed:
    hint = next((hint for pattern, hint in _CURES if re.search(pattern, details)), None)
    hopeless = re.search(f"{_UNTRUSTED}|{_OTHER_NAME}", details) is not None
    error = NetworkFailed(f"cannot connect to {peer}: {_cause(details)}", hint=hint, retryable=not hopeless)
    error.sent = False
    return error


def _cause(details: str) -> str:
    """The heart of what the C core says, without the layers through which it came."""
    text = details.rpartition("last error: ")[2]
    text = re.sub(r"^[A-Z_]+: |ipv[46]:\S+: |^Stream removed \((.*)\)$", r"\1", text)
    return re.sub(r"^ipv[46]:\S+: |^Failed to connect to remote host: ", "", text) or "no reason given"


def _reported(code: grpc.StatusCode, details: str, metadata: Mapping[str, str | bytes]) -> LlmError:
    """The error that the server reports, or something between us that speaks HTTP and no gRPC."""
    status = _HTTP_STATUS.get(code, 500)
    if foreign := re.search(r"http2 header with status: (\d{3})", details):
        status = int(foreign[1])
    elif code is grpc.StatusCode.RESOURCE_EXHAUSTED and re.search(_TOO_LARGE, details):
        status = 413
    headers = {name: value for name, value in metadata.items() if isinstance(value, str)}
    if "grpc-retry-pushback-ms" in headers:
        headers["retry-after-ms"] = headers["grpc-retry-pushback-ms"]
    body = _body(details, metadata.get(_DETAILS_KEY))
    if status == UNIMPLEMENTED:
        return RequestRejected(
            f"the server does not have this method: {body.message}",
            hint="a descriptor file should be of the same version as the server",
            http_status=status,
        )
    error = classify(status, body, headers)
    if type(error) in (RequestRejected, ProviderFailed):  # their words are those of HTTP
        error.message = f"gRPC {code.name}: {body.message}"
        error.hint = "what answers there is no gRPC server; check the base URL" if foreign else None
    return error


def _body(details: str, packed: object) -> ErrorBody:
    """What the error says: its details, where it has them, are the JSON that Google's REST services send."""
    if isinstance(packed, bytes):
        try:
            status = Status.FromString(packed)
            known = [detail for detail in status.details if detail.TypeName() in _DETAILS]
            said = MessageToDict(Status(message=status.message or details, details=known))
        except DecodeError:
            pass  # the plain text remains
        else:
            return describe(json.dumps({"error": said}).encode())
    return ErrorBody(details or "no explanation")


def _metadata(rpc: grpc.Call) -> dict[str, str | bytes]:
    """What the server sent besides its messages, last word first."""
    return dict([*(rpc.initial_metadata() or ()), *(rpc.trailing_metadata() or ())])
