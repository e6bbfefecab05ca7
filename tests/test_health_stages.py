"""`llmcli health`, stage by stage: each can fail, says why and what to do, and hides nothing of the others."""

import socket
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import trustme

from tests.conftest import server_tls
from tests.packages import Environment, Package, provider
from tests.program import Done, Program
from tests.servers import (
    DONE,
    STREAM_HEAD,
    Connection,
    Script,
    Server,
    answers,
    delta,
    says,
    stream,
)

Serve = Callable[..., Server]

CANARY = "sk-canary-77aa01d2"
MODELS = answers(200, {"data": [{"id": "m"}, {"id": "large"}]})
NOW = datetime.now(UTC)
DAY = timedelta(days=1)


def table(name: str, url: str, *, adapter: str = "openai-compatible", model: str | None = "m", more: str = "") -> str:
    default = f'default_model = "{model}"\n' if model else ""
    return f'[providers.{name}]\nadapter = "{adapter}"\nbase_url = "{url}"\n{default}{more}\n'


def examined(
    llmcli: Program, url: str, *args: str, env: dict[str, str] | None = None, **options: Any
) -> dict[str, Any]:
    """The row of a provider at this address, with the status and the stages by their names."""
    llmcli.configure(table("mine", url, **options))
    done = llmcli("health", "mine", "--json", *args, env=env)
    (row,) = done.json
    assert row["ok"] == (done.status == 0)
    assert row["code"] == (done.status or None)
    return {**row, "by_name": {stage["stage"]: stage for stage in row["stages"]}}


def failed(row: dict[str, Any]) -> str:
    """The stage that failed: it has a reason, a hint, and nothing behind it but what was not reached."""
    (stage,) = [stage for stage in row["stages"] if stage["ok"] is False]
    assert stage["detail"] == row["problem"]
    assert row["hint"]
    behind = row["stages"][row["stages"].index(stage) + 1 :]
    reached = {each["stage"] for each in behind if each["ok"]}
    assert reached <= ({"dns", "connect"} if stage["stage"] == "proxy" else set())
    return str(stage["stage"])


