"""The real program against a WebSocket server that speaks either protocol."""

import json
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.server import Server, ServerConnection
from websockets.sync.server import serve as serve_websocket
from websockets.typing import Subprotocol

KEY = "gql-test-key"
NEW, OLD = "graphql-transport-ws", "graphql-ws"
STREAM = """
[providers.acme.stream]
query = "subscription Tokens($prompt: String!) { tokens(prompt: $prompt) { text } }"
variables = "{prompt: prompt}"
delta = "tokens.text"
"""

Script = Callable[["Client"], None]


class Client:
    """The other end of one connection."""

    def __init__(self, connection: ServerConnection, received: list[Any]) -> None:
        self.subprotocol = connection.subprotocol
        self._connection = connection
        self._received = received

    def hear(self) -> Any:
        message = json.loads(self._connection.recv())
        self._received.append(message)
        return message

    def say(self, kind: str, payload: Any = None, **more: Any) -> None:
        self._connection.send(json.dumps({"type": kind, **more, **({} if payload is None else {"payload": payload})}))

    def token(self, text: str | None, kind: str = "next", **more: Any) -> None:
        self.say(kind, {"data": {"tokens": {"text": text}}, **more}, id="1")

    def acknowledge(self) -> None:
        """What comes before the first result."""
        self.hear()
        self.say("connection_ack")
        self.hear()

    def close(self, code: int, reason: str = "") -> None:
        self._connection.close(code, reason)

    def cut(self) -> None:
        self._connection.socket.close()


class Speaker:
    """A server that follows a script with each client, and knows what it was sent."""

    def __init__(self, script: Script, subprotocols: Sequence[str]) -> None:
        self.received: list[Any] = []
        self.heads: list[Any] = []
        self.ended = threading.Event()
        self._script = script
        self._server: Server = serve_websocket(self._talk, "127.0.0.1", 0, select_subprotocol=_choice(subprotocols))
        self.url = f"ws://127.0.0.1:{self._server.socket.getsockname()[1]}/graphql"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()

    def _talk(self, connection: ServerConnection) -> None:
        self.heads.append(connection.request.headers)  # type: ignore[union-attr]  # it was read
        with suppress(ConnectionClosed):
            self._script(Client(connection, self.received))
        self.ended.set()


def _choice(known: Sequence[str]) -> Callable[[ServerConnection, Sequence[Subprotocol]], Subprotocol | None]:
    """The first of the offered subprotocols that the server knows; none, if it knows none."""
    return lambda connection, offered: next((each for each in offered if each in known), None)


Speak = Callable[..., Speaker]


@pytest.fixture
def speak() -> Iterator[Speak]:
    speakers: list[Speaker] = []

    def start(script: Script, *subprotocols: str) -> Speaker:
        speakers.append(Speaker(script, subprotocols or (NEW,)))
        return speakers[-1]

    yield start
    for speaker in speakers:
        speaker.close()


def table(url: str, more: str = "", tables: str = STREAM) -> str:
    return f"""
[providers.acme]
adapter = "graphql-ws"
base_url = "{url}"
api_key = {{ env = "ACME_API_KEY" }}
{more}
{tables}"""


def ask(llmcli: Any, speaker: Speaker, *args: str, more: str = "", tables: str = STREAM) -> Any:
    return llmcli(table(speaker.url, more, tables), "chat", "-p", "acme", "--retries", "0", *args, "hi")


# --- graphql-transport-ws -------------------------------------------------------------------------


def answers(client: Client) -> None:
    client.acknowledge()
    client.token("Grüße")
    client.token(" 🦙")
    client.say("complete", id="1")
    client.hear()


def test_a_subscription_is_printed_exactly(llmcli: Any, speak: Speak) -> None:
    speaker = speak(answers, NEW, OLD)

    done = ask(llmcli, speaker)

    assert (done.status, done.out, done.err) == (0, "Grüße 🦙".encode(), "")
    assert speaker.received == [
        {"type": "connection_init"},
        {
            "type": "subscribe",
            "id": "1",
            "payload": {
                "query": "subscription Tokens($prompt: String!) { tokens(prompt: $prompt) { text } }",
                "variables": {"prompt": "hi"},
            },
        },
    ]
    assert speaker.heads[0]["Authorization"] == f"Bearer {KEY}"
    assert speaker.heads[0]["Sec-WebSocket-Protocol"].replace(" ", "") == f"{NEW},{OLD}"


def test_the_key_goes_into_the_first_message_where_an_expression_puts_it(llmcli: Any, speak: Speak) -> None:
    speaker = speak(answers)

    done = ask(
        llmcli, speaker, more="""init = "{token: join(' ', ['Bearer', key]), model: model}"\ndefault_model = "m" """
    )

    assert (done.status, done.out) == (0, "Grüße 🦙".encode())
    assert speaker.received[0] == {"type": "connection_init", "payload": {"token": f"Bearer {KEY}", "model": "m"}}
    assert "Authorization" not in speaker.heads[0]


