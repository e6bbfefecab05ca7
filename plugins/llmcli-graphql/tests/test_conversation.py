"""What is said and heard over a WebSocket, without one."""

import json
from typing import Any, cast

import pytest
from llmcli.errors import ProviderFailed
from llmcli.provider import NativeCall
from llmcli_websocket.connection import Connection

from llmcli_graphql.over_websocket import Conversation


class Wire:
    """A connection on which the server has said all that it will say."""

    subprotocol = "graphql-transport-ws"

    def __init__(self, *messages: str | bytes) -> None:
        self._messages = list(messages)
        self.sent: list[Any] = []

    def receive(self) -> str | bytes:
        return self._messages.pop(0)

    def send(self, message: str) -> None:
        self.sent.append(json.loads(message))


class Alive:
    """A call that counts how often the server showed that it lives."""

    def __init__(self) -> None:
        self.times = 0

    def kept_alive(self) -> None:
        self.times += 1


def heard(wire: Wire, call: Alive) -> tuple[str, Any]:
    return next(Conversation(cast(Connection, wire), cast(NativeCall, call)).messages())


def test_signs_of_life_prolong_the_wait_and_are_no_messages() -> None:
    wire, call = Wire('{"type":"ping"}', '{"type":"ka"}', '{"type":"pong"}', '{"type":"next","id":"1"}'), Alive()

    assert heard(wire, call) == ("next", None)
    assert (wire.sent, call.times) == ([{"type": "pong"}], 3)


def test_a_message_may_be_binary_and_its_id_a_number() -> None:
    assert heard(Wire(b'{"type":"next","id":1,"payload":{"a":1}}'), Alive()) == ("next", {"a": 1})


def test_what_is_no_json_is_an_error() -> None:
    with pytest.raises(ProviderFailed, match="malformed JSON"):
        heard(Wire("<html>"), Alive())
