"""`llmcli providers add`, `read` and `check`: from nothing to a table that works, without an editor."""

import json
import os
import pty
import subprocess
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.program import PATIENCE, Done, Program, shell_status
from tests.servers import Connection, Server, answers, chunk, head

Serve = Callable[..., Server]

ACME = """
[providers.acme]
adapter = "http"
base_url = "{url}"
default_model = "large"
{more}
[providers.acme.chat]
path = "/chat"
request = "{{model: model, messages: messages, max: max_tokens}}"
content = "result.text"
usage = "usage"
error = "fault.text"
{chat}
[providers.acme.stream]
framing = "jsonl"
request = "{{stream: `true`}}"
delta = "text"
end = "done"
{stream}
"""
WHOLE = '{"result": {"text": "Hé 👋\\nyes"}, "usage": {"prompt_tokens": 1, "completion_tokens": 2}}'
STREAM = (
    '{"text": "Hé "}\n{"text": "👋\\nyes"}\n{"done": true, "usage": {"prompt_tokens": 1, "completion_tokens": 2}}\n'
)


def acme(program: Program, url: str = "http://127.0.0.1:1", more: str = "", chat: str = "", stream: str = "") -> None:
    program.configure(ACME.format(url=url, more=more, chat=chat, stream=stream))


def table_of(program: Program, provider: str) -> Any:
    return tomllib.loads((program.config / "providers.d" / f"{provider}.toml").read_text())["providers"][provider]


# --- add ------------------------------------------------------------------------------------------


def test_a_provider_is_added_by_flags_and_works_at_once(llmcli: Program, serve: Serve) -> None:
    server = serve(answers(200, {"reply": "yes"}))
    url = f"http://127.0.0.1:{server.port}"

    added = llmcli(
        "providers", "add", "acme", "--base-url", url, "--path", "/ask", "--request", "{q: prompt}",
        "--content", "reply",
        "--key-env", "ACME_KEY", "--key-header", "X-Key",
    )  # fmt: skip
    asked = llmcli("chat", "-n", "-m", "acme", "hi", env={"ACME_KEY": "sk-acme-1234"})

    path = llmcli.config / "providers.d" / "acme.toml"
    assert added.status == 0
    assert added.text.startswith(f"wrote {path}\n")
    assert table_of(llmcli, "acme") == {
        "adapter": "http",
        "base_url": url,
        "api_key": {"env": "ACME_KEY", "header": "X-Key"},
        "chat": {"path": "/ask", "request": "{q: prompt}", "content": "reply"},
    }
    assert (asked.status, asked.text) == (0, "yes")
    assert server.requests[0].json == {"q": "hi"}
    assert server.requests[0].headers["x-key"] == "sk-acme-1234"


def test_without_content_it_is_an_openai_compatible_service(llmcli: Program) -> None:
    llmcli("providers", "add", "work", "--base-url", "https://llm.example.com/v1", "--default-model", "large")

    assert table_of(llmcli, "work") == {
        "adapter": "openai-compatible",
        "base_url": "https://llm.example.com/v1",
        "default_model": "large",
    }


def test_any_other_key_is_set_by_its_dotted_name(llmcli: Program) -> None:
    added = llmcli(
        "providers", "add", "acme", "--base-url", "https://acme.example", "--content", "text",
        "--request", "{q: prompt}",
        "--set", "stream.delta=text", "--set", "stream.end=[DONE]", "--set", "stream.request={stream: `true`}",
        "--set", "timeouts.first=9.5", "--set", "allow_http=true", "--set", 'models=["a", "b"]',
    )  # fmt: skip

    assert added.status == 0
    table = table_of(llmcli, "acme")
    assert table["stream"] == {"delta": "text", "end": "[DONE]", "request": "{stream: `true`}"}
    assert table["timeouts"] == {"first": 9.5}
    assert table["allow_http"] is True
    assert table["models"] == ["a", "b"]