def test_pings_are_answered_at_once_even_before_the_acknowledgement(llmcli: Any, speak: Speak) -> None:
    def pings(client: Client) -> None:
        client.hear()
        client.say("ping", {"n": 1})
        assert client.hear() == {"type": "pong", "payload": {"n": 1}}
        client.say("connection_ack")
        client.hear()
        client.token("Yes")
        client.say("ping")
        assert client.hear() == {"type": "pong"}
        client.say("pong")
        client.token(".")
        client.say("complete", id="1")

    speaker = speak(pings)

    done = ask(llmcli, speaker)

    assert (done.status, done.out) == (0, b"Yes.")


def test_messages_of_another_operation_or_an_unknown_kind_are_ignored(llmcli: Any, speak: Speak) -> None:
    def babbles(client: Client) -> None:
        client.acknowledge()
        client.say("next", {"data": {"tokens": {"text": "not ours"}}}, id="7")
        client.say("complete", id="7")
        client.say("news", {"a": 1})
        client.token("Ours.")
        client.say("complete", id="1")

    done = ask(llmcli, speak(babbles))

    assert (done.status, done.out) == (0, b"Ours.")


def test_an_acknowledgement_may_have_an_id_that_is_null(llmcli: Any, speak: Speak) -> None:
    def greets(client: Client) -> None:
        client.hear()
        client.say("connection_ack", id=None)
        client.hear()
        client.token("Yes")
        client.say("complete", id="1")

    done = ask(llmcli, speak(greets), "--connect-timeout", "5", "--first-timeout", "5")

    assert (done.status, done.out) == (0, b"Yes")


def test_a_mutation_over_the_websocket_has_one_result(llmcli: Any, speak: Speak) -> None:
    def replies(client: Client) -> None:
        client.acknowledge()
        client.say("next", {"data": {"generateResponse": {"text": "Whole."}}}, id="1")
        client.say("complete", id="1")

    speaker = speak(replies)

    done = ask(llmcli, speaker, tables="")

    assert (done.status, done.out) == (0, b"Whole.")
    assert speaker.received[1]["payload"]["query"].startswith("mutation GenerateResponse")


def test_an_answer_in_spite_of_errors_tells_them_all(llmcli: Any, speak: Speak) -> None:
    def stumbles(client: Client) -> None:
        client.acknowledge()
        client.token("Yes", errors=[{"message": "a"}])
        client.token(".", errors=[{"message": "b"}])
        client.say("complete", id="1")

    done = ask(llmcli, speak(stumbles), "--json")

    assert (done.status, done.json["content"]) == (0, "Yes.")
    assert done.json["metadata"]["graphql_errors"] == [{"message": "a"}, {"message": "b"}]


# --- what goes wrong ------------------------------------------------------------------------------


def test_a_subscription_that_is_cut_exits_10(llmcli: Any, speak: Speak) -> None:
    def breaks(client: Client) -> None:
        client.acknowledge()
        client.token("Yes")
        client.cut()

    done = ask(llmcli, speak(breaks))

    assert (done.status, done.out) == (10, b"Yes")


def test_a_socket_that_is_closed_politely_before_complete_exits_10(llmcli: Any, speak: Speak) -> None:
    def leaves(client: Client) -> None:
        client.acknowledge()
        client.token("Yes")
        client.close(1000)

    done = ask(llmcli, speak(leaves))

    assert (done.status, done.out) == (10, b"Yes")


def test_complete_without_a_result_is_no_answer(llmcli: Any, speak: Speak) -> None:
    def says_nothing(client: Client) -> None:
        client.acknowledge()
        client.say("complete", id="1")

    done = ask(llmcli, speak(says_nothing))

    assert (done.status, done.out) == (8, b"")
    assert "without a result" in done.err


def test_results_that_are_null_are_no_answer(llmcli: Any, speak: Speak) -> None:
    def says_null(client: Client) -> None:
        client.acknowledge()
        client.token(None)
        client.say("complete", id="1")

    done = ask(llmcli, speak(says_null))

    assert (done.status, done.out) == (8, b"")
    assert "providers.acme.stream.delta: tokens.text is null in all 1 records" in done.err


@pytest.mark.parametrize(
    ("code", "status"), [(4400, 5), (4401, 4), (4403, 4), (4406, 5), (4408, 8), (4409, 8), (4429, 6), (4500, 8)]
)
def test_a_close_code_exits_as_what_it_says(llmcli: Any, speak: Speak, code: int, status: int) -> None:
    def refuses(client: Client) -> None:
        client.hear()
        client.close(code, "no")

    done = ask(llmcli, speak(refuses))

    assert (done.status, done.out) == (status, b"")
    assert str(code) in done.err


