"""`llmcli models list`: what is asked, what is shown where a service has no list, and one dead among many."""

import json
import os
import threading
from collections.abc import Callable
from typing import Any

import pytest

from tests.model_servers import configure, lists, never_answers
from tests.program import Program
from tests.servers import Connection, Server, answers, whole
from tests.terminal import on_terminal

Serve = Callable[..., Server]


# --- rows -----------------------------------------------------------------------------------------


def test_a_row_has_all_that_is_known_and_where_it_is_from(llmcli: Program, serve: Serve) -> None:
    entry = {"id": "m", "name": "M", "context_length": 8192, "max_output_tokens": 512, "created": 1790000000.0,
             "supported_parameters": ["tools"]}  # fmt: skip
    configure(llmcli, one=serve(answers(200, [entry])).url)

    assert llmcli("models", "list", "one", "--json").json == [
        {
            "provider": "one",
            "id": "m",
            "name": "M",
            "context_length": 8192,
            "max_output_tokens": 512,
            "created": 1790000000,
            "capabilities": ["tools"],
            "source": "live",
        }
    ]


def test_jsonl_is_the_same_rows_one_a_line(llmcli: Program, serve: Serve) -> None:
    configure(llmcli, one=serve(lists("a", "b")).url)
    lines = llmcli("models", "list", "one", "--jsonl").text.splitlines()

    assert list(map(json.loads, lines)) == llmcli("models", "list", "one", "--json").json
    assert [json.loads(line)["id"] for line in lines] == ["a", "b"]


def test_search_wants_every_word_in_the_id_or_the_name_whatever_the_case(llmcli: Program, serve: Serve) -> None:
    entries = [{"id": "Llama-3-8B"}, {"id": "x1", "name": "A llama of 8b"}, {"id": "llama-70b"}, {"id": "qwen-8b"}]
    configure(llmcli, llama=serve(answers(200, entries)).url)
    found = llmcli("models", "list", "llama", "--search", "LLAMA 8b")

    assert found.text == "llama/Llama-3-8B\nllama/x1\n"
    assert llmcli("models", "--search", "LLAMA 8b").text == found.text, "the id of the provider is not searched"


def test_a_search_that_finds_nothing_says_so(llmcli: Program, serve: Serve) -> None:
    configure(llmcli, one=serve(lists("a", "b")).url)
    done = llmcli("models", "list", "one", "--search", "zz")

    assert (done.status, done.text) == (0, "")
    assert "none of 2 models has all words of 'zz' in its id or name" in done.err
    assert llmcli("models", "list", "one", "--search", "zz", "--json").json == []


def test_a_name_with_a_line_break_is_still_one_line_of_a_pipe(llmcli: Program, serve: Serve) -> None:
    configure(llmcli, one=serve(lists("a\nother/model", "b\x1b[2J")).url)

    assert llmcli("models", "list", "one").text == "one/a other/model\none/b^[[2J\n"


# --- where there is no list -----------------------------------------------------------------------


@pytest.mark.parametrize("status", [404, 405, 501])
def test_a_service_that_has_no_list_shows_the_configured_names_and_says_so(
    llmcli: Program, serve: Serve, status: int
) -> None:
    url = serve(answers(status, {"error": {"message": "nothing here"}})).url
    llmcli.configure(f'[providers.one]\nadapter = "openai-compatible"\nbase_url = "{url}"\nmodels = ["a", "b"]\n')
    done = llmcli("models", "list", "one")
    rows = llmcli("models", "list", "one", "--json").json

    assert (done.status, done.text) == (0, "one/a\none/b\n")
    assert f"one has no list of models (HTTP {status}): those that the configuration names" in done.err
    assert {row["source"] for row in rows} == {"configuration"}


def test_without_configured_names_it_is_the_built_in_list(llmcli: Program, serve: Serve) -> None:
    rows = llmcli("models", "list", "perplexity", "--json").json

    assert [row["id"] for row in rows][:1] == ["sonar"]
    assert {row["source"] for row in rows} == {"built-in"}


