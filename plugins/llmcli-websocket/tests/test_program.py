"""The real program with a WebSocket behind it: what it prints, how it exits, and what it leaves behind."""

import json
import os
import re
import signal
import ssl
import subprocess
import sys
import threading
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import HOST
from websocket_server import PATIENCE, Client, Proxy, Script, Server
from websockets.frames import Opcode
from websockets.sync.server import ServerConnection
from websockets.sync.server import serve as serve_websocket

Serve = Callable[..., Server]
Done = subprocess.CompletedProcess[bytes]

KEY = "ws-canary-2b7e151628aed2a6"
COMMAND = (sys.executable, "-m", "llmcli")
TABLE = '[providers.ws]\nadapter = "websocket"\nbase_url = "{url}"\napi_key = {{ env = "WS_KEY" }}\n'
README = Path(__file__).parent.parent / "README.md"


class Program:
    """llmcli with a home of its own and a table `ws`."""

    def __init__(self, home: Path) -> None:
        self._config = home / "config" / "llmcli" / "config.toml"
        self._config.parent.mkdir(parents=True)
        self._env = {
            "PATH": os.environ["PATH"],
            "HOME": str(home),
            "XDG_CONFIG_HOME": str(home / "config"),
            "LANG": "C.UTF-8",
            "WS_KEY": KEY,
        }

    def configure(self, text: str) -> None:
        self._config.write_text(text)

    def __call__(self, *args: str, **env: str) -> Done:
        whole = {**self._env, **env}
        return subprocess.run([*COMMAND, *args], input=b"", capture_output=True, env=whole, timeout=60, check=False)

    def start(self, *args: str) -> "subprocess.Popen[bytes]":
        return subprocess.Popen(
            [*COMMAND, *args],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=self._env,
        )

    def chat(self, url: str, *args: str, **env: str) -> Done:
        """Ask whoever is there, once."""
        self.configure(TABLE.format(url=url))
        return self("chat", "-m", "ws", "-n", "--retries", "0", *args, "Why?", **env)


@pytest.fixture
def llmcli(tmp_path: Path) -> Program:
    return Program(tmp_path)


def chunk(text: str) -> dict[str, str]:
    return {"type": "chunk", "text": text}


def says(*words: str, done: bool = True) -> Script:
    """Answer the second message (the first says the key) with these pieces."""

    def script(client: Client) -> None:
        client.hear()
        client.hear()
        client.say(*map(chunk, words))
        if done:
            client.say({"type": "done", "finish_reason": "stop"})

    return script


@pytest.fixture
def guide() -> Iterator[str]:
    """The server of the guide, by the library that such servers are written with."""

    def handle(connection: ServerConnection) -> None:
        assert json.loads(connection.recv()) == {"type": "auth", "token": KEY}
        for text in connection:
            asked = json.loads(text)
            words = re.findall(r"\s*\S+", asked["messages"][-1]["content"])
            for word in words:
                connection.send(json.dumps(chunk(word)))
            connection.send(json.dumps({"type": "done", "model": "parrot", "usage": {"total_tokens": len(words)}}))

    with serve_websocket(handle, "127.0.0.1", 0) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"ws://127.0.0.1:{server.socket.getsockname()[1]}"
        server.shutdown()
        thread.join(PATIENCE)


def test_a_url_is_all_that_the_guides_protocol_needs(llmcli: Program, guide: str) -> None:
    llmcli.configure(f'[providers.ws]\nadapter = "websocket"\nbase_url = "{guide}"\napi_key = {{ env = "WS_KEY" }}')
    done = llmcli("chat", "-m", "ws", "-n", "Say: Grüße 🦙")

    assert (done.returncode, done.stdout.decode(), done.stderr) == (0, "Say: Grüße 🦙", b"")


@pytest.mark.parametrize("stream", ["--stream", "--no-stream"])
def test_an_answer_is_the_same_whole_and_in_pieces(llmcli: Program, guide: str, stream: str) -> None:
    done = llmcli.chat(guide, stream, "--json")
    reply = json.loads(done.stdout)

    assert (done.returncode, reply["content"]) == (0, "Why?")
    assert (reply["metadata"]["model"], reply["metadata"]["usage"]["total_tokens"]) == ("parrot", 1)


def test_an_answer_that_is_cut_exits_10_and_names_the_close_code(llmcli: Program, serve: Serve) -> None:
    def script(client: Client) -> None:
        says("Once", " upon", done=False)(client)
        client.close(1011, "out of memory")

    done = llmcli.chat(serve(script).base_url)

    assert (done.returncode, done.stdout) == (10, b"Once upon")
    assert b"1011 (internal error): out of memory" in done.stderr


