"""
A key is planted wherever keys come from, everything goes wrong that can, and then it must be nowhere: not in stdout,
stderr, the log, a traceback or a shown request, in whatever way it was encoded. And it goes to its own host only.
"""

import json
import shlex
import socket
from base64 import b64encode
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.program import PATIENCE, Done, Program
from tests.servers import STREAM_HEAD, Connection, Script, Server, answers, chunk, completion, delta, event, says
from tests.shell import Shell

CANARY = "sk-Canary/7+Q=xZ9%wVnB4mK2"  # of characters that URLs, Base64 and JSON write in ways of their own
WINDOW = 8  # so many characters in a row are a leak


def _traces(secret: str) -> Iterator[str]:
    """Every stretch of `WINDOW` characters of a secret, as it is and as it is encoded."""
    encoded = [secret, quote(secret, safe=""), quote(secret)]
    for skip in range(3):
        # The ends of Base64 hold bits of what stands beside; the inside is the secret's alone.
        encoded.append(b64encode(b"x" * skip + secret.encode()).decode()[4:-4])
    for text in encoded:
        yield from (text[start : start + WINDOW] for start in range(len(text) - WINDOW + 1))


TRACES = frozenset(_traces(CANARY))


def leaks(text: str) -> list[str]:
    """What can be seen of the canary in a text."""
    return sorted({text[start : start + WINDOW] for start in range(len(text))} & TRACES)


def test_a_leak_would_be_seen() -> None:
    assert leaks(f"Bearer {CANARY}")
    assert leaks(f"?key={quote(CANARY, safe='')}")
    assert leaks(b64encode(f"user:{CANARY}".encode()).decode())
    assert leaks(CANARY[4:14])
    assert not leaks("Bearer ***, https://sk-Can...mK2")


# --- where a key comes from -----------------------------------------------------------------------


@dataclass(frozen=True)
class Source:
    """A way to hand over the canary. `header`: the request header in which the server must find it."""

    table: str = ""
    env: dict[str, str] = field(default_factory=dict)
    args: tuple[str, ...] = ()
    header: str = "authorization"


SOURCES = {
    "environment": Source('api_key = { env = "WORK_KEY" }', {"WORK_KEY": CANARY}),
    "--api-key-file": Source(args=("--api-key-file", "planted")),
    "key command": Source('api_key = { command = "cat planted" }'),
    "api_key.file": Source('api_key = { file = "planted" }'),
    "key file": Source(),
    "header of its own": Source(
        'api_key = { env = "WORK_KEY", header = "X-Own" }', {"WORK_KEY": CANARY}, header="x-own"
    ),
    "configured header": Source(f'headers = {{ "X-Api-Token" = "{CANARY}" }}', header="x-api-token"),
    "configured bearer": Source(f'headers = {{ Authorization = "Bearer {CANARY}" }}'),
}


def plant(program: Program, source: Source, url: str) -> None:
    """A provider `work` at a URL, with the canary where the source has it."""
    program.configure(f'[providers.work]\nadapter = "openai-compatible"\nbase_url = "{url}"\n{source.table}\n')
    (program.config / "keys").mkdir()
    places = [program.home / "planted"]
    if source == SOURCES["key file"]:
        places.append(program.config / "keys" / "work")
    for place in places:
        place.write_text(f"{CANARY}\n")
        place.chmod(0o600)


def ask(program: Program, source: Source, *more: str, **env: str) -> Iterator[Done]:
    """Ask as talkatively as possible, in the two ways that errors are told."""
    for form in ((), ("--json",)):
        yield program(
            "chat", "-m", "work/m", "-n", "-v", "--debug", "--log-file", "log", "--usage", "--retries", "1", *form,
            *source.args, *more, "--", "hello", env={**source.env, **env},
        )  # fmt: skip


def everything(program: Program, done: Done) -> str:
    """All that anybody could read."""
    log = program.home / "log"
    return done.out.decode(errors="replace") + done.err + (log.read_text() if log.exists() else "")


# --- what can happen to it ------------------------------------------------------------------------


