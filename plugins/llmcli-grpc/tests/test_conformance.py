"""
The conformance kit, over a real gRPC server. A record is what the server does next: it sends a message (`m`), or ends
the call with a status (`s`), the first byte telling which.
"""

import json
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import ClassVar, NamedTuple

import grpc
from grpc_service import Document, Service, chunk, serving, stalling
from llmcli.errors import AuthenticationFailed, Busy, ProviderFailed, QuotaExceeded, RequestRejected, UnknownModel
from llmcli.testing import Answer, Failure, Samples
from llmcli.testing.conformance import NativeConformance
from llmcli.types import ProviderConfig, Text, Thinking, ToolCall, Usage

from llmcli_grpc import Grpc

CODES = {code.value[0]: code for code in grpc.StatusCode}
OK = b"s0 "


def said(**fields: object) -> bytes:
    return b"m" + chunk(fields)


def ended(code: grpc.StatusCode, details: str) -> bytes:
    return f"s{code.value[0]} {details}".encode()


ANSWER = Answer(
    "Grüße 🦙\nBis bald.",
    stream=(
        said(text="Grüße 🦙", model="m-1"),
        said(text="\nBis bald.", finish_reason="stop"),
        said(usage={"prompt_tokens": 3, "completion_tokens": 5}),
        OK,
    ),
    usage=Usage(3, 5, 8),
    model="m-1",
)


class Player(NamedTuple):
    """See `llmcli.testing.Played`."""

    service: Service

    @property
    def base_url(self) -> str:
        return self.service.base_url

    @property
    def requests(self) -> Sequence[str]:
        return [json.dumps(request, ensure_ascii=False) for request in self.service.requests]

    @property
    def gone(self) -> threading.Event:
        return self.service.gone


ERRORS = (
    Failure(ended(grpc.StatusCode.UNAUTHENTICATED, "bad token"), AuthenticationFailed),
    Failure(ended(grpc.StatusCode.PERMISSION_DENIED, "not yours"), AuthenticationFailed),
    Failure(ended(grpc.StatusCode.NOT_FOUND, "model m not found"), UnknownModel),
    Failure(ended(grpc.StatusCode.INVALID_ARGUMENT, "temperature"), RequestRejected),
    Failure(ended(grpc.StatusCode.RESOURCE_EXHAUSTED, "slow down"), Busy, retry_after=7.0),
    Failure(ended(grpc.StatusCode.RESOURCE_EXHAUSTED, "insufficient_quota"), QuotaExceeded),
    Failure(ended(grpc.StatusCode.INTERNAL, "oops"), ProviderFailed),
)


class Conformance(NativeConformance):
    """The kit, with the server that plays its records."""

    provider = Grpc

    @contextmanager
    def serve(self, records: Sequence[bytes], *, stay: bool) -> Iterator[Player]:
        """Without a status among the records and with nobody staying, the server breaks the call off."""

        def script(request: Document, context: grpc.ServicerContext) -> Iterator[bytes | Document]:
            for record in records:
                if record[:1] == b"m":
                    yield record[1:]
                    continue
                code, _, details = record[1:].decode().partition(" ")
                if code == "8":
                    context.set_trailing_metadata((("retry-after", "7"),))
                if code != "0":
                    context.abort(CODES[int(code)], details)
                return
            if stay:
                yield from stalling()(request, context)
            context.abort(grpc.StatusCode.UNAVAILABLE, "going away")

        with serving(script) as service:
            yield Player(service)


class TestGenericService(Conformance):
    samples = Samples(
        ANSWER,
        errors=ERRORS,
        error_in_stream=Failure(said(error="out of order"), ProviderFailed),
        empty=Answer("", stream=(said(finish_reason="stop"), OK)),
        others=(Answer("Cut", stream=(said(text="Cut"), said(finish_reason="length"), OK), finish="length"),),
        keep_alive=said(),
        unknown=b"m\x98\x06\x01",
    )


class TestTable(Conformance):
    waived: ClassVar[dict[str, str]] = {"tool-calls-are-sent-back": "only beside tools"}
    config = ProviderConfig(
        "acme",
        own={
            "chat": {
                "method": "/llm.v1.LLM/Generate",
                "request": "merge({model: model, messages: messages[*].{role: role, content: content}, "
                "max_tokens: max_tokens, stop: stop, "
                "extra: if(tools, {turns: turns, tools: tools, use: tool_choice})}, options)",
                "delta": "text",
                "thinking": "extra.thinking",
                "tool_calls": "extra.calls",
                "finish_reason": "finish_reason",
                "model": "model",
                "usage": "usage",
            }
        },
    )
    samples = Samples(
        ANSWER,
        errors=ERRORS,
        thinking=Answer(
            (Thinking("Hm."), Text("Yes.")), stream=(said(extra={"thinking": "Hm."}), said(text="Yes."), OK)
        ),
        tool_calls=Answer(
            (ToolCall("c-1", "get", '{"id":1}'),),
            stream=(said(extra={"calls": [{"id": "c-1", "name": "get", "arguments": {"id": 1}}]}), said(), OK),
            finish="tool_calls",
        ),
    )