def test_an_answer_that_stalls_exits_10(llmcli: Program, serve: Serve) -> None:
    done = llmcli.chat(serve(says("Once", done=False)).base_url, "--idle-timeout", "0.3")

    assert (done.returncode, done.stdout) == (10, b"Once")
    assert b"stalled" in done.stderr


def test_an_answer_that_never_begins_exits_7(llmcli: Program, serve: Serve) -> None:
    assert llmcli.chat(serve(says(done=False)).base_url, "--first-timeout", "0.3").returncode == 7


@pytest.mark.parametrize(("code", "status"), [(1000, 8), (1001, 7), (1006, 7), (1008, 4), (1009, 5), (1013, 6)])
def test_a_close_before_any_answer_exits_as_its_code_means(
    llmcli: Program, serve: Serve, code: int, status: int
) -> None:
    def script(client: Client) -> None:
        client.hear()
        if code == 1006:
            client.hang_up()
        else:
            client.close(code)

    done = llmcli.chat(serve(script).base_url)

    assert (done.returncode, done.stdout) == (status, b"")
    assert str(code).encode() in done.stderr


def test_a_server_that_asks_to_come_back_is_asked_again(llmcli: Program, serve: Serve) -> None:
    server = serve(lambda client: client.close(1013, "starting"), says("Now."))
    llmcli.configure(TABLE.format(url=server.base_url))
    done = llmcli("chat", "-m", "ws", "-n", "hi")

    assert (done.returncode, done.stdout) == (0, b"Now.")
    assert b"1013 (try again later): starting" in done.stderr


@pytest.mark.parametrize(
    ("status", "headers", "exit_status"),
    [
        (401, [], 4),
        (403, [], 4),
        (404, [], 5),
        (429, [], 6),
        (500, [], 8),
        (302, ["Location: ws://elsewhere.test/"], 8),
    ],
)
def test_a_declined_handshake_exits_as_its_status_means(
    llmcli: Program, serve: Serve, status: int, headers: list[str], exit_status: int
) -> None:
    server = serve(lambda client: client.answer(status, "no", *headers), agree=False)

    assert llmcli.chat(server.base_url).returncode == exit_status


def test_a_key_that_is_refused_exits_4_and_is_shown_nowhere(llmcli: Program, serve: Serve, tmp_path: Path) -> None:
    def script(client: Client) -> None:
        client.say({"type": "error", "error": f"Invalid token {client.hear()['token']}"})

    log = tmp_path / "log"
    done = llmcli.chat(serve(script).base_url, "-v", "--log-file", str(log))

    assert done.returncode == 4
    assert b"Invalid token ***" in done.stderr
    assert KEY.encode() not in done.stdout + done.stderr + log.read_bytes()


@pytest.mark.parametrize("place", ['header = "Authorization", scheme = "Bearer"', 'query = "token"'])
def test_a_key_in_the_handshake_is_shown_nowhere(llmcli: Program, serve: Serve, tmp_path: Path, place: str) -> None:
    def script(client: Client) -> None:
        client.hear()
        client.say(chunk("hi"), {"type": "done"})

    server, log = serve(script), tmp_path / "log"
    llmcli.configure(TABLE.format(url=server.base_url).replace('env = "WS_KEY"', f'env = "WS_KEY", {place}'))
    done = llmcli("chat", "-m", "ws", "-n", "-v", "--log-file", str(log), "hi")

    assert (done.returncode, done.stdout) == (0, b"hi")
    assert KEY in str(server.client.headers) + server.client.path
    assert KEY.encode() not in done.stderr + log.read_bytes()


def test_a_key_does_not_go_into_the_clear(llmcli: Program) -> None:
    done = llmcli.chat("ws://ws.example.com/v1")

    assert done.returncode == 2
    assert b"refusing to send the key of ws over plain ws to ws.example.com" in done.stderr
    assert b"use wss" in done.stderr


