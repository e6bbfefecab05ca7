"""llmcli's conformance kit with what servers of the guide's protocol send, and with another protocol by tables."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from threading import Event

from llmcli.errors import AuthenticationFailed, Busy, LlmError, ProviderFailed, QuotaExceeded, RequestRejected
from llmcli.testing import Answer, Failure, Played, Samples, body
from llmcli.testing.conformance import NativeConformance
from llmcli.types import ProviderConfig, Text, Thinking, ToolCall, Usage
from websocket_server import Client, Server

from llmcli_websocket import WebSocket

SAID = "Grüße 🦙\nBis bald."


class Player:
    """A server that sends records to whoever has asked, and then closes or waits until the client goes."""

    def __init__(self, server: Server, requests: list[str | bytes], gone: Event) -> None:
        self.base_url = server.base_url
        self.requests = requests
        self.gone = gone


class Conformance(NativeConformance):
    """The kit, with a server that plays."""

    @contextmanager
    def serve(self, records: Sequence[bytes], *, stay: bool) -> Iterator[Played]:
        """See the kit."""
        requests: list[str | bytes] = []
        gone = Event()

        def script(client: Client) -> None:
            while (asked := client.hear()) is not None and asked.get("type") == "auth":
                pass
            requests.extend(client.raw)
            for record in records:
                client.say(record.decode())
            if stay:
                client.hear_out()
                gone.set()
            else:
                client.close(1000)

        with Server(script) as server:
            yield Player(server, requests, gone)


def refusal(code: str | int, error: type[LlmError]) -> Failure:
    return Failure(body({"type": "error", "code": code, "message": "no"}), error)


class TestGuide(Conformance):
    provider = WebSocket
    samples = Samples(
        Answer(
            SAID,
            stream=(
                body({"type": "chunk", "text": "Grüße 🦙"}),
                body({"type": "chunk", "text": "\nBis bald."}),
                body({"type": "done", "model": "m-1", "usage": {"prompt_tokens": 3, "completion_tokens": 5}}),
            ),
            usage=Usage(3, 5, 8),
            model="m-1",
        ),
        errors=(
            Failure(body({"type": "error", "error": "Invalid token"}), AuthenticationFailed),
            refusal("unauthorized", AuthenticationFailed),
            refusal("rate_limit_exceeded", Busy),
            refusal("insufficient_quota", QuotaExceeded),
            refusal(400, RequestRejected),
        ),
        error_in_stream=Failure(body({"type": "error", "error": "out of order"}), ProviderFailed),
        others=(
            Answer(
                "Cut",
                stream=(
                    body({"type": "chunk", "text": "Cut"}),
                    body({"type": "done", "finish_reason": "length"}),
                ),
                finish="length",
            ),
        ),
        empty=Answer("", stream=(body({"type": "chunk", "text": ""}), body({"type": "done"}))),
        keep_alive=body({"type": "ping"}),
        unknown=body({"type": "news", "text": "of the world"}),
    )


class TestTables(Conformance):
    provider = WebSocket
    config = ProviderConfig(
        "talk",
        own={
            "connection": {"binary": True},
            "chat": {
                "request": """{turns: messages, with: model, cap: max_tokens, t: temperature, p: top_p, stop: stop,
                    seed: seed, tools: tools, options: options, secret: key}""",
                "delta": "say",
                "thinking": "think",
                "tool_calls": "calls",
                "end": "over",
                "error": "wrong",
                "cancel": "{stop: `true`}",
            },
        },
        place="config.toml: providers.talk",
    )
    samples = Samples(
        Answer(SAID, stream=(body({"say": "Grüße 🦙"}), body({"say": "\nBis bald."}), body({"over": True}))),
        errors=(Failure(body({"wrong": "no such model: m"}), ProviderFailed),),
        error_in_stream=Failure(body({"wrong": "out of order"}), ProviderFailed),
        thinking=Answer(
            (Thinking("Hm."), Text("Yes.")),
            stream=(body({"think": "Hm."}), body({"say": "Yes."}), body({"over": True})),
        ),
        tool_calls=Answer(
            (ToolCall("c1", "weather", '{"city":"Köln"}'),),
            stream=(
                body({"calls": [{"id": "c1", "name": "weather", "arguments": '{"city":"Köln"}'}]}),
                body({"over": True}),
            ),
            finish="tool_calls",
        ),
        unknown=body({"news": 1}),
    )