@pytest.mark.parametrize(
    "value", ["7 # b", '"x" # "y"', "1\nd = 2", "[DONE]", "{a: b == c}", "a\r\nb", "true story", "several\nlines"]
)
def test_a_value_that_is_text_is_kept_as_it_is(llmcli: Program, value: str) -> None:
    llmcli("providers", "add", "acme", "--base-url", "https://acme.example", "--adapter", "http",
           "--request", "{q: prompt}", "--content", "text", "--set", f"vars.x={value}")  # fmt: skip

    assert table_of(llmcli, "acme")["vars"] == {"x": value}


def test_a_link_to_a_table_elsewhere_stays_a_link(llmcli: Program, tmp_path: Path) -> None:
    llmcli("providers", "add", "work", "--base-url", "https://one.example")
    link, elsewhere = llmcli.config / "providers.d" / "work.toml", tmp_path / "dotfiles.toml"
    link.rename(elsewhere)
    link.symlink_to(elsewhere)

    llmcli("providers", "add", "work", "--base-url", "https://two.example", "--replace")

    assert link.is_symlink()
    assert "two.example" in elsewhere.read_text()


@pytest.mark.parametrize(
    ("flags", "status", "told"),
    [
        (("--content", "text["), 3, "providers.acme.chat.content: it ends too early at column 6"),
        (("--content", "text", "--request", "{a: promt}"), 3, "unknown name promt"),
        (("--set", "nonsense=1"), 3, "unknown key providers.acme.nonsense"),
        (("--set", "nonsense"), 2, "--set 'nonsense' is not KEY=VALUE"),
        (("--set", "base_url.x=1"), 2, "base_url is no table"),
        (("--adapter", "htpp"), 3, "unknown provider 'htpp'"),
        (("--base-url", "acme.example"), 2, "'acme.example' is no base URL"),
        (
            ("--key-env", "sk-proj-abcdefgh"),
            3,
            "providers.acme.api_key.env should be the name of an environment variable",
        ),
    ],
)
def test_a_mistake_is_told_and_nothing_is_written(
    llmcli: Program, flags: tuple[str, ...], status: int, told: str
) -> None:
    url = () if "--base-url" in flags else ("--base-url", "https://acme.example")
    done = llmcli("providers", "add", "acme", *url, *flags)

    assert (done.status, done.out) == (status, b"")
    assert told in done.err
    assert "sk-proj" not in done.err
    assert not (llmcli.config / "providers.d" / "acme.toml").exists()


def test_without_an_address_nothing_is_written(llmcli: Program) -> None:
    done = llmcli("providers", "add", "acme")

    assert (done.status, done.out) == (2, b"")
    assert "acme needs an address" in done.err
    assert not (llmcli.config / "providers.d").exists()


def test_the_next_command_that_is_printed_works(llmcli: Program) -> None:
    without = llmcli("providers", "add", "one", "--base-url", "https://one.example/v1")
    with_model = llmcli("providers", "add", "two", "--base-url", "https://two.example/v1", "--default-model", "large")

    assert "llmcli chat -m one/MODEL --dry-run hello" in without.text
    assert llmcli("chat", "-n", "-m", "one/MODEL", "--dry-run", "hello").status == 0
    assert "llmcli chat -m two --dry-run hello" in with_model.text
    assert llmcli("chat", "-n", "-m", "two", "--dry-run", "hello").status == 0


def test_a_table_that_is_there_is_not_overwritten_unless_asked(llmcli: Program) -> None:
    first = ("providers", "add", "work", "--base-url", "https://one.example")
    second = ("providers", "add", "work", "--base-url", "https://two.example")
    llmcli(*first)

    refused = llmcli(*second)
    assert refused.status == 2
    assert "work.toml is there already" in refused.err
    assert table_of(llmcli, "work")["base_url"] == "https://one.example"
    assert llmcli(*second, "--replace").status == 0
    assert table_of(llmcli, "work")["base_url"] == "https://two.example"


def test_a_table_in_the_users_own_file_is_left_alone(llmcli: Program) -> None:
    acme(llmcli)
    before = (llmcli.config / "config.toml").read_text()

    done = llmcli("providers", "add", "acme", "--base-url", "https://acme.example", "--replace")

    assert done.status == 2
    assert "acme has a table already, in" in done.err
    assert (llmcli.config / "config.toml").read_text() == before