def test_a_service_that_answers_404_and_has_no_names_is_an_error_that_says_how_to_name_them(
    llmcli: Program, serve: Serve
) -> None:
    configure(llmcli, one=serve(answers(404, {"error": {"message": "nothing here"}})).url)
    done = llmcli("models", "list", "one")

    assert (done.status, done.text) == (5, "")
    assert "check the base URL; where there is no list of models, `models = [...]` under [providers.one]" in done.err


@pytest.mark.parametrize("status", [401, 429, 500])
def test_any_other_failure_is_not_covered_up_by_configured_names(llmcli: Program, serve: Serve, status: int) -> None:
    url = serve(answers(status, {"error": {"message": "no"}})).url
    llmcli.configure(f'[providers.one]\nadapter = "openai-compatible"\nbase_url = "{url}"\nmodels = ["a"]\n')
    done = llmcli("models", "list", "one")

    assert done.status in (4, 6, 8)
    assert done.text == ""


def test_live_models_come_before_the_configured_names(llmcli: Program, serve: Serve) -> None:
    url = serve(lists("live")).url
    llmcli.configure(f'[providers.one]\nadapter = "openai-compatible"\nbase_url = "{url}"\nmodels = ["a"]\n')

    assert llmcli("models", "list", "one").text == "one/live\n"


def test_an_empty_list_is_no_error(llmcli: Program, serve: Serve) -> None:
    configure(llmcli, one=serve(answers(200, {"data": None})).url)
    done = llmcli("models", "list", "one")

    assert (done.status, done.text) == (0, "")
    assert "one lists no models" in done.err


def test_what_needs_no_key_to_be_listed_is_listed_without_one(llmcli: Program, serve: Serve) -> None:
    server = serve(lists("free"))
    llmcli.configure(f'[providers.openrouter]\nbase_url = "{server.url}"\n')
    done = llmcli("models", "list", "openrouter")

    assert (done.status, done.text) == (0, "openrouter/free\n")
    assert "authorization" not in server.requests[0].headers


# --- pages ----------------------------------------------------------------------------------------


def pages(*, ends_at: int | None = None) -> Callable[[Connection], None]:
    """Anthropic's list, a model a page, each page with a cursor of its own; without an end if none is said."""

    def script(connection: Connection) -> None:
        number = int(connection.request.path.partition("after_id=m")[2] or 0) + 1
        more = number != ends_at
        document = {"data": [{"id": f"m{number}"}], "has_more": more, "last_id": f"m{number}"}
        connection.send(whole(200, document))

    return script


def claude(llmcli: Program, server: Server) -> None:
    llmcli.configure(
        f'[providers.claude]\nadapter = "anthropic"\nbase_url = "{server.url}"\napi_key = {{ env = "K" }}\n'
    )
    llmcli.env["K"] = "sk-ant-test"


def test_every_page_is_read(llmcli: Program, serve: Serve) -> None:
    claude(llmcli, serve(pages(ends_at=4)))

    assert llmcli("models", "list", "claude").text == "claude/m1\nclaude/m2\nclaude/m3\nclaude/m4\n"


def test_pages_without_an_end_are_read_up_to_a_bound_which_is_said(llmcli: Program, serve: Serve) -> None:
    server = serve(pages())
    claude(llmcli, server)
    done = llmcli("models", "list", "claude")

    assert (done.status, len(done.text.splitlines()), len(server.requests)) == (0, 50, 50)
    assert "claude: only the first 50 pages of its models are listed" in done.err


def test_pages_that_lead_in_a_circle_are_read_once(llmcli: Program, serve: Serve) -> None:
    def circle(connection: Connection) -> None:
        second = "after_id=one" in connection.request.path
        name, cursor = ("two", "one") if second else ("one", "one")
        connection.send(whole(200, {"data": [{"id": name}], "has_more": True, "last_id": cursor}))

    server = serve(circle)
    claude(llmcli, server)

    assert llmcli("models", "list", "claude").text == "claude/one\nclaude/two\n"
    assert len(server.requests) == 2


def test_a_model_that_stands_on_two_pages_is_listed_once_as_it_was_first_said(llmcli: Program, serve: Serve) -> None:
    first = answers(200, {"data": [{"id": "m", "display_name": "One"}], "has_more": True, "last_id": "m"})
    claude(llmcli, serve(first, answers(200, {"data": [{"id": "m", "display_name": "Two"}]})))

    assert [row["name"] for row in llmcli("models", "list", "claude", "--json").json] == ["One"]