def test_an_error_message_ends_the_operation_by_its_code(llmcli: Any, speak: Speak) -> None:
    def fails(client: Client) -> None:
        client.acknowledge()
        client.say("error", [{"message": "slow down", "extensions": {"code": "RATE_LIMITED"}}], id="1")
        client.hear()

    done = ask(llmcli, speak(fails))

    assert (done.status, done.out) == (6, b"")
    assert "slow down (RATE_LIMITED)" in done.err


def test_a_handshake_that_is_refused_exits_by_its_status(llmcli: Any, serve: Any) -> None:
    server = serve(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\n\r\nno")

    done = llmcli(table(server.url.replace("http", "ws")), "chat", "-p", "acme", "hi")

    assert (done.status, done.out) == (4, b"")


def test_an_acknowledgement_that_never_comes_times_out(llmcli: Any, speak: Speak) -> None:
    def is_silent(client: Client) -> None:
        client.hear()
        client.hear()

    speaker = speak(is_silent)

    done = ask(llmcli, speaker, "--first-timeout", "0.3")

    assert (done.status, done.out) == (7, b"")
    assert "no answer began in 0.3 s" in done.err
    assert speaker.ended.wait(10)


def test_a_subscription_that_stalls_is_cancelled(llmcli: Any, speak: Speak) -> None:
    def stalls(client: Client) -> None:
        client.acknowledge()
        client.token("Yes")
        client.hear()

    speaker = speak(stalls)

    done = ask(llmcli, speaker, "--idle-timeout", "0.3")

    assert (done.status, done.out) == (10, b"Yes")
    assert speaker.ended.wait(10)
    assert speaker.received[-1] == {"id": "1", "type": "complete"}


def test_ctrl_c_cancels_the_operation(llmcli: Any, speak: Speak) -> None:
    def waits(client: Client) -> None:
        client.acknowledge()
        client.token("Yes")
        client.hear()

    speaker = speak(waits)

    with llmcli.start(table(speaker.url), "chat", "-p", "acme", "hi") as running:
        assert running.stdout.read(3) == b"Yes"
        running.send_signal(signal.SIGINT)

    assert running.returncode == -signal.SIGINT
    assert speaker.ended.wait(10)
    assert speaker.received[-1] == {"id": "1", "type": "complete"}


# --- the older protocol ---------------------------------------------------------------------------


@pytest.mark.parametrize("subprotocols", [(OLD,), ("none",)])
def test_a_server_of_the_older_protocol_is_spoken_to_in_it(llmcli: Any, speak: Speak, subprotocols: Any) -> None:
    def old(client: Client) -> None:
        client.hear()
        client.say("connection_ack")
        client.say("ka")
        client.hear()
        client.token("Grüße", "data")
        client.say("ka")
        client.token(" 🦙", "data")
        client.say("complete", id="1")

    speaker = speak(old, *subprotocols)

    done = ask(llmcli, speaker)

    assert (done.status, done.out) == (0, "Grüße 🦙".encode())
    assert [message["type"] for message in speaker.received] == ["connection_init", "start"]


def test_a_connection_error_of_the_older_protocol_refuses_the_key(llmcli: Any, speak: Speak) -> None:
    def refuses(client: Client) -> None:
        client.hear()
        client.say("connection_error", {"message": "Missing auth token!"})
        client.hear()

    done = ask(llmcli, speak(refuses, OLD))

    assert (done.status, done.out) == (4, b"")
    assert "Missing auth token!" in done.err


def test_an_operation_of_the_older_protocol_is_cancelled_by_stop(llmcli: Any, speak: Speak) -> None:
    def stalls(client: Client) -> None:
        client.acknowledge()
        client.token("Yes", "data")
        client.hear()

    speaker = speak(stalls, OLD)

    done = ask(llmcli, speaker, "--idle-timeout", "0.3")

    assert (done.status, done.out) == (10, b"Yes")
    assert speaker.ended.wait(10)
    assert speaker.received[-1] == {"id": "1", "type": "stop"}


# --- health ---------------------------------------------------------------------------------------


def test_health_opens_a_connection_and_takes_the_acknowledgement_for_an_answer(llmcli: Any, speak: Speak) -> None:
    def greets(client: Client) -> None:
        client.hear()
        client.say("connection_ack")
        client.hear()

    done = llmcli(table(speak(greets).url), "health", "--json", "acme")

    assert (done.status, done.json[0]["ok"]) == (0, True)