def echoes(key: str) -> str:
    """A key as services are known to repeat it."""
    return " ".join(
        [
            f"Incorrect API key provided: {key}.",
            f"{key[:5]}{'*' * 12}{key[-4:]}",
            f"{'*' * 20}{key[-4:]}",
            f"curl 'https://api.example/?key={quote(key, safe='')}'",
            f"Authorization: Basic {b64encode(f'user:{key}'.encode()).decode()}",
            b64encode(key.encode()).decode(),
            repr(key.encode()),
            json.dumps(json.dumps({"key": key})),
        ]
    )


def refuses_the_key(connection: Connection) -> None:
    answers(401, {"error": {"message": echoes(CANARY), "code": CANARY, "param": CANARY}}, x_request_id=CANARY)(
        connection
    )


def dumps_the_key(connection: Connection) -> None:
    answers(500, f"<pre>{echoes(CANARY)}</pre>", "text/plain")(connection)


def redirects_with_the_key(connection: Connection) -> None:
    answers(307, "", Location=f"https://u:{CANARY}@evil.example/{CANARY}?key={quote(CANARY, safe='')}")(connection)


def is_busy_with_the_key(connection: Connection) -> None:
    answers(429, {"error": {"message": echoes(CANARY)}}, Retry_After="0")(connection)


def breaks_off_with_the_key(connection: Connection) -> None:
    connection.send(STREAM_HEAD + chunk(delta("one")) + chunk(event({"error": {"message": echoes(CANARY)}})))


def sends_nonsense_with_the_key(connection: Connection) -> None:
    connection.send(STREAM_HEAD + chunk(delta("one")) + chunk(b'data: {"' + CANARY.encode() + b"\n\n"))


def sends_no_json_with_the_key(connection: Connection) -> None:
    answers(200, f"{{{CANARY}", "application/json")(connection)


def speaks_no_http(connection: Connection) -> None:
    connection.send(f"{CANARY}\r\n\r\n".encode())


def has_odd_headers(connection: Connection) -> None:
    answers(200, completion("hello"), Set_Cookie=f"key={CANARY}", X_Debug=CANARY)(connection)


SITUATIONS: dict[str, tuple[Script, int]] = {
    "success": (says("hello"), 0),
    "odd headers": (has_odd_headers, 0),
    "401": (refuses_the_key, 4),
    "500": (dumps_the_key, 8),
    "429": (is_busy_with_the_key, 6),
    "redirect": (redirects_with_the_key, 8),
    "error event": (breaks_off_with_the_key, 10),
    "malformed": (sends_nonsense_with_the_key, 10),
    "no JSON": (sends_no_json_with_the_key, 8),
    "no HTTP": (speaks_no_http, 8),
}


# Every source where the key is echoed in all its forms, and every situation with a key and with a header.
@pytest.mark.parametrize(
    ("name", "situation"),
    [(name, "401") for name in SOURCES]
    + [
        (name, situation)
        for name in ("environment", "configured header")
        for situation in SITUATIONS
        if situation != "401"
    ],
)
def test_the_key_is_shown_nowhere(llmcli: Program, serve: Callable[..., Server], name: str, situation: str) -> None:
    source = SOURCES[name]
    script, status = SITUATIONS[situation]
    server = serve(script)
    plant(llmcli, source, server.url)

    for done in ask(llmcli, source):
        assert done.status == status
        assert server.requests[-1].headers[source.header].removeprefix("Bearer ") == CANARY, "it was not even used"
        assert leaks(everything(llmcli, done)) == []
    assert "request" in (llmcli.home / "log").read_text()


@pytest.mark.parametrize("source", SOURCES.values(), ids=SOURCES.keys())
def test_the_key_is_shown_nowhere_when_nobody_answers(llmcli: Program, source: Source) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    plant(llmcli, source, f"http://127.0.0.1:{port}/v1")

    for done in ask(llmcli, source):
        assert done.status == 7
        assert "connection refused" in done.err
        assert leaks(everything(llmcli, done)) == []


@pytest.mark.parametrize("source", SOURCES.values(), ids=SOURCES.keys())
@pytest.mark.parametrize("how", ["--dry-run", "--curl"])
def test_the_key_is_not_in_a_request_that_is_shown(llmcli: Program, source: Source, how: str) -> None:
    plant(llmcli, source, "http://127.0.0.1:9/v1")

    done = llmcli(
        "chat", "-m", "work/m", "-n", "-v", "--debug", how, *source.args, f"my key is {CANARY}", env=source.env
    )

    assert done.status == 0
    assert "my key is ***" in done.text
    assert leaks(everything(llmcli, done)) == []