@pytest.mark.parametrize("encrypted", [False, True])
def test_ctrl_c_cancels_the_answer_and_closes_the_connection(
    llmcli: Program, serve: Serve, tls: ssl.SSLContext, ca_file: str, encrypted: bool
) -> None:
    def script(client: Client) -> None:
        says("Once upon", done=False)(client)
        client.frame(Opcode.PING)

    server = serve(script, tls=tls if encrypted else None)
    llmcli.configure(TABLE.format(url=server.base_url) + f'ca_bundle = "{ca_file}"\n')
    with llmcli.start("chat", "-m", "ws", "-n", "hi") as running:
        assert running.stdout is not None
        assert running.stdout.read(9) == b"Once upon"
        assert server.clients[0].ponged.wait(PATIENCE)
        running.send_signal(signal.SIGINT)
        assert running.wait(PATIENCE) == -signal.SIGINT

    auth, generate, cancel = server.client.said
    assert (auth["type"], cancel) == ("auth", {"type": "cancel", "id": generate["id"]})
    assert server.client.left == 1000


def test_a_reader_that_goes_away_cancels_the_answer_too(llmcli: Program, serve: Serve) -> None:
    def script(client: Client) -> None:
        says("Once", done=False)(client)
        gone.wait(PATIENCE)
        client.say(chunk(" upon"), chunk(" a time"))

    gone = threading.Event()
    server = serve(script)
    llmcli.configure(TABLE.format(url=server.base_url))
    with llmcli.start("chat", "-m", "ws", "-n", "hi") as running:
        assert running.stdout is not None
        assert running.stdout.read(4) == b"Once"
        running.stdout.close()
        gone.set()
        assert running.wait(PATIENCE) == -signal.SIGPIPE

    assert server.client.said[-1]["type"] == "cancel"


def test_an_encrypted_answer_comes_with_a_ca_bundle_and_not_without(
    llmcli: Program, serve: Serve, tls: ssl.SSLContext, ca_file: str
) -> None:
    server = serve(says("Sealed."), tls=tls)
    done = llmcli.chat(server.base_url, "--ca-bundle", ca_file)
    assert (done.returncode, done.stdout) == (0, b"Sealed.")

    done = llmcli.chat(server.base_url)
    assert done.returncode == 7
    assert b"not trusted here" in done.stderr


def test_an_answer_comes_through_a_proxy_that_sees_none_of_it(
    llmcli: Program, serve: Serve, tls: ssl.SSLContext, ca_file: str
) -> None:
    server = serve(says("Sealed."), tls=tls)
    proxy = Proxy(server.port)
    try:
        done = llmcli.chat(f"wss://{HOST}/v1", "--ca-bundle", ca_file, https_proxy=proxy.url)
    finally:
        proxy.close()

    assert (done.returncode, done.stdout, done.stderr) == (0, b"Sealed.", b"")
    assert proxy.asked == [f"CONNECT {HOST}:443 HTTP/1.1"]
    assert KEY.encode() not in proxy.through
    assert server.client.path == "/v1"


def test_a_mistake_in_the_table_exits_3_and_says_where(llmcli: Program) -> None:
    llmcli.configure(TABLE.format(url="ws://127.0.0.1:1") + '[providers.ws.chat]\ndelat = "text"\n')
    done = llmcli("chat", "-m", "ws", "-n", "hi")
    assert (done.returncode, b"unknown key providers.ws.chat.delat" in done.stderr) == (3, True)
    assert b"did you mean delta?" in done.stderr

    llmcli.configure(TABLE.format(url="ws://127.0.0.1:1") + '[providers.ws.chat]\ndelta = "text ||"\n')
    done = llmcli("chat", "-m", "ws", "-n", "hi")
    assert done.returncode == 3
    assert b"providers.ws.chat.delta: it ends too early at column 8" in done.stderr


def test_health_and_models_answer(llmcli: Program, serve: Serve) -> None:
    server = serve(lambda client: None)
    llmcli.configure(TABLE.format(url=server.base_url) + 'models = ["small", "large"]\n')

    assert llmcli("health", "ws").returncode == 0
    assert llmcli("models", "list", "ws").stdout == b"ws/small\nws/large\n"


# --- the tables of the README ---------------------------------------------------------------------


def table(number: int) -> str:
    """A table of the README: TOML of at most 20 lines."""
    text = re.findall(r"```toml\n(.*?)```", README.read_text(), re.DOTALL)[number]
    assert len(text.splitlines()) <= 20
    return str(text)


def at(text: str, url: str) -> str:
    """The table, with its server on this machine."""
    base_url = next(iter(tomllib.loads(text)["providers"].values()))["base_url"]
    return text.replace(base_url, url)


def test_the_first_table_of_the_readme_works_as_it_stands(llmcli: Program, guide: str) -> None:
    llmcli.configure(at(table(0), guide))
    done = llmcli("chat", "-m", "ws", "-n", "Why?")

    assert (done.returncode, done.stdout, done.stderr) == (0, b"Why?", b"")