@pytest.mark.parametrize("name", ["../evil", "Acme", "", ".x", "a b", "a/b"])
def test_an_id_that_is_none_is_refused(llmcli: Program, name: str) -> None:
    done = llmcli("providers", "add", name, "--base-url", "https://acme.example")

    assert done.status == 2
    assert "is no id" in done.err


def test_of_many_processes_that_add_one_id_one_wins_and_the_file_is_whole(llmcli: Program) -> None:
    running = [
        llmcli.start("providers", "add", "work", "--base-url", f"https://{number}.example") for number in range(8)
    ]
    statuses = [process.wait(PATIENCE) for process in running]
    for process in running:
        process.communicate()

    assert sorted(statuses) == [0, *[2] * 7]
    winner = statuses.index(0)
    assert table_of(llmcli, "work")["base_url"] == f"https://{winner}.example"
    assert sorted(path.name for path in (llmcli.config / "providers.d").iterdir()) == [".lock", "work.toml"]


def test_a_directory_that_cannot_be_written_is_exit_3(llmcli: Program) -> None:
    llmcli.config.mkdir(parents=True)
    (llmcli.config / "providers.d").write_text("a file where a folder should be")
    done = llmcli("providers", "add", "work", "--base-url", "https://acme.example")

    assert done.status == 3
    assert "cannot write" in done.err


def on_a_terminal(program: Program, *args: str, typed: str) -> Done:
    """Run with stdin and stderr on a terminal at which somebody types."""
    ours, theirs = pty.openpty()
    process = program.start(*args, stdin=theirs, stderr=theirs, stdout=subprocess.PIPE)
    os.close(theirs)
    os.write(ours, typed.encode())
    out, _ = process.communicate(timeout=PATIENCE)
    screen = os.read(ours, 65536).decode()
    os.close(ours)
    return Done(shell_status(process.returncode), out, screen)


def test_on_a_terminal_what_no_flag_says_is_asked_for(llmcli: Program) -> None:
    typed = "http\nhttps://acme.example/v2\nlarge\nACME_KEY\nX-Key\n/generate\n{q: prompt}\nresult.text\n"
    done = on_a_terminal(llmcli, "providers", "add", "acme", typed=typed)

    assert done.status == 0
    assert "its base URL: " in done.err
    assert table_of(llmcli, "acme") == {
        "adapter": "http",
        "base_url": "https://acme.example/v2",
        "default_model": "large",
        "api_key": {"env": "ACME_KEY", "header": "X-Key"},
        "chat": {"path": "/generate", "request": "{q: prompt}", "content": "result.text"},
    }


def test_an_answer_that_cannot_be_is_asked_for_again(llmcli: Program) -> None:
    typed = (
        "htpp\nhttp\nacme.example\n\nhttps://acme.example\n\nsk-proj-1234\nACME_KEY\n\n/ask\n{q: promt}\n{q: prompt}\n"
        "text[\ntext\n"
    )
    done = on_a_terminal(llmcli, "providers", "add", "acme", typed=typed)

    assert done.status == 0
    assert "there is no 'htpp' (did you mean http?)" in done.err
    assert "unknown name promt" in done.err
    assert table_of(llmcli, "acme") == {
        "adapter": "http",
        "base_url": "https://acme.example",
        "api_key": {"env": "ACME_KEY"},
        "chat": {"path": "/ask", "request": "{q: prompt}", "content": "text"},
    }


def test_questions_that_are_not_answered_write_nothing(llmcli: Program) -> None:
    done = on_a_terminal(llmcli, "providers", "add", "acme", typed="\n\x04")

    assert done.status == 2
    assert not (llmcli.config / "providers.d").exists()


def test_the_list_tells_what_a_table_can_do(llmcli: Program) -> None:
    acme(llmcli)
    (row,) = (row for row in llmcli("providers", "--json").json if row["id"] == "acme")

    assert row["capabilities"] == ["chat", "stream"]
    assert row["base_url"] == "http://127.0.0.1:1"