@pytest.mark.parametrize("name", ["environment", "key command", "configured header"])
@pytest.mark.parametrize("command", ["models list work", "health work", "providers", "providers show work"])
@pytest.mark.parametrize("situation", ["401", "redirect"])
def test_no_other_command_shows_the_key(
    llmcli: Program, serve: Callable[..., Server], name: str, command: str, situation: str
) -> None:
    source = SOURCES[name]
    plant(llmcli, source, serve(SITUATIONS[situation][0]).url)

    for form in ((), ("--json",)):
        done = llmcli(*command.split(), *form, env=source.env)
        assert "work" in everything(llmcli, done)
        assert leaks(everything(llmcli, done)) == []


def says_in_a_cut_message(connection: Connection) -> None:
    answers(400, {"error": {"message": "xxxxx " * 81 + "x " + CANARY}})(connection)


def says_in_cut_noise(connection: Connection) -> None:
    answers(200, "x" * 65 + " " + CANARY + "!" * 100, "text/plain")(connection)


def says_at_the_end_of_an_excerpt(connection: Connection) -> None:
    answers(200, '{"a": !' + "x" * 25 + " " + CANARY + "x" * 100)(connection)


def says_at_the_start_of_an_excerpt(connection: Connection) -> None:
    answers(200, f'["{"x" * 100}{CANARY}", "{"x" * 20}" !')(connection)


@pytest.mark.parametrize(
    "script",
    [says_in_a_cut_message, says_in_cut_noise, says_at_the_end_of_an_excerpt, says_at_the_start_of_an_excerpt],
)
def test_no_part_of_the_key_is_shown_where_a_message_was_cut_inside_it(
    llmcli: Program, serve: Callable[..., Server], script: Script
) -> None:
    source = SOURCES["environment"]
    plant(llmcli, source, serve(script).url)

    for done in ask(llmcli, source):
        assert done.status in (5, 8)
        assert "xxxxx" in done.err, "nothing of the message was shown at all"
        assert leaks(everything(llmcli, done)) == []


@pytest.mark.parametrize(
    ("header", "secret"),
    [
        ('Cookie = "session=TOPSECRET1; theme=dark"', "TOPSECRET1"),
        ('Authorization = "Bearer TOPSECRET1 "', "TOPSECRET1"),
        ('X-Auth = "user TOPSECRET1,TOPSECRET2"', "TOPSECRET2"),
        ('X-Api-Token = "TOPSECRET1 and more"', "TOPSECRET1"),
        ('Authorization = "Basic dXNlcjpwYXNzd29yZA=="', "dXNlcjpwYXNzd29yZA"),
    ],
)
def test_a_secret_within_a_configured_header_is_shown_nowhere(
    llmcli: Program, serve: Callable[..., Server], header: str, secret: str
) -> None:
    server = serve(answers(400, {"error": {"message": f"cannot read the bearer's {secret}; a dark theme is not it"}}))
    source = Source(f"headers = {{ {header} }}")
    plant(llmcli, source, server.url)

    for done in ask(llmcli, source):
        assert secret in str(server.requests[-1].headers), "it was not even used"
        assert secret not in everything(llmcli, done)
        assert "cannot read the bearer's ***; a dark theme is not it" in done.err


@pytest.mark.parametrize(
    "table",
    [
        'api_key = { env = "WORK_KEY" }',
        'api_key = { env = "WORK_KEY", header = "X-Own" }',
        'headers = { "X-Api-Key" = "k-42" }',
        'headers = { "X-Some-Token" = "k-42" }',
    ],
)
def test_a_short_key_is_not_in_the_log_either(llmcli: Program, serve: Callable[..., Server], table: str) -> None:
    """It is too short to be masked wherever its letters stand, but its header is known."""
    server = serve(says("hello"))
    source = Source(table, {"WORK_KEY": "k-42"})
    plant(llmcli, source, server.url)

    for done in ask(llmcli, source):
        assert "k-42" in str(server.requests[-1].headers), "it was not even used"
        assert "k-42" not in everything(llmcli, done)