def realtime(*deltas: str, status: str = "completed", reason: str | None = None) -> Script:
    """OpenAI's Realtime API, as far as a text conversation shows it."""
    details = {"type": status, "reason": reason} if reason else None
    usage = {"input_tokens": 4, "output_tokens": 2, "total_tokens": 6}
    response: dict[str, Any] = {"id": "resp_1", "status": status, "status_details": details, "usage": usage}

    def script(client: Client) -> None:
        client.say({"type": "session.created", "session": {"id": "sess_1"}})
        while client.hear()["type"] != "response.create":
            client.say({"type": "session.updated"}, {"type": "conversation.item.added", "item": {"id": "item_1"}})
        client.say({"type": "response.created", "response": {"id": "resp_1", "status": "in_progress"}})
        for delta in deltas:
            client.say({"type": "response.output_text.delta", "response_id": "resp_1", "delta": delta})
        client.say({"type": "response.output_text.done", "text": "".join(deltas)})
        client.say({"type": "response.done", "response": response})

    return script


def test_the_table_for_openai_realtime_holds_a_text_conversation(llmcli: Program, serve: Serve) -> None:
    server = serve(realtime("Grüße", " 🦙"))
    llmcli.configure(at(table(1), server.base_url))
    done = llmcli("chat", "-m", "realtime", "-n", "--json", "-s", "Be brief.", "Why?", OPENAI_API_KEY=KEY)
    reply = json.loads(done.stdout)

    assert (done.returncode, reply["content"]) == (0, "Grüße 🦙")
    assert reply["metadata"]["usage"] == {"prompt_tokens": 4, "completion_tokens": 2, "total_tokens": 6}
    assert server.client.headers["authorization"] == f"Bearer {KEY}"
    session, item, create = server.client.said
    assert session["session"] == {"type": "realtime", "output_modalities": ["text"], "instructions": "Be brief."}
    assert item["item"] == {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Why?"}]}
    assert create == {"type": "response.create"}


def test_an_incomplete_realtime_response_says_why(llmcli: Program, serve: Serve) -> None:
    server = serve(realtime("Once", status="incomplete", reason="max_output_tokens"))
    llmcli.configure(at(table(1), server.base_url))
    done = llmcli("chat", "-m", "realtime", "-n", "--json", "--max-tokens", "9", "Why?", OPENAI_API_KEY=KEY)

    assert json.loads(done.stdout)["metadata"]["finish_reason"] == "length"
    assert server.client.said[-1]["response"] == {"max_output_tokens": 9}


def test_a_realtime_function_call_is_read(llmcli: Program, serve: Serve) -> None:
    called = {"call_id": "call_1", "name": "look_up", "arguments": '{"city": "Bern"}'}

    def script(client: Client) -> None:
        client.say({"type": "session.created"}, {"type": "response.function_call_arguments.done", **called})
        client.say({"type": "response.done", "response": {"status": "completed"}})

    server = serve(script)
    llmcli.configure(at(table(1), server.base_url))
    tools = '[{"type": "function", "name": "look_up"}]'
    done = llmcli("chat", "-m", "realtime", "-n", "--json", "--option", f"tools={tools}", "hi", OPENAI_API_KEY=KEY)
    reply = json.loads(done.stdout)

    assert (reply["metadata"]["finish_reason"], len(reply["tool_calls"])) == ("tool_calls", 1)
    assert called["arguments"] in json.dumps(reply["tool_calls"]).replace("\\", "")
    assert server.client.said[0]["session"]["tools"] == json.loads(tools)


def test_a_realtime_response_that_failed_is_no_answer(llmcli: Program, serve: Serve) -> None:
    llmcli.configure(at(table(1), serve(realtime(status="failed")).base_url))

    assert llmcli("chat", "-m", "realtime", "-n", "--retries", "0", "Why?", OPENAI_API_KEY=KEY).returncode == 8


def test_a_realtime_error_is_the_error_that_it_means(llmcli: Program, serve: Serve) -> None:
    def script(client: Client) -> None:
        error = {"type": "invalid_request_error", "code": "invalid_api_key", "message": "Incorrect API key"}
        client.say({"type": "error", "error": error})

    llmcli.configure(at(table(1), serve(script).base_url))
    done = llmcli("chat", "-m", "realtime", "-n", "--retries", "0", "Why?", OPENAI_API_KEY=KEY)

    assert done.returncode == 4
    assert b"Incorrect API key" in done.stderr