@pytest.fixture
def closed_port() -> int:
    """A port that nobody listens at."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


# --- all is well ----------------------------------------------------------------------------------


def test_every_stage_of_a_good_provider_is_told_in_its_order(
    llmcli: Program, serve: Serve, authority: trustme.CA, ca_file: str
) -> None:
    server = serve(MODELS, tls=server_tls(authority, "localhost", not_after=NOW + 30 * DAY))

    row = examined(llmcli, server.url.replace("127.0.0.1", "localhost"), more='api_key = { env = "TEST_KEY" }',
                   env={"TEST_KEY": CANARY, "LLMCLI_CA_BUNDLE": ca_file})  # fmt: skip

    assert list(row["by_name"]) == ["configuration", "key", "proxy", "dns", "connect", "tls", "http", "auth", "model"]
    assert {name: stage["ok"] for name, stage in row["by_name"].items()} == {
        **dict.fromkeys(row["by_name"], True), "proxy": None,
    }  # fmt: skip
    assert all(isinstance(stage["seconds"], float | int) for stage in row["stages"] if stage["ok"])
    assert row["by_name"]["key"]["detail"] == "TEST_KEY"
    assert "the certificate holds 29 more days" in row["by_name"]["tls"]["detail"]
    assert (row["model"], row["hint"], row["problem"], row["code"], row["name"]) == ("m", None, None, None, None)
    assert "ttft" not in row


def test_what_does_not_apply_is_left_out_with_a_reason(llmcli: Program, serve: Serve) -> None:
    row = examined(llmcli, serve(MODELS).url, model=None)

    left_out = {name: stage["detail"] for name, stage in row["by_name"].items() if stage["ok"] is None}
    assert row["ok"]
    assert left_out == {
        "key": "none is needed",
        "proxy": "none",
        "dns": "it is an address",
        "tls": "it is plain http",
        "auth": "no key is sent",
        "model": "there is no default model",
    }


def test_a_native_provider_has_no_stages_of_a_network(llmcli: Program) -> None:
    done = llmcli("health", "echo", "--json")

    stages = {stage["stage"]: stage["ok"] for stage in done.json[0]["stages"]}
    assert done.status == 0
    assert stages == {**dict.fromkeys(stages, None), "configuration": True}


def test_a_certificate_that_ends_soon_is_worth_a_warning(
    llmcli: Program, serve: Serve, authority: trustme.CA, ca_file: str
) -> None:
    for days, warned in ((5, True), (20, False)):
        ends = NOW + days * DAY + timedelta(hours=1)
        server = serve(MODELS, tls=server_tls(authority, "127.0.0.1", not_after=ends))
        llmcli.configure(table("mine", server.url))

        done = llmcli("health", "mine", env={"LLMCLI_CA_BUNDLE": ca_file})

        assert done.status == 0
        assert (f"the certificate of mine ends in {days} days" in done.err) == warned


def test_a_proxy_that_is_used_is_named_without_its_password(llmcli: Program, serve: Serve) -> None:
    proxy = serve(MODELS)

    row = examined(llmcli, "http://10.255.0.1:9/v1", env={"HTTP_PROXY": f"http://me:{CANARY}@127.0.0.1:{proxy.port}"})

    assert row["ok"]
    assert row["by_name"]["proxy"]["ok"]
    assert row["by_name"]["proxy"]["detail"] == f"http://127.0.0.1:{proxy.port}"


# --- each stage fails -----------------------------------------------------------------------------


def test_a_broken_configuration_is_a_row_that_failed_there(llmcli: Program, serve: Serve) -> None:
    llmcli.configure(table("mine", serve(MODELS).url) + table("wrong", "http://127.0.0.1:1/v1", more="colour = 1"))
    folder = llmcli.config / "providers.d"
    folder.mkdir()
    (folder / "torn.toml").write_text("[providers.torn")

    done = llmcli("health", "--json")

    rows = {row["id"]: row for row in done.json}
    assert done.status == 3
    assert (failed(rows["wrong"]), failed(rows["torn"])) == ("configuration", "configuration")
    assert "unknown key providers.wrong.colour" in rows["wrong"]["problem"]
    assert "torn.toml is not valid TOML" in rows["torn"]["problem"]
    assert rows["mine"]["ok"]


def test_an_unknown_provider_is_a_row_too(llmcli: Program) -> None:
    done = llmcli("health", "ehco", "echo", "--json")

    unknown, echo = done.json
    assert (done.status, failed(unknown), echo["ok"]) == (3, "configuration", True)
    assert "did you mean echo?" in unknown["hint"]


@pytest.mark.parametrize(
    ("env", "problem"), [({}, "TEST_KEY is not set"), ({"TEST_KEY": " "}, "TEST_KEY is set but empty")]
)
def test_a_key_that_is_not_there_fails_before_anybody_is_asked(
    llmcli: Program, serve: Serve, env: dict[str, str], problem: str
) -> None:
    server = serve(MODELS)

    row = examined(llmcli, server.url, more='api_key = { env = "TEST_KEY" }', env=env)

    assert (failed(row), row["code"], server.accepted) == ("key", 4, 0)
    assert problem in row["problem"]
    assert "`llmcli providers login mine`" in row["hint"]


@pytest.mark.parametrize(
    ("url", "proxy", "problem"),
    [
        ("https://api.example.invalid/v1", "http://127.0.0.1:{closed}", "refused"),
        ("https://api.example.invalid/v1", "socks5://127.0.0.1:1", "no usable proxy URL"),
        ("https://api.example.invalid/v1", "http://127.0.0.1:{wall}", "refused the connection"),
        ("https://api.example.invalid/v1", "http://127.0.0.1:{login}", "wants authentication"),
        ("http://10.255.0.1:9/v1", "http://127.0.0.1:{login}", "wants authentication"),
    ],
)
def test_a_proxy_that_does_not_let_through_is_what_failed(
    llmcli: Program, serve: Serve, closed_port: int, url: str, proxy: str, problem: str
) -> None:
    wall, login = serve(answers(403, "no")), serve(answers(407, "who?"))
    address = proxy.format(closed=closed_port, wall=wall.port, login=login.port)

    row = examined(llmcli, url, env={"HTTPS_PROXY": address, "HTTP_PROXY": address})

    assert (failed(row), row["code"], row["reachable"]) == ("proxy", 7, False)
    assert problem in row["problem"]


def test_the_certificate_of_a_proxy_is_not_taken_for_the_servers(
    llmcli: Program, serve: Serve, tls: Any, ca_file: str
) -> None:
    wall = serve(answers(403, "no"), tls=tls)

    row = examined(llmcli, "https://api.example.invalid/v1",
                   env={"HTTPS_PROXY": f"https://127.0.0.1:{wall.port}", "LLMCLI_CA_BUNDLE": ca_file})  # fmt: skip

    assert (failed(row), row["by_name"]["tls"]["detail"]) == ("proxy", "not reached")


def test_a_name_that_nobody_knows_fails_at_dns(llmcli: Program) -> None:
    row = examined(llmcli, "https://api.example.invalid/v1")

    assert (failed(row), row["code"], row["reachable"]) == ("dns", 7, False)
    assert "cannot resolve api.example.invalid" in row["problem"]


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_a_port_that_nobody_listens_at_fails_at_connect(llmcli: Program, closed_port: int, host: str) -> None:
    row = examined(llmcli, f"http://{host}:{closed_port}/v1")

    assert (failed(row), row["code"], row["reachable"]) == ("connect", 7, False)
    assert f"connection refused by {host}:{closed_port}" in row["problem"]
    assert row["by_name"]["dns"]["ok"] == (True if host == "localhost" else None)


def test_a_certificate_of_nobody_that_is_trusted_fails_at_tls(llmcli: Program, serve: Serve, tls: Any) -> None:
    row = examined(llmcli, serve(MODELS, tls=tls).url)

    assert (failed(row), row["code"]) == ("tls", 7)
    assert "not trusted here" in row["problem"]
    assert "SSL_CERT_FILE" in row["hint"]
    assert row["by_name"]["connect"]["ok"]


def test_a_certificate_that_has_expired_fails_at_tls(
    llmcli: Program, serve: Serve, authority: trustme.CA, ca_file: str
) -> None:
    old = server_tls(authority, "127.0.0.1", not_before=NOW - 9 * DAY, not_after=NOW - 2 * DAY)

    row = examined(llmcli, serve(MODELS, tls=old).url, env={"LLMCLI_CA_BUNDLE": ca_file})

    assert (failed(row), row["code"]) == ("tls", 7)
    assert "has expired" in row["problem"]
    assert "clock" in row["hint"]


@pytest.mark.parametrize(
    ("script", "code", "problem"),
    [
        (answers(404, {"error": {"message": "nope"}}), 5, "no such address: nope"),
        (answers(500, {"error": {"message": "boom"}}), 8, "boom"),
        (answers(429, {"error": {"message": "slow down"}}), 6, "slow down"),
        (answers(200, "<html>hello</html>", "text/html"), 8, "web page"),
        (answers(200, "hello", "text/plain"), 8, "JSON"),
        (answers(302, "", Location="https://elsewhere.example/"), 8, "redirect"),
        (lambda connection: connection.reset(), 7, "lost"),
    ],
    ids=["404", "500", "429", "a-page", "no-json", "redirect", "reset"],
)
def test_an_answer_that_is_none_fails_at_http(
    llmcli: Program, serve: Serve, script: Script, code: int, problem: str
) -> None:
    row = examined(llmcli, serve(script).url)

    assert (failed(row), row["code"]) == ("http", code)
    assert problem in row["problem"]


@pytest.mark.parametrize("status", [401, 403])
def test_a_key_that_is_refused_fails_at_auth(llmcli: Program, serve: Serve, status: int) -> None:
    server = serve(answers(status, {"error": {"message": f"bad key {CANARY}"}}))

    row = examined(llmcli, server.url, more='api_key = { env = "TEST_KEY" }', env={"TEST_KEY": CANARY})

    assert (failed(row), row["code"], row["key_accepted"], row["reachable"]) == ("auth", 4, False, True)
    assert row["by_name"]["http"]["ok"]
    assert "the key came from TEST_KEY" in row["hint"]
    assert "`llmcli providers login mine`" in row["hint"]
    assert CANARY not in str(row)


def test_a_key_that_was_not_sent_is_no_reason_to_name_an_option_of_another_command(
    llmcli: Program, serve: Serve
) -> None:  # fmt: skip
    row = examined(llmcli, serve(answers(401, {"error": {"message": "who?"}})).url)

    assert row["hint"] == "no key was sent; `llmcli providers login mine` asks for a key and tries it"


def test_a_default_model_that_is_not_in_the_list_fails_at_model(llmcli: Program, serve: Serve) -> None:
    row = examined(llmcli, serve(MODELS).url, model="larg")

    assert (failed(row), row["code"], row["model"]) == ("model", 5, "larg")
    assert "mine lists no model 'larg'" in row["problem"]
    assert "mine/large" in row["hint"]


def test_the_users_default_model_is_the_one_that_is_looked_for(llmcli: Program, serve: Serve) -> None:
    row = examined(llmcli, serve(MODELS).url, env={"LLMCLI_MODEL": "mine/gone"})

    assert (failed(row), row["model"]) == ("model", "gone")


def test_a_model_that_is_not_in_a_list_that_names_few_is_no_failure(llmcli: Program, serve: Serve) -> None:
    row = examined(llmcli, serve(MODELS).url, adapter="dashscope", model="unlisted",
                   more='api_key = { env = "TEST_KEY" }', env={"TEST_KEY": CANARY})  # fmt: skip

    assert row["ok"]
    assert row["by_name"]["model"]["ok"] is None
    assert "does not name all" in row["by_name"]["model"]["detail"]


def test_without_a_list_the_model_is_left_out(llmcli: Program, serve: Serve) -> None:
    row = examined(llmcli, serve(answers(404, {"error": "none"})).url, model=None, more='models = ["a", "b"]')

    assert row["ok"]
    assert "no list of models (HTTP 404)" in row["by_name"]["http"]["detail"]
    assert row["by_name"]["auth"]["ok"] is None


# --- time -----------------------------------------------------------------------------------------


@pytest.fixture
def black_hole() -> Iterator[str]:
    """The address of a server that never accepts: connections to it hang."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen(0)
        fillers = [socket.socket() for _ in range(4)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(server.getsockname())
        yield f"http://127.0.0.1:{server.getsockname()[1]}/v1"
        for filler in fillers:
            filler.close()


def test_what_is_not_done_in_time_has_failed_where_it_was(llmcli: Program, serve: Serve, black_hole: str) -> None:
    slow = serve(lambda connection: connection.wait_until_gone())
    llmcli.configure(table("slow", slow.url) + table("hole", black_hole) + table("good", serve(MODELS).url))

    done = llmcli("health", "slow", "hole", "good", "--timeout", "1.5", "--json")

    slow_row, hole_row, good = done.json
    assert done.status == 7
    assert (failed(slow_row), slow_row["code"], failed(hole_row), hole_row["code"]) == ("http", 7, "connect", 7)
    assert slow_row["problem"] == "not done in 1.5 s"
    assert "--timeout" in slow_row["hint"]
    assert good["ok"]


@pytest.fixture(scope="module")
def plugins(tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """Native providers of which one never comes back, one tells the log what it likes, and one is out of order."""
    environment = Environment(tmp_path_factory.mktemp("plugins") / "venv")
    checks = {
        "sleeps": "time.sleep(600)",
        "talks": "[call.log(each, peer='x') for each in ('request', 'connected', 'tls', 'response', 'status')]",
        "lost": "raise NetworkFailed('no route')",
        "ill": "call.log('status'); raise Busy('come back later')",
    }
    for name, check in checks.items():
        body = f"def stream(self, request, call):\n    yield\ndef health_check(self, call):\n    {check}"
        code = provider("It", name, body)
        environment.install(Package(f"llmcli-{name}", code, {name: f"llmcli_{name}:It"}))
    return environment


def with_plugins(llmcli: Program, plugins: Environment) -> Program:
    return Program(llmcli.home, command=(plugins.python, "-m", "llmcli"))


def test_a_plugin_that_never_comes_back_is_given_up(llmcli: Program, plugins: Environment) -> None:
    done = with_plugins(llmcli, plugins)("health", "sleeps", "echo", "--json", "--timeout", "3")

    sleeping, echo = done.json
    assert (done.status, sleeping["code"], echo["ok"]) == (7, 7, True)
    assert failed(sleeping) == "connect"


def test_a_native_provider_may_log_what_it_likes(llmcli: Program, plugins: Environment) -> None:
    done = with_plugins(llmcli, plugins)("health", "talks", "--json")

    assert (done.status, done.json[0]["reachable"]) == (0, True)
    assert {stage["ok"] for stage in done.json[0]["stages"][1:]} == {None}


def test_what_a_native_provider_says_of_itself_stands_where_it_belongs(llmcli: Program, plugins: Environment) -> None:
    done = with_plugins(llmcli, plugins)("health", "lost", "ill", "--json")

    lost, ill = done.json
    assert (failed(lost), lost["code"], lost["reachable"]) == ("connect", 7, False)
    assert (failed(ill), ill["code"], ill["reachable"]) == ("http", 6, True)


def test_a_number_of_seconds_is_one(llmcli: Program) -> None:
    assert llmcli("health", "echo", "--timeout", "nan").status == 2
    assert llmcli("health", "echo", "--timeout", "0").status == 0


def test_all_are_examined_at_once(llmcli: Program, serve: Serve) -> None:
    everybody = threading.Barrier(5)

    def together(connection: Connection) -> None:
        everybody.wait(30)
        MODELS(connection)

    llmcli.configure("".join(table(f"p{number}", serve(together).url) for number in range(5)))

    assert llmcli("health", "--timeout", "30", "--json").status == 0


# --- chat -----------------------------------------------------------------------------------------


def chatted(llmcli: Program, serve: Serve, script: Script, **options: Any) -> dict[str, Any]:
    def served(connection: Connection) -> None:
        (MODELS if connection.request.method == "GET" else script)(connection)

    return examined(llmcli, serve(served).url, "--chat", **options)


def test_chat_asks_for_a_few_tokens_and_times_the_first(llmcli: Program, serve: Serve) -> None:
    asked: list[Any] = []

    def script(connection: Connection) -> None:
        asked.append(connection.request.json)
        says("hi")(connection)

    row = chatted(llmcli, serve, script)

    assert row["ok"]
    assert row["by_name"]["chat"]["ok"]
    assert "first token after" in row["by_name"]["chat"]["detail"]
    assert 0 < row["ttft"] <= row["seconds"]
    assert (asked[0]["model"], asked[0]["stream"], asked[0]["max_tokens"]) == ("m", True, 16)


def test_a_chat_that_is_answered_shows_that_the_key_is_good(llmcli: Program, serve: Serve) -> None:
    row = chatted(llmcli, serve, says("hi"), adapter="openrouter", more='api_key = { env = "TEST_KEY" }',
                  env={"TEST_KEY": CANARY})  # fmt: skip

    assert row["key_accepted"] is True


CUT = stream(delta("h"), end=b"")


@pytest.mark.parametrize(
    ("script", "stage", "code"),
    [
        (CUT, "chat", 10),
        (stream(DONE, end=b""), "chat", 8),
        (answers(500, {"error": {"message": "boom"}}), "chat", 8),
        (answers(401, {"error": {"message": "bad key"}}), "auth", 4),
        (answers(404, {"error": {"message": "m", "code": "model_not_found"}}), "model", 5),
    ],
    ids=["cut", "nothing", "500", "401", "model"],
)
def test_a_chat_that_fails_says_where(llmcli: Program, serve: Serve, script: Script, stage: str, code: int) -> None:
    row = chatted(llmcli, serve, script)

    (wrong,) = [each for each in row["stages"] if each["ok"] is False]
    assert (wrong["stage"], row["code"]) == (stage, code)
    assert row["hint"]


def test_a_chat_that_is_not_begun_in_time_has_failed(llmcli: Program, serve: Serve) -> None:
    def script(connection: Connection) -> None:
        connection.send(STREAM_HEAD)
        connection.wait_until_gone()

    llmcli.configure(table("mine", serve(MODELS, script).url))
    done = llmcli("health", "mine", "--chat", "--json", "--timeout", "2")

    assert (done.status, failed(done.json[0]), done.json[0]["ttft"]) == (7, "chat", None)


def test_without_a_model_there_is_no_chat(llmcli: Program, serve: Serve) -> None:
    row = examined(llmcli, serve(MODELS).url, "--chat", model=None)

    assert (row["ok"], row["by_name"]["chat"]["ok"], row["ttft"]) == (True, None, None)
    assert "`llmcli providers use mine/MODEL`" in row["by_name"]["chat"]["detail"]


def test_an_api_of_the_configuration_without_a_limit_of_tokens_is_asked_without_one(
    llmcli: Program, serve: Serve
) -> None:
    server = serve(answers(200, {"text": "hi"}))
    more = '[providers.mine.chat]\npath = "/say"\nrequest = "{q: prompt}"\ncontent = "text"'

    row = examined(llmcli, server.url, "--chat", adapter="http", more=more)

    assert row["ok"], row
    assert server.requests[-1].json == {"q": "Say hi."}


# --- a pipe ---------------------------------------------------------------------------------------


def piped(llmcli: Program, *args: str, **popen: Any) -> Done:
    return llmcli("health", *args, **popen)


def test_a_pipe_gets_a_line_for_each_provider(llmcli: Program, serve: Serve, closed_port: int) -> None:
    llmcli.configure(table("good", serve(MODELS).url) + table("dead", f"http://127.0.0.1:{closed_port}/v1"))

    done = piped(llmcli, "good", "dead", "--timeout", "20")

    good, dead = (line.split("\t") for line in done.text.splitlines())
    assert done.status == 7
    assert (good[:2], good[3:]) == (["good", "ok"], ["-", "-"])
    assert (dead[:2], dead[3:]) == (["dead", "failed"], ["connect", f"connection refused by 127.0.0.1:{closed_port}"])
    assert 0 <= float(good[2]) < 20


def test_color_always_colours_a_pipe_and_nothing_else_does(llmcli: Program) -> None:
    assert "\x1b[32mok\x1b[0m" in piped(llmcli, "echo", "--color", "always").text
    assert "\x1b" not in piped(llmcli, "echo").text


def test_what_a_server_says_cannot_take_over_the_terminal(llmcli: Program, serve: Serve) -> None:
    server = serve(answers(500, {"error": {"message": "a\x1b]0;owned\x07\tb\nc"}}))
    llmcli.configure(table("mine", server.url))

    done = piped(llmcli, "mine")

    assert len(done.text.splitlines()) == 1
    assert len(done.text.split("\t")) == 5
    assert "\x1b" not in done.text + done.err


# --- nothing is set up ----------------------------------------------------------------------------


def test_where_nothing_is_set_up_health_says_what_would_work(llmcli: Program, serve: Serve) -> None:
    server = serve(answers(200, {"models": [{"name": "llama3.2:latest", "model": "llama3.2:latest"}]}))

    done = llmcli("health", env={"OLLAMA_HOST": f"127.0.0.1:{server.port}"})

    rows = {line.split("\t")[0]: line.split("\t")[1:] for line in done.text.splitlines()}
    assert done.status == 3
    assert rows["ollama"] == [
        f"it answers at 127.0.0.1:{server.port}, with one model", "llmcli providers use ollama/llama3.2:latest",
    ]  # fmt: skip
    assert "nothing is configured yet; looked for servers on this machine (Ollama " in done.err
    assert "hint: `llmcli providers use " in done.err


def test_where_nothing_is_set_up_json_is_empty_and_the_error_has_the_hint(llmcli: Program) -> None:
    done = llmcli("health", "--json")

    assert (done.status, done.json, done.error["code"]) == (3, [], 3)
    assert "`llmcli providers " in done.error["hint"]


def test_a_key_in_the_environment_is_a_set_up(llmcli: Program, closed_port: int) -> None:
    env = {"OPENAI_API_KEY": CANARY, "OPENAI_BASE_URL": f"http://127.0.0.1:{closed_port}/v1"}

    done = llmcli("health", "--json", env=env)

    assert [row["id"] for row in done.json] == ["echo", "openai"]
    assert (done.status, failed(done.json[1])) == (7, "connect")


def test_a_default_is_a_set_up(llmcli: Program) -> None:
    assert llmcli("health", env={"LLMCLI_MODEL": "echo"}).text.startswith("echo\tok\t")