def test_a_crash_shows_no_key(llmcli: Program) -> None:
    llmcli.configure('[providers.echo]\napi_key = { env = "WORK_KEY" }')
    crash = ("chat", "-m", "echo", "-n", "--debug", "-v", "--log-file", "log", "--option", "fail=crash")

    done = llmcli(*crash, f"my key is {CANARY}", env={"WORK_KEY": CANARY})

    assert done.status == 1
    assert "Traceback" in done.err
    assert leaks(everything(llmcli, done)) == []


@pytest.mark.parametrize(
    "place",
    [
        f'[providers.work]\napi_key = "{CANARY}"',
        f'[providers.work]\nadapter = "openai-compatible"\napi_key = "{CANARY}"',
        f'[providers.work]\nadapter = "openai-compatible"\nmodels = "{CANARY}"',
        f'[providers.work]\nadapter = "openai-compatible"\napi_key.env = ["{CANARY}"]',
        f'[providers]\nwork = "{CANARY}"',
        f'aliases = "{CANARY}"',
        f'[timeouts]\nidle = "{CANARY}"',
    ],
)
def test_a_key_in_the_wrong_place_is_not_repeated_by_the_error(llmcli: Program, place: str) -> None:
    llmcli.configure(place)

    done = llmcli("chat", "-m", "work/m", "-n", "--debug", "hello")

    assert done.status == 3
    assert leaks(everything(llmcli, done)) == []


@pytest.mark.parametrize("bad", [f"{CANARY}\n{CANARY}", f"{CANARY} {CANARY}", f"{CANARY}é"])
def test_a_key_that_no_header_can_hold_is_not_repeated_by_the_error(llmcli: Program, bad: str) -> None:
    for form in ((), ("--json",)):
        done = llmcli("chat", "-m", "openai", "-n", "--debug", "-v", *form, "hi", env={"OPENAI_API_KEY": bad})

        assert done.status == 4
        assert leaks(everything(llmcli, done)) == []


def test_a_key_command_that_fails_shows_no_key_that_is_known(llmcli: Program) -> None:
    """What it says on stderr is shown, for it says why; what it printed on stdout is not."""
    (llmcli.home / "fails").write_text(
        f"#!/bin/sh\necho {shlex.quote(CANARY)}\necho 'the vault is locked' >&2\nexit 5\n"
    )
    (llmcli.home / "fails").chmod(0o755)
    llmcli.configure('[providers.openai]\napi_key = { command = "./fails" }')

    done = llmcli("chat", "-m", "openai", "-n", "--debug", "hi")

    assert done.status == 4
    assert "exited with 5: the vault is locked" in done.err
    assert leaks(everything(llmcli, done)) == []


def test_the_key_is_never_an_argument_of_a_process(llmcli: Program, serve: Callable[..., Server]) -> None:
    """Everybody on the machine can read those."""
    seen: list[bytes] = []

    def look(connection: Connection) -> None:
        seen.append(Path(f"/proc/{process.pid}/cmdline").read_bytes())
        says("hello")(connection)

    server = serve(look)
    source = SOURCES["environment"]
    plant(llmcli, source, server.url)
    process = llmcli.start("chat", "-m", "work/m", "-n", "hello", env=source.env)
    with process:
        process.communicate(timeout=PATIENCE)

    assert process.returncode == 0
    assert b"work/m" in seen[0]
    assert leaks(seen[0].decode()) == []


# --- the password of a proxy ----------------------------------------------------------------------

PROXIED = ("chat", "-p", "openai-compatible", "--base-url", "http://llm.invalid/v1", "-m", "m", "-n", "--retries", "0")


