"""
`-a`, from the shell to the wire: which bytes go out, and which never do.
"""

import os
import shlex
import subprocess
from base64 import b64encode
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.program import COMMAND, PATIENCE, Done, Program
from tests.servers import Server, answers, says

PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 4
BASE64 = b64encode(PNG).decode()


@pytest.fixture
def cat(llmcli: Program) -> str:
    """A picture that says what it is by its content only."""
    (llmcli.home / "cat").write_bytes(PNG)
    return "cat"


def body(done: Done) -> Any:
    assert done.status == 0, done.err
    return done.json["body"]


def dry(llmcli: Program, *args: str, provider: str = "openai", **popen: Any) -> Done:
    return llmcli("chat", "-m", f"{provider}/m", "--dry-run", *args, "what is it?", **popen)


def test_a_picture_goes_out_before_the_words(llmcli: Program, cat: str, serve: Callable[..., Server]) -> None:
    server = serve(says("a cat"))

    done = llmcli.chat(server.url, "-a", cat, "what is it?")

    assert (done.status, done.text) == (0, "a cat")
    assert server.requests[0].json["messages"][-1]["content"] == [
        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{BASE64}"}},
        {"type": "text", "text": "what is it?"},
    ]


def test_a_picture_comes_from_stdin(llmcli: Program, serve: Callable[..., Server]) -> None:
    server = serve(says("a cat"))
    command = ("chat", "-p", "openai-compatible", "--base-url", server.url, "-m", "m", "-a", "-", "what is it?")

    assert llmcli(*command, stdin=PNG).status == 0

    picture, words = server.requests[0].json["messages"][-1]["content"]
    assert picture["image_url"]["url"].endswith(BASE64)
    assert words["text"] == "what is it?"


@pytest.mark.parametrize(
    "args", [("-f", "-"), ("{stdin}",), ("-a", "-")], ids=["a file", "a place", "another attachment"]
)
def test_stdin_has_one_reader(args: tuple[str, ...], llmcli: Program) -> None:
    done = llmcli("chat", "-m", "openai/m", "--dry-run", "-a", "-", *args, "hi", stdin=PNG)

    assert done.status == 2
    assert "stdin can be read once only" in done.err


def test_who_is_told_to_leave_stdin_alone_cannot_attach_it(llmcli: Program) -> None:
    done = dry(llmcli, "-n", "-a", "-", stdin=PNG)

    assert done.status == 2
    assert done.err.startswith("llmcli: -a - reads stdin and --no-stdin forbids it")


def test_text_from_stdin_goes_with_a_picture_from_a_file(llmcli: Program, cat: str) -> None:
    content = body(dry(llmcli, "-a", cat, stdin=b"a caption"))["messages"][-1]["content"]

    assert content[1]["text"] == "what is it?\n\na caption"


def test_a_dry_run_has_a_note_in_the_place_of_the_bytes(llmcli: Program, cat: str) -> None:
    done = dry(llmcli, "-n", "-a", cat)

    assert (
        body(done)["messages"][-1]["content"][0]["image_url"]["url"] == "data:image/png;base64,<image/png, 1,032 bytes>"
    )
    assert BASE64 not in done.text


@pytest.mark.parametrize("flag", ["-v", "--log-file=log"])
def test_the_bytes_are_in_no_log(flag: str, llmcli: Program, cat: str, serve: Callable[..., Server]) -> None:
    done = llmcli.chat(serve(says("a cat")).url, flag, "-a", cat, "what is it?")

    log = llmcli.home / "log"
    assert BASE64[:40] not in done.err + (log.read_text() if log.exists() else "")


def test_a_curl_command_holds_what_it_sends(llmcli: Program, cat: str) -> None:
    done = llmcli("chat", "-n", "-m", "openai/m", "--curl", "-a", cat, "hi")

    assert BASE64 in done.text


def test_who_sees_nothing_is_refused_before_stdin_is_read(llmcli: Program, cat: str) -> None:
    done = llmcli("chat", "-m", "echo", "-a", cat, "what is it?", stdin=b"\xff")

    assert done.status == 5
    assert done.err.startswith("llmcli: echo takes no attachments")
    assert "providers --capability vision" in done.err


def test_a_text_file_is_no_attachment_and_a_picture_no_text(llmcli: Program, cat: str) -> None:
    (llmcli.home / "notes.txt").write_text("hi")

    attached, added = dry(llmcli, "-n", "-a", "notes.txt"), dry(llmcli, "-n", "-f", cat)

    assert (attached.status, added.status) == (2, 2)
    assert "-f, or /file in a conversation, adds a text file" in attached.err
    assert "it is image/png: -a cat attaches it" in added.err


def test_a_picture_in_stdin_is_told_from_text(llmcli: Program) -> None:
    done = dry(llmcli, stdin=PNG)

    assert done.status == 2
    assert "it is image/png: -a - attaches it" in done.err


def test_a_type_that_the_provider_does_not_take_is_refused(llmcli: Program) -> None:
    (llmcli.home / "clip").write_bytes(b"\x1aE\xdf\xa3")

    done = dry(llmcli, "-n", "-a", "clip")

    assert done.status == 5
    assert done.err.startswith("llmcli: openai takes no video/webm (clip)")


# --- URLs -----------------------------------------------------------------------------------------


def test_a_url_is_passed_on_where_the_service_fetches_it(llmcli: Program) -> None:
    url = "https://pictures.example/cat.png?size=1"

    content = body(dry(llmcli, "-n", "-a", url))["messages"][-1]["content"]

    assert content[0] == {"type": "image_url", "image_url": {"url": url}}