def test_all_of_a_table_is_shown(llmcli: Program) -> None:
    acme(llmcli)
    shown = llmcli("providers", "show", "acme")

    assert "  chat.request: {model: model, messages: messages, max: max_tokens}\n" in shown.text
    assert "  stream.end: done\n" in shown.text
    assert llmcli("providers", "show", "acme", "--json").json["tables"]["chat"]["content"] == "result.text"


# --- read -----------------------------------------------------------------------------------------


def test_a_pasted_answer_shows_what_each_expression_finds(llmcli: Program) -> None:
    acme(llmcli)
    done = llmcli("providers", "read", "acme", stdin=WHOLE.encode())

    assert done.status == 0
    assert done.text.splitlines()[:5] == [
        'record 1: {"result": {"text": "Hé 👋\\nyes"}, "usage": {"prompt_tokens": 1, "completion_tokens": 2}}',
        '  content  "Hé 👋\\nyes"',
        '  usage    {"prompt_tokens": 1, "completion_tokens": 2}',
        "  error    null",
        'answer: "Hé 👋\\nyes"',
    ]


def test_a_pasted_stream_is_shown_record_by_record(llmcli: Program) -> None:
    acme(llmcli)
    document = llmcli("providers", "read", "acme", "--stream", "--json", stdin=STREAM.encode()).json

    assert [each["found"]["delta"] for each in document["records"]] == ["Hé ", "👋\nyes", None]
    assert [each["found"]["end"] for each in document["records"]] == [None, None, True]
    assert document["reply"]["content"] == "Hé 👋\nyes"
    assert document["reply"]["metadata"]["usage"]["total_tokens"] == 3


@pytest.mark.parametrize(
    ("sample", "flags", "status", "told"),
    [
        ('{"result": {"txt": "x"}}', (), 8, "result.text is null: result is an object with txt"),
        ('{"text": "half"}\n', ("--stream",), 10, "the stream ended without its end marker"),
        ('{"fault": {"text": "slow down"}}', ("--status", "429"), 6, "slow down"),
        ("<html>", (), 8, "web page"),
    ],
)
def test_an_answer_that_cannot_be_read_shows_what_was_found_and_ends_as_a_chat_would(
    llmcli: Program, sample: str, flags: tuple[str, ...], status: int, told: str
) -> None:
    acme(llmcli)
    done = llmcli("providers", "read", "acme", *flags, stdin=sample.encode())

    assert done.status == status
    assert told in done.err
    assert done.text.startswith("record 1: ")


def test_a_sample_may_be_a_file_and_any_http_providers(llmcli: Program, tmp_path: Path) -> None:
    sample = tmp_path / "answer.json"
    sample.write_text(json.dumps({"choices": [{"message": {"content": "hi"}, "finish_reason": "stop"}]}))

    assert 'answer: "hi"' in llmcli("providers", "read", "groq", str(sample)).text
    assert llmcli("providers", "read", "groq", str(tmp_path / "none")).status == 2
    assert llmcli("providers", "read", "echo", str(sample)).status == 5


def test_escape_sequences_in_a_sample_are_shown_and_not_obeyed(llmcli: Program) -> None:
    acme(llmcli)
    done = llmcli("providers", "read", "acme", stdin=b'{"result": {"text": "\\u001b[31mred"}} \x1b[0m'[:-5])

    assert b"\x1b" not in done.out


def test_an_expression_that_fails_hides_nothing_of_what_the_others_find(llmcli: Program) -> None:
    acme(llmcli, chat="metadata = \"{n: join(',', xs)}\"")
    done = llmcli("providers", "read", "acme", stdin=WHOLE.encode())

    assert done.status == 8
    assert '  content   "Hé 👋\\nyes"\n' in done.text
    assert '  metadata  "! ' in done.text
    assert "metadata cannot be worked out" in done.err


# --- check ----------------------------------------------------------------------------------------