def test_a_page_that_fails_is_an_error_and_no_half_of_a_list(llmcli: Program, serve: Serve) -> None:
    first = answers(200, {"data": [{"id": "one"}], "has_more": True, "last_id": "one"})
    claude(llmcli, serve(first, answers(500, {"error": {"message": "no"}})))
    done = llmcli("models", "list", "claude")

    assert (done.status, done.text) == (8, "")


# --- strange answers ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "content_type", "status", "said"),
    [
        ("<!doctype html><title>Sign in</title>", "text/html", 8, "web page"),
        ("", "application/json", 8, "empty"),
        ('{"data": [{"id": "a"', "application/json", 8, "JSON"),
        ('{"error": {"message": "bad key", "type": "authentication_error"}}', "application/json", 4, "bad key"),
        ('[{"error": {"code": 429, "message": "slow down"}}]', "application/json", 6, "slow down"),
    ],
)
def test_what_is_no_list_is_an_error_that_says_what_it_is(
    llmcli: Program, serve: Serve, body: str, content_type: str, status: int, said: str
) -> None:
    configure(llmcli, one=serve(answers(200, body, content_type)).url)
    done = llmcli("models", "list", "one")

    assert (done.status, done.text) == (status, "")
    assert said in done.err


# --- several at once ------------------------------------------------------------------------------


def test_all_are_asked_at_the_same_time(llmcli: Program, serve: Serve) -> None:
    """Each answers only when every one has been asked."""
    count = 20
    all_asked = threading.Barrier(count)

    def script(connection: Connection) -> None:
        all_asked.wait()
        lists("m")(connection)

    urls = {f"p{number}": serve(script).url for number in range(count)}
    configure(llmcli, **urls)
    done = llmcli("models", "list", *urls)

    assert (done.status, done.text) == (0, "".join(f"p{number}/m\n" for number in range(count)))


def test_one_that_says_nothing_costs_its_own_deadline_and_a_line(llmcli: Program, serve: Serve) -> None:
    configure(llmcli, good=serve(lists("m")).url, dead=serve(never_answers).url)
    done = llmcli("models", "list", "dead", "good", "--timeout", "0.2")

    assert (done.status, done.text) == (7, "good/m\n")
    (line,) = (line for line in done.err.splitlines() if line.startswith("llmcli: "))
    assert " 0.2 s" in line
    assert line.endswith("[provider=dead]")


def test_an_answer_that_trickles_in_does_not_outlive_the_deadline(llmcli: Program, serve: Serve) -> None:
    over = threading.Event()

    def trickle(connection: Connection) -> None:
        connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
        while not over.wait(0.02):
            connection.send(b" ")

    configure(llmcli, slow=serve(trickle).url)
    done = llmcli("models", "list", "slow", "--timeout", "0.3")
    over.set()

    assert (done.status, done.text) == (7, "")
    assert " 0.3 s" in done.err


def test_of_several_that_fail_each_has_its_line_before_the_common_error(llmcli: Program) -> None:
    configure(llmcli, x="http://127.0.0.1:1/v1", y="http://127.0.0.1:1/v1")
    done = llmcli("models", "list", "x", "y", "--json")
    *lines, last = done.err.splitlines()

    assert (done.status, done.out) == (7, b"")
    assert [line.partition("provider=")[2] for line in lines] == ["x]", "y]"]
    assert json.loads(last)["error"]["message"] == "2 providers failed"


def test_a_broken_file_of_one_provider_costs_a_line_and_the_others_are_listed(llmcli: Program, serve: Serve) -> None:
    configure(llmcli, one=serve(lists("m")).url)
    (llmcli.config / "providers.d").mkdir()
    (llmcli.config / "providers.d" / "bad.toml").write_text("[providers.bad\n")
    done = llmcli("models")

    assert (done.status, set(done.text.split())) == (3, {"echo/echo", "one/m"})
    assert "bad.toml" in done.err