def test_a_server_of_ones_own_is_not_sent_to_fetch_from_inside_ones_network(llmcli: Program) -> None:
    url = "https://10.0.0.1/cat.png"

    theirs = dry(llmcli, "-n", "-a", url)
    own = dry(llmcli, "-n", "-a", url, "--base-url", "https://gateway.example/v1")

    assert body(theirs)["messages"][-1]["content"][0]["image_url"]["url"] == url
    assert body(own)["messages"][-1]["content"][0]["image_url"]["url"].startswith("data:image/png;base64,<")


def test_a_picture_that_the_service_repeats_is_not_shown(
    llmcli: Program, serve: Callable[..., Server], cat: str
) -> None:
    server = serve(answers(400, {"error": {"message": f"bad image data:image/png;base64,{BASE64}", "code": 1}}))

    done = llmcli.chat(server.url, "-a", cat, "what is it?")

    assert done.status == 5
    assert f"bad image data:image/png;base64,<{len(BASE64):,} characters>" in done.err


def test_a_name_that_is_not_utf_8_is_no_hindrance(llmcli: Program) -> None:
    name = os.fsencode(llmcli.home) + b"/p\xff.pdf"
    with open(name, "wb") as file:
        file.write(b"%PDF-1.7 and so on")

    done = llmcli("chat", "-n", "-m", "openai/m", "--dry-run", "-a", os.fsdecode(name), "hi")

    assert done.status == 0, done.err
    assert "p\ufffd.pdf" in done.text


@pytest.mark.parametrize("option", ["-a", "-f"])
def test_a_pipe_with_a_name_is_waited_for_until_the_total_timeout(llmcli: Program, option: str) -> None:
    os.mkfifo(llmcli.home / "pipe")

    done = llmcli.chat("http://127.0.0.1:9/v1", "-n", "--timeout", "1", option, "pipe", "hi")

    assert done.status == 2
    assert "nothing more came from pipe within the total timeout of 1 s" in done.err


def test_what_a_shell_puts_into_the_place_of_a_file_is_read(llmcli: Program, cat: str) -> None:
    command = f"{shlex.join(COMMAND)} chat -n -m openai/m --dry-run -a <(sleep 0.2; cat {cat}) -f <(echo hello) hi"

    done = subprocess.run(
        ["bash", "-c", command], env=llmcli.env, cwd=llmcli.home, capture_output=True, timeout=PATIENCE
    )

    assert done.returncode == 0, done.stderr
    assert b"image/png, 1,032 bytes" in done.stdout
    assert b"hello" in done.stdout


def test_a_dry_run_fetches_nothing(llmcli: Program, serve: Callable[..., Server]) -> None:
    server = serve(answers(200, PNG))

    done = dry(llmcli, "-n", "-a", f"{server.url}/cat", "--attach-private")

    assert f"<image/png, fetched from {server.url}/cat>" in done.text
    assert server.accepted == 0


def test_a_url_of_this_machine_is_fetched_only_where_the_user_says_so(
    llmcli: Program, serve: Callable[..., Server]
) -> None:
    pictures, model = serve(answers(200, PNG)), serve(says("a cat"))

    refused = llmcli.chat(model.url, "-a", f"{pictures.url}/cat", "what is it?")

    assert (refused.status, refused.out, pictures.accepted, model.accepted) == (2, b"", 0, 0)
    assert "127.0.0.1 is not an address of the public internet" in refused.err
    assert "--attach-private" in refused.err

    done = llmcli.chat(model.url, "-a", f"{pictures.url}/cat", "--attach-private", "what is it?")

    assert done.status == 0
    assert model.requests[0].json["messages"][-1]["content"][0]["image_url"]["url"].endswith(BASE64)


def test_no_key_goes_to_where_a_picture_is(llmcli: Program, serve: Callable[..., Server], tmp_path: Path) -> None:
    pictures, model = serve(answers(200, PNG)), serve(says("a cat"))
    (tmp_path / "key").write_text("sk-secret")
    options = ("--api-key-file", str(tmp_path / "key"), "--attach-private")

    assert llmcli.chat(model.url, "-a", f"{pictures.url}/cat", *options, "what is it?").status == 0

    assert "sk-secret" in str(model.requests[0].headers)
    assert "sk-secret" not in str(pictures.requests[0].headers)


def test_another_provider_that_is_asked_gets_the_picture_too(
    llmcli: Program, cat: str, serve: Callable[..., Server]
) -> None:
    busy, good = serve(answers(503, "busy")), serve(says("a cat"))
    llmcli.configure(f'[providers.good]\nadapter = "openai-compatible"\nbase_url = "{good.url}"')

    done = llmcli.chat(busy.url, "-a", cat, "--fallback", "good/m", "what is it?")

    assert (done.status, done.text) == (0, "a cat")
    assert BASE64 in str(good.requests[0].json)


def test_a_picture_that_is_not_there_is_asked_of_nobody_else(llmcli: Program, serve: Callable[..., Server]) -> None:
    pictures, model = serve(answers(503, "busy")), serve(says("a cat"))
    llmcli.configure(f'[providers.good]\nadapter = "openai-compatible"\nbase_url = "{model.url}"')

    done = llmcli.chat(
        model.url, "-a", f"{pictures.url}/cat", "--attach-private", "--fallback", "good/m", "what is it?"
    )

    assert done.status == 8
    assert f"cannot fetch {pictures.url}/cat: the server answers with status 503" in done.err
    assert len(pictures.requests) == 1
    assert model.accepted == 0