@pytest.mark.parametrize(
    ("where", "situation"),
    [*(("http_proxy", situation) for situation in SITUATIONS), ("ALL_PROXY", "401"), ("configuration", "401")],
)
def test_the_password_of_a_proxy_is_shown_nowhere(
    llmcli: Program, serve: Callable[..., Server], where: str, situation: str
) -> None:
    script, _ = SITUATIONS[situation]
    server = serve(script)
    proxy = f"http://user:{quote(CANARY, safe='')}@127.0.0.1:{server.port}"
    if where == "configuration":
        llmcli.configure(f'[providers.openai-compatible]\nproxy = "{proxy}"')
    env = {} if where == "configuration" else {where: proxy}

    for form in ((), ("--json",)):
        done = llmcli(*PROXIED, "-v", "--debug", "--log-file", "log", *form, "hi", env=env)
        basic = server.requests[-1].headers["proxy-authorization"]
        assert basic == f"Basic {b64encode(f'user:{CANARY}'.encode()).decode()}", "it was not even used"
        assert leaks(everything(llmcli, done)) == []


# --- a key goes to its own host only --------------------------------------------------------------


def no_key(server: Server) -> bool:
    """Whether a server was asked, and without any key."""
    return bool(server.requests) and all(CANARY not in str(request) for request in server.requests)


@pytest.mark.parametrize("variable", ["OPENAI_API_KEY", "ANTHROPIC_API_KEY", "OPENAI_COMPATIBLE_API_KEY"])
def test_a_compatible_server_gets_the_key_of_nobody(
    llmcli: Program, serve: Callable[..., Server], variable: str
) -> None:
    server = serve(says("hello"))

    assert llmcli.chat(server.url, "hi", env={variable: CANARY}).text == "hello"
    assert no_key(server)


@pytest.mark.parametrize("adapter", ["openai-compatible", "ollama", "gateway"])
def test_a_configured_provider_borrows_no_key(llmcli: Program, serve: Callable[..., Server], adapter: str) -> None:
    server = serve(answers(200, {}))
    llmcli.configure(f'[providers.work]\nadapter = "{adapter}"\nbase_url = "{server.url}"')
    (llmcli.config / "keys").mkdir()
    for other in ("openai", adapter):
        (llmcli.config / "keys" / other).write_text(CANARY)
    env = dict.fromkeys(("OPENAI_API_KEY", "OLLAMA_API_KEY", "GATEWAY_API_KEY"), CANARY)

    llmcli("chat", "-m", "work/m", "-n", "hi", env=env)

    assert no_key(server)


@pytest.mark.parametrize("adapter", ["openai", "anthropic"])
def test_a_configured_provider_that_needs_a_key_is_not_asked_without_one_of_its_own(
    llmcli: Program, serve: Callable[..., Server], adapter: str
) -> None:
    server = serve(says("hello"))
    llmcli.configure(f'[providers.work]\nadapter = "{adapter}"\nbase_url = "{server.url}"')

    done = llmcli("chat", "-m", "work/m", "-n", "hi", env={"OPENAI_API_KEY": CANARY, "ANTHROPIC_API_KEY": CANARY})

    assert (done.status, server.accepted) == (4, 0)
    assert "no key for work" in done.err


@pytest.mark.parametrize("how", ["--base-url", "OPENAI_BASE_URL", "configuration"])
def test_the_user_s_own_word_sends_a_key_elsewhere(llmcli: Program, serve: Callable[..., Server], how: str) -> None:
    server = serve(says("hello"))
    args = ("--base-url", server.url) if how == "--base-url" else ()
    env = {"OPENAI_BASE_URL": server.url} if how == "OPENAI_BASE_URL" else {}
    if how == "configuration":
        llmcli.configure(f'[providers.openai]\nbase_url = "{server.url}"')

    done = llmcli("chat", "-m", "openai", "-n", *args, "hi", env={"OPENAI_API_KEY": CANARY, **env})

    assert done.text == "hello"
    assert server.requests[0].headers["authorization"] == f"Bearer {CANARY}"


def test_another_model_gets_neither_the_key_file_nor_the_address_of_the_first(
    llmcli: Program, serve: Callable[..., Server]
) -> None:
    busy, other = serve(answers(503, {"error": {"message": "busy"}})), serve(says("hello"))
    plant(llmcli, SOURCES["--api-key-file"], other.url)

    done = llmcli.chat(busy.url, "--api-key-file", "planted", "--fallback", "work/m", "hi")

    assert done.text == "hello"
    assert busy.requests[0].headers["authorization"] == f"Bearer {CANARY}"
    assert no_key(other)


