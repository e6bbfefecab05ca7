"""The real program against a gRPC server, with a configuration of a few lines."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
import trustme
from grpc_service import DESCRIPTORS, Document, Script, failing, saying, serving, stalling

CHUNKS = (
    {"text": "Grüße 🦙", "model": "m-1"},
    {"text": "\nBis bald."},
    {"finish_reason": "stop", "usage": {"prompt_tokens": 3, "completion_tokens": 5}},
)
CONFIGURATION = """\
[providers.acme]
adapter = "grpc"
base_url = "{url}"
api_key = {{ env = "ACME_KEY" }}
default_model = "acme-large"
descriptor = "llm.binpb"

[providers.acme.chat]
method = "/llm.v1.LLM/Generate"
request = "{{model: model, messages: messages[].{{role: role, content: content}}, max_tokens: max_tokens}}"
delta = "text"
finish_reason = "finish_reason"
usage = "usage"
"""


class Program:
    """llmcli in a process of its own, with a home of its own."""

    def __init__(self, home: Path) -> None:
        self.config = home / "config" / "llmcli"
        self.config.mkdir(parents=True)
        self.env = {
            "PATH": os.environ["PATH"],
            "HOME": str(home),
            "XDG_CONFIG_HOME": str(home / "config"),
            "LANG": "C.UTF-8",
            "ACME_KEY": "k-123",
        }

    def configure(self, url: str) -> None:
        (self.config / "config.toml").write_text(CONFIGURATION.format(url=url))
        (self.config / "llm.binpb").write_bytes(DESCRIPTORS)

    def start(self, *args: str) -> "subprocess.Popen[bytes]":
        return subprocess.Popen(
            [sys.executable, "-m", "llmcli", *args], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, env=self.env,
        )  # fmt: skip

    def __call__(self, *args: str) -> tuple[int, str, str]:
        """The exit status, stdout and stderr of a run."""
        with self.start(*args) as process:
            out, err = process.communicate(timeout=60)
        return process.returncode, out.decode(), err.decode()

    def chat(self, url: str, *args: str) -> tuple[int, str, str]:
        return self("chat", "-p", "grpc", "--base-url", url, "-m", "m", "-n", "--retries", "0", *args, "hi")


@pytest.fixture
def program(tmp_path: Path) -> Program:
    return Program(tmp_path)


def test_a_stream_is_printed_exactly_and_nothing_else_is(program: Program) -> None:
    with serving(saying(*CHUNKS)) as server:
        assert program.chat(server.base_url) == (0, "Grüße 🦙\nBis bald.", "")


def test_a_configuration_of_a_few_lines_makes_a_provider(program: Program) -> None:
    assert len(CONFIGURATION.splitlines()) <= 20
    with serving(saying(*CHUNKS), reflection=None) as server:
        program.configure(server.base_url)
        assert program("chat", "-m", "acme", "-n", "--max-tokens", "9", "hi") == (0, "Grüße 🦙\nBis bald.", "")
    assert server.requests == [
        {"model": "acme-large", "messages": [{"role": "user", "content": "hi"}], "max_tokens": "9"}
    ]
    assert server.metadata[0]["authorization"] == "Bearer k-123"


def test_json_tells_the_model_and_the_tokens(program: Program) -> None:
    with serving(saying(*CHUNKS)) as server:
        status, out, err = program.chat(server.base_url, "--json")
    assert (status, err) == (0, "")
    assert '"prompt_tokens": 3' in out
    assert '"model": "m-1"' in out


@pytest.mark.parametrize(
    ("script", "status"),
    [
        (failing(grpc.StatusCode.UNAUTHENTICATED, "bad token"), 4),
        (failing(grpc.StatusCode.INVALID_ARGUMENT, "temperature"), 5),
        (failing(grpc.StatusCode.UNAVAILABLE, "restarting"), 6),
        (failing(grpc.StatusCode.INTERNAL, "oops"), 8),
        (failing(grpc.StatusCode.RESOURCE_EXHAUSTED, "insufficient_quota"), 9),
        (failing(grpc.StatusCode.INTERNAL, "oops", {"text": "Hel"}), 10),
    ],
)
def test_each_failure_has_its_exit_status_and_one_or_two_lines(program: Program, script: Script, status: int) -> None:
    with serving(script) as server:
        found, _, err = program.chat(server.base_url)
    assert found == status
    assert 1 <= len(err.splitlines()) <= 2
    assert err.startswith("llmcli: ")


def test_a_server_that_is_not_there_exits_7(program: Program) -> None:
    status, out, err = program.chat("grpc://127.0.0.1:1")
    assert (status, out) == (7, "")
    assert err.startswith("llmcli: cannot connect to 127.0.0.1:1: ")
    assert len(err.splitlines()) == 2


@pytest.mark.parametrize("name", ["localhost", "other.test"])
def test_a_certificate_that_does_not_hold_exits_7_and_only_llmcli_speaks_of_it(
    program: Program, tmp_path: Path, name: str
) -> None:
    authority = trustme.CA()
    bundle = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(bundle))
    certificate = authority.issue_cert(name)
    chain = b"".join(blob.bytes() for blob in certificate.cert_chain_pems)
    credentials = grpc.ssl_server_credentials([(certificate.private_key_pem.bytes(), chain)])
    with serving(saying(*CHUNKS), credentials=credentials) as server:
        trusted = ("--ca-bundle", str(bundle)) if name != "localhost" else ()
        status, out, err = program.chat(server.base_url, *trusted)
    assert (status, out) == (7, "")
    assert err.startswith("llmcli: cannot connect to localhost:")
    assert len(err.splitlines()) == 2


def test_a_server_that_is_busy_is_asked_again_as_it_wishes(program: Program) -> None:
    turns = iter([failing(grpc.StatusCode.UNAVAILABLE, "later", retry_after="0"), saying(*CHUNKS)])

    def script(request: Document, context: grpc.ServicerContext) -> Iterator[Document | bytes]:
        yield from next(turns)(request, context)

    with serving(script) as server:
        status, out, err = program.chat(server.base_url, "--retries", "1")
    assert (status, out) == (0, "Grüße 🦙\nBis bald.")
    assert "trying again" in err


def test_ctrl_c_in_mid_stream_exits_130_and_the_server_hears_it(program: Program) -> None:
    with serving(stalling({"text": "Hel"})) as server:
        args = ("chat", "-p", "grpc", "--base-url", server.base_url, "-m", "m", "-n", "hi")
        with program.start(*args) as process:
            assert process.stdout is not None
            assert process.stdout.read(3) == b"Hel"
            process.send_signal(signal.SIGINT)
            assert process.wait(timeout=30) == -signal.SIGINT
            assert process.stderr is not None
            assert process.stderr.read() == b""
        assert server.gone.wait(30)


def test_ctrl_c_before_the_answer_ends_it_at_once(program: Program) -> None:
    asked = threading.Event()

    def script(request: Document, context: grpc.ServicerContext) -> Iterator[Document | bytes]:
        asked.set()
        yield from stalling()(request, context)

    with serving(script) as server:
        args = ("chat", "-p", "grpc", "--base-url", server.base_url, "-m", "m", "-n", "hi")
        with program.start(*args) as process:
            assert asked.wait(30)
            process.send_signal(signal.SIGINT)
            assert process.wait(timeout=30) == -signal.SIGINT
        assert server.gone.wait(30)


def test_a_reader_that_goes_away_cancels_the_answer(program: Program) -> None:
    def script(request: Document, context: grpc.ServicerContext) -> Iterator[Document]:
        while context.is_active():
            yield {"text": "line\n" * 100}

    with serving(script) as server:
        args = ("chat", "-p", "grpc", "--base-url", server.base_url, "-m", "m", "-n", "hi")
        with program.start(*args) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == b"line\n"
            process.stdout.close()
            assert process.wait(timeout=30) == -signal.SIGPIPE
        assert server.gone.wait(30)


def test_verbose_tells_of_each_call_but_not_of_the_key(program: Program) -> None:
    with serving(saying(*CHUNKS)) as server:
        program.configure(server.base_url)
        status, out, err = program("chat", "-v", "-m", "acme", "-n", "hi")
    assert (status, out) == (0, "Grüße 🦙\nBis bald.")
    assert "* call: method=/llm.v1.LLM/Generate" in err
    assert "* status: code=OK" in err
    assert "k-123" not in err


def test_a_server_that_refuses_the_key_is_reachable_all_the_same(program: Program) -> None:
    class Refusing(grpc.GenericRpcHandler):
        def service(self, handler_call_details: grpc.HandlerCallDetails) -> "grpc.RpcMethodHandler[bytes, bytes]":
            return grpc.unary_unary_rpc_method_handler(
                lambda request, context: context.abort(grpc.StatusCode.UNAUTHENTICATED, "bad token")
            )

    with serving(saying(), handlers=[Refusing()]) as server:
        program.configure(server.base_url)
        status, out, _ = program("health", "acme", "--json")
    assert status == 4
    assert '"reachable": true' in out
    assert '"key_accepted": false' in out


def test_health_asks_the_health_service(program: Program) -> None:
    with serving(saying(), health=b"\x08\x01") as server:
        program.configure(server.base_url)
        assert program("health", "acme")[0] == 0
    with serving(saying(), health=b"\x08\x02") as server:
        program.configure(server.base_url)
        assert program("health", "acme")[0] == 6
    assert server.asked == ["/grpc.health.v1.Health/Check"]