def test_a_good_table_with_samples_passes_every_check(llmcli: Program) -> None:
    acme(llmcli, chat=f"sample = '''{WHOLE}'''", stream='sample_file = "stream.jsonl"')
    (llmcli.config / "stream.jsonl").write_text(STREAM)
    done = llmcli("providers", "check", "acme", "--json")

    assert done.status == 0
    statuses = {each["id"]: each["status"] for each in done.json}
    assert statuses["a-streamed-answer-is-read"] == "ok"
    assert statuses["a-whole-answer-is-read"] == "ok"
    assert statuses["a-redirect-is-not-followed"] == "ok"
    assert "failed" not in statuses.values()


def test_a_table_with_tools_a_schema_and_thinking_passes_every_check(llmcli: Program) -> None:
    """Its sample has none of these."""
    plain = '"{model: model, messages: messages, max: max_tokens}"'
    asking = plain.replace("max: max_tokens", "functions: tools, call: tool_choice, form: schema, effort: thinking")
    maps = 'tool_calls = "result.calls"\nthinking = "result.thought"'
    acme(llmcli, chat=f"sample = '''{WHOLE}'''\n{maps}", stream=f"sample = '''{STREAM}'''\ntool_calls = 'calls'")
    path = llmcli.config / "config.toml"
    assert plain in path.read_text()
    path.write_text(path.read_text().replace(plain, asking))
    done = llmcli("providers", "check", "acme", "--json")

    assert [each for each in done.json if each["status"] == "failed"] == []
    statuses = {each["id"]: each["status"] for each in done.json}
    assert {statuses[name] for name in ("tools-are-sent-or-refused", "the-results-of-tools-are-sent",
            "a-schema-is-sent-or-refused", "how-much-to-think-is-sent-or-refused")} == {"ok"}  # fmt: skip


def test_without_samples_the_check_says_what_it_could_not_check(llmcli: Program) -> None:
    acme(llmcli)
    done = llmcli("providers", "check", "acme")

    assert done.status == 0
    assert "skipped sample: " in done.text
    assert "providers.acme.stream.sample would say how the API answers" in done.text
    assert done.text.splitlines()[-1].endswith("skipped")


def test_a_sample_that_the_expressions_cannot_read_is_told(llmcli: Program) -> None:
    acme(llmcli, chat="sample = '{\"reply\": 1}'", stream=f"sample = '''{STREAM}'''")
    done = llmcli("providers", "check", "acme")

    assert done.status == 3
    assert "failed  sample: " in done.text
    assert "providers.acme.chat.content should find a string" in done.text


def test_built_in_providers_pass_what_can_be_checked_without_samples(llmcli: Program) -> None:
    for provider in ("openai", "anthropic", "ollama", "echo"):
        done = llmcli("providers", "check", provider)

        assert done.status == 0, done.text
        assert " 0 failed" in done.text


def live(connection: Connection) -> None:
    """Acme's service: it wants a key, and answers whole or in pieces."""
    if connection.request.headers.get("authorization") != "Bearer sk-acme-right":
        answers(401, {"fault": {"text": "who are you"}})(connection)
    elif connection.request.json.get("stream"):
        connection.send(head(200, "application/x-ndjson", Transfer_Encoding="chunked"))
        connection.send(chunk(STREAM.encode()) + chunk(b""))
    else:
        answers(200, json.loads(WHOLE))(connection)


def test_a_live_check_asks_the_service(llmcli: Program, serve: Serve) -> None:
    server = serve(live)
    acme(llmcli, f"http://127.0.0.1:{server.port}", 'api_key = { env = "ACME_KEY" }\nmodels = ["large"]')
    done = llmcli("providers", "check", "acme", "--live", env={"ACME_KEY": "sk-acme-right"})

    assert done.status == 0
    assert "ok      live-whole: " in done.text
    assert "ok      live-stream: " in done.text
    assert "ok      live-wrong-key: " in done.text
    assert "sk-acme-right" not in done.text + done.err


def test_a_live_check_ends_with_the_services_own_error(llmcli: Program, serve: Serve) -> None:
    server = serve(live)
    acme(llmcli, f"http://127.0.0.1:{server.port}", 'api_key = { env = "ACME_KEY" }')
    done = llmcli("providers", "check", "acme", "--live", env={"ACME_KEY": "sk-acme-wrong"})

    assert done.status == 4
    assert "failed  live-whole: " in done.text
    assert "who are you" in done.err