PUBLIC = [
    "http://api.example.com/v1",
    "http://8.8.8.8/v1",
    "http://[2606:4700::1111]/v1",
    "http://[::ffff:8.8.8.8]/v1",
    "http://127.0.0.1.example.com/v1",
    "http://localhost.example.com:8080/v1",
]


@pytest.mark.parametrize("url", PUBLIC)
def test_a_key_is_not_sent_in_the_clear(llmcli: Program, serve: Callable[..., Server], url: str) -> None:
    """The proxy, through which everything would go, sees nothing of it."""
    server = serve(says("hello"))
    env = {"OPENAI_API_KEY": CANARY, "http_proxy": f"http://127.0.0.1:{server.port}"}

    done = llmcli("chat", "-m", "openai", "-n", "--base-url", url, "hi", env=env)

    assert (done.status, server.accepted) == (2, 0)
    assert "refusing to send the key of openai over plain http" in done.err


@pytest.mark.parametrize("url", PUBLIC)
def test_nor_is_a_header_that_holds_one(llmcli: Program, serve: Callable[..., Server], url: str) -> None:
    server = serve(says("hello"))
    llmcli.configure(
        f'[providers.work]\nadapter = "openai-compatible"\nbase_url = "{url}"\nheaders = {{ X-Api-Token = "{CANARY}" }}'
    )
    env = {"http_proxy": f"http://127.0.0.1:{server.port}"}

    done = llmcli("chat", "-m", "work/m", "-n", "hi", env=env)

    assert (done.status, server.accepted) == (2, 0)
    assert "refusing to send the key of work over plain http" in done.err


@pytest.mark.parametrize("how", ["environment", "configuration"])
@pytest.mark.parametrize("what", ['api_key = { env = "WORK_KEY" }', 'headers = { X-Api-Token = "sk-token-1" }'])
def test_a_key_for_a_private_address_is_not_handed_to_a_proxy(
    llmcli: Program, serve: Callable[..., Server], what: str, how: str
) -> None:
    server = serve(says("hello"))
    proxy = f"http://127.0.0.1:{server.port}"
    table = f'[providers.work]\nadapter = "openai-compatible"\nbase_url = "http://10.1.2.3:8000/v1"\n{what}\n'
    llmcli.configure(table + (f'proxy = "{proxy}"\n' if how == "configuration" else ""))
    env = {"WORK_KEY": CANARY, **({"http_proxy": proxy} if how == "environment" else {})}

    done = llmcli("chat", "-m", "work/m", "-n", "--retries", "0", "hi", env=env)

    assert (done.status, server.accepted) == (2, 0)
    assert "refusing to send the key of work in the clear to proxy http://127.0.0.1" in done.err
    assert ("NO_PROXY=10.1.2.3" if how == "environment" else 'proxy = ""') in done.err

    exempt = llmcli("chat", "-m", "work/m", "-n", "--dry-run", "hi", env={**env, "NO_PROXY": "10.1.2.3"})
    assert exempt.status == (0 if how == "environment" else 2)


@pytest.mark.parametrize("url", PUBLIC)
def test_a_key_is_sent_in_the_clear_where_that_is_allowed(
    llmcli: Program, serve: Callable[..., Server], url: str
) -> None:
    server = serve(says("hello"))
    llmcli.configure(f'[providers.openai]\nallow_http = true\nbase_url = "{url}"')
    env = {"OPENAI_API_KEY": CANARY, "http_proxy": f"http://127.0.0.1:{server.port}"}

    assert llmcli("chat", "-m", "openai", "-n", "hi", env=env).text == "hello"
    assert server.requests[0].headers["authorization"] == f"Bearer {CANARY}"


def test_without_a_key_there_is_nothing_to_refuse(llmcli: Program, serve: Callable[..., Server]) -> None:
    server = serve(says("hello"))

    done = llmcli(*PROXIED, "hi", env={"http_proxy": f"http://127.0.0.1:{server.port}"})

    assert done.text == "hello"


def test_the_shown_curl_command_reads_the_key_from_its_variable(sh: Shell) -> None:
    shown = sh("llmcli chat -m openai -n --curl hi", env={"OPENAI_API_KEY": CANARY}).text

    assert '-H "Authorization: Bearer $OPENAI_API_KEY"' in shown
    assert leaks(shown) == []