def test_commands_that_print_keys_do_not_wait_for_one_another(llmcli: Program, serve: Serve) -> None:
    """Each of the two ends only when the other has begun."""
    server = serve(lists("m"))
    os.mkfifo(llmcli.home / "pipe")
    table = """
        [providers.{name}]
        adapter = "openai-compatible"
        base_url = "{url}"
        api_key = {{ command = "sh -c '{command}; echo key'" }}
    """
    commands = {"a": "echo x > ~/pipe", "b": "cat ~/pipe > ~/heard"}
    tables = (table.format(name=name, url=server.url, command=command) for name, command in commands.items())
    llmcli.configure("".join(tables))

    assert llmcli("models", "list", "a", "b").text == "a/m\nb/m\n"


def test_a_provider_that_is_named_twice_is_asked_once(llmcli: Program, serve: Serve) -> None:
    server = serve(lists("m"))
    configure(llmcli, one=server.url)

    assert llmcli("models", "list", "one", "one").text == "one/m\n"
    assert len(server.requests) == 1


# --- on a terminal --------------------------------------------------------------------------------


def test_on_a_terminal_it_is_a_table_of_what_is_known(llmcli: Program, serve: Serve) -> None:
    entries: list[dict[str, Any]] = [
        {"id": "small", "name": "Small", "context_length": 8192, "created": 1767312000, "capabilities": ["tools"]},
        {"id": "large"},
    ]  # fmt: skip
    configure(llmcli, one=serve(answers(200, entries)).url)

    assert on_terminal(llmcli, "models", "list", "one").text.splitlines() == [
        "MODEL      NAME   CONTEXT LENGTH  CAPABILITIES  CREATED",
        "one/small  Small  8192            tools         2026-01-02",
        "one/large  -      -               -             -",
    ]


def test_on_a_terminal_what_is_not_live_is_marked_and_the_mark_explained(llmcli: Program, serve: Serve) -> None:
    url = serve(lists("m")).url
    configure(llmcli, '[providers.gateway]\nmodels = ["fast"]\n', one=url)
    done = on_terminal(llmcli, "models", "list", "one", "gateway", "perplexity", "echo")

    assert [line.split() for line in done.text.splitlines()[:3]] == [["MODEL"], ["one/m"], ["gateway/fast", "*"]]
    assert done.err == (
        "llmcli: * not from the service itself: named in the configuration (gateway); "
        "what llmcli knows (perplexity, echo)\n"
    )
    assert on_terminal(llmcli, "models", "list", "one").err == ""


def test_the_mark_stays_where_the_name_is_cut_and_stands_below_the_table(llmcli: Program) -> None:
    llmcli.configure(f'[providers.gateway]\nmodels = ["{"x" * 90}"]\n')
    screen = on_terminal(llmcli, "models", "list", "gateway", stderr_too=True).text.splitlines()

    assert screen[1].endswith("…  *")
    assert len(screen[1]) == 80
    assert screen[2].startswith("llmcli: * not from the service itself")


def test_on_a_narrow_terminal_no_line_is_too_long(llmcli: Program, serve: Serve) -> None:
    entries = [{"id": "accounts/acme/models/a-model-with-a-name-of-many-words", "name": "模型 七十亿参数 " * 5,
                "context_length": 131072, "created": 1767312000, "capabilities": ["chat", "tools", "vision"]},
               {"id": "b"}]  # fmt: skip
    configure(llmcli, one=serve(answers(200, entries)).url)
    screen = on_terminal(llmcli, "models", "list", "one", env={"COLUMNS": "40"}).text

    assert screen.splitlines() == ["MODEL", "one/accounts/acme/models/a-model-with-a…", "one/b"]


def test_names_from_outside_cannot_play_with_the_terminal(llmcli: Program, serve: Serve) -> None:
    entries = [{"id": "a\x1b[2J", "name": "\u202egpj", "capabilities": ["\x9b1m"]}]
    configure(llmcli, one=serve(answers(200, entries)).url)
    screens = [
        on_terminal(llmcli, *words).text for words in (("models", "list", "one"), ("models", "show", "one/a\x1b[2J"))
    ]

    assert set("\x1b\u202e\x9b").isdisjoint("".join(screens))
    assert all("a^[[2J" in screen for screen in screens)
