"""`llmcli chat` as a person uses it: what is asked, who is asked, and what comes out, through the real program."""

import json
import os
import subprocess
import threading
from collections.abc import Callable
from typing import Any

import pytest

from tests.program import PATIENCE, Program
from tests.servers import (
    DONE,
    STREAM_HEAD,
    Connection,
    Script,
    Server,
    answers,
    chunk,
    completion,
    delta,
    event,
    finish,
    says,
    stream,
)
from tests.shell import Shell, ended, read_until, watched
from tests.terminal import on_terminal

Serve = Callable[..., Server]
ECHO = ("chat", "-m", "echo")


def dry(program: Program, *args: str, **env: str) -> Any:
    """The request that would be sent to OpenAI."""
    done = program("chat", "-n", "--dry-run", *args, env={"LLMCLI_MODEL": "openai", **env})
    assert done.status == 0, done.err
    return done.json


# --- the prompt -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "stdin", "prompt"),
    [
        (["why is", "the", "sky blue?"], b"", "why is the sky blue?"),
        (["explain"], b"a diff\n", "explain\n\na diff"),
        (["explain"], b"a diff\n\n", "explain\n\na diff\n"),
        ([], b"only stdin", "only stdin"),
        (["-"], b"only stdin", "only stdin"),
        (["translate", "{stdin}", "to French"], b"hello\n", "translate hello to French"),
        (["{stdin} and {stdin}"], b"twice", "twice and twice"),
        (["say {stdin}"], b"{stdin}", "say {stdin}"),
        (["braces {} {x}"], b"", "braces {} {x}"),
        (["  spaces  "], b"", "  spaces  "),
        (["explain"], b"  indented\n", "explain\n\n  indented"),
        (["explain"], "\N{BYTE ORDER MARK}with a BOM".encode(), "explain\n\nwith a BOM"),
    ],
)
def test_words_and_stdin_become_one_prompt(llmcli: Program, words: list[str], stdin: bytes, prompt: str) -> None:
    done = llmcli(*ECHO, "--", *words, stdin=stdin)

    assert (done.status, done.text, done.err) == (0, prompt, "")


def test_files_stand_between_the_words_and_stdin_with_their_names(llmcli: Program) -> None:
    (llmcli.home / "src").mkdir()
    (llmcli.home / "src" / "a.py").write_text("print(1)\n")
    (llmcli.home / "b.txt").write_text("{stdin}")

    done = llmcli(*ECHO, "-f", "src/a.py", "-f", "b.txt", "compare", stdin=b"and this")

    assert done.text == (
        'compare\n\n<file name="a.py">\nprint(1)\n</file>\n\n<file name="b.txt">\n{stdin}\n</file>\n\nand this'
    )


def test_a_file_may_be_stdin(llmcli: Program) -> None:
    assert llmcli(*ECHO, "-f", "-", "explain", stdin=b"piped\n").text == (
        'explain\n\n<file name="stdin">\npiped\n</file>'
    )


def test_files_alone_are_a_prompt(llmcli: Program) -> None:
    (llmcli.home / "a").write_text("text")

    assert llmcli(*ECHO, "-n", "-f", "a").text == '<file name="a">\ntext\n</file>'


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("-", "-f", "-"), "stdin can be read once only, not by - and -f -"),
        (("{stdin}", "-f", "-"), "stdin can be read once only, not by {stdin} and -f -"),
        (("hi", "-f", "-", "-f", "-"), "stdin can be read once only, not by -f - and -f -"),
        (("-n", "-f", "-", "hi"), "-f - reads stdin and --no-stdin forbids it"),
        (("-n", "-f", "missing", "hi"), "cannot read missing: No such file or directory"),
        (("-n", "-f", ".", "hi"), "cannot read .: Is a directory"),
    ],
)
def test_stdin_has_one_reader(llmcli: Program, args: tuple[str, ...], message: str) -> None:
    done = llmcli(*ECHO, *args, stdin=b"text")

    assert (done.status, done.out, done.err) == (2, b"", f"llmcli: {message}\n")


def test_a_system_prompt_stands_before_the_prompt(llmcli: Program) -> None:
    assert dry(llmcli, "-s", "be brief", "hi")["body"]["messages"] == [
        {"role": "developer", "content": "be brief"},
        {"role": "user", "content": "hi"},
    ]


# --- settings and options -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "value"),
    [
        ("x=1", 1),
        ("x=1.5", 1.5),
        ("x=true", True),
        ("x=null", None),
        ('x="1"', "1"),
        ("x=text", "text"),
        ("x=True", "True"),
        ("x=", ""),
        ("x=a=b", "a=b"),
        ("x=[1, 2]", [1, 2]),
        ('x={"type": "json_object"}', {"type": "json_object"}),
        ("x={not json", "{not json"),
    ],
)
def test_an_option_is_json_or_else_text(llmcli: Program, given: str, value: object) -> None:
    assert dry(llmcli, "--option", given, "hi")["body"]["x"] == value


def test_the_last_of_two_options_counts(llmcli: Program) -> None:
    assert dry(llmcli, "--option", "x=1", "--option", "x=2", "hi")["body"]["x"] == 2


@pytest.mark.parametrize("given", ["x", "=1", ""])
def test_an_option_without_a_name_or_value_is_a_usage_error(llmcli: Program, given: str) -> None:
    done = llmcli(*ECHO, "-n", "--option", given, "hi")

    assert (done.status, done.err) == (2, f"llmcli: --option {given!r} should be key=value\n")


@pytest.mark.parametrize("given", ["x=NaN", "x=1e999", "x=[Infinity]"])
def test_a_number_that_json_has_not_is_a_usage_error(llmcli: Program, given: str) -> None:
    done = llmcli("chat", "-m", "openai", "-n", "--dry-run", "--option", given, "hi")

    assert (done.status, done.out) == (2, b"")
    assert "a number that JSON does not have" in done.err


@pytest.mark.parametrize(
    ("args", "message", "hint"),
    [
        (("--temperature", "3"), "--temperature 3 is out of range for openai: between 0 and 2", "temperature=3"),
        (
            ("--temperature", "-0.1"),
            "--temperature -0.1 is out of range for openai: between 0 and 2",
            "temperature=-0.1",
        ),
        (("--temperature", "nan"), "--temperature nan is out of range for openai: between 0 and 2", "temperature=nan"),
        (("--top-p", "1.1"), "--top-p 1.1 is out of range for openai: between 0 and 1", "top_p=1.1"),
        (("--max-tokens", "0"), "--max-tokens 0 is out of range for openai: at least 1", "max_tokens=0"),
    ],
)
def test_a_setting_out_of_range_is_not_sent_and_the_range_is_said(
    llmcli: Program, args: tuple[str, ...], message: str, hint: str
) -> None:
    done = llmcli("chat", "-m", "openai", "-n", *args, "hi", env={"OPENAI_API_KEY": "sk-nobody"})

    assert (done.status, done.out) == (2, b"")
    assert done.err == f"llmcli: {message}\nhint: --option {hint} sends it all the same\n"


def test_an_option_passes_every_check_of_ours(llmcli: Program) -> None:
    assert dry(llmcli, "--option", "temperature=3", "hi")["body"]["temperature"] == 3


def test_an_option_that_a_provider_does_not_have_is_told_with_those_it_has(llmcli: Program) -> None:
    done = llmcli(*ECHO, "-n", "--option", "temprature=1", "hi")

    assert done.status == 2
    assert done.err.startswith(
        "llmcli: echo has no option 'temprature'\nhint: its options: text, thinking, delay, fail"
    )


def test_settings_come_from_the_call_and_then_from_the_configuration(llmcli: Program) -> None:
    llmcli.configure(
        "[providers.openai.settings]\ntemperature = 0.5\nseed = 7\nstop = ['END']\n"
        '[providers.openai.options]\nuser = "me"\nstore = true\n'
        "[providers.openai.models.'gpt-4o'.settings]\ntemperature = 0.25\n"
    )

    body = dry(llmcli, "hi")["body"]
    assert (body["temperature"], body["seed"], body["stop"], body["user"]) == (0.5, 7, ["END"], "me")
    assert dry(llmcli, "-m", "openai/gpt-4o", "hi")["body"]["temperature"] == 0.25
    body = dry(llmcli, "--temperature", "0", "--seed", "0", "--stop", "X", "--option", "store=false", "hi")["body"]
    assert (body["temperature"], body["seed"], body["stop"], body["store"]) == (0, 0, ["X"], False)


# --- who is asked ---------------------------------------------------------------------------------


def answerer(program: Program, *args: str, **env: str) -> str:
    metadata = program("chat", "-n", "--json", *args, "hi", env=env).json["metadata"]
    return f"{metadata['provider']}/{metadata['model']}"


def test_the_model_is_that_of_the_flag_then_the_variable_then_the_configuration(llmcli: Program) -> None:
    llmcli.configure('default = "echo/configured"\naliases = { mine = "echo/aliased" }')

    assert answerer(llmcli) == "echo/configured"
    assert answerer(llmcli, LLMCLI_MODEL="echo/environment") == "echo/environment"
    assert answerer(llmcli, "-m", "echo/flag", LLMCLI_MODEL="echo/environment") == "echo/flag"
    assert answerer(llmcli, "-m", "mine") == "echo/aliased"
    assert answerer(llmcli, "-m", "bare") == "echo/bare"
    assert answerer(llmcli, "-m", "echo") == "echo/echo"
    assert answerer(llmcli, LLMCLI_MODEL="") == "echo/configured"


def test_a_provider_that_is_named_takes_the_model_verbatim(llmcli: Program) -> None:
    assert answerer(llmcli, "-p", "echo", "-m", "openai/gpt-4o") == "echo/openai/gpt-4o"
    assert answerer(llmcli, "-p", "echo") == "echo/echo"


def test_a_provider_that_is_named_is_not_asked_for_the_model_of_another(llmcli: Program) -> None:
    """`export LLMCLI_MODEL=openai/...` must not break `llmcli chat -p echo`."""
    assert answerer(llmcli, "-p", "echo", LLMCLI_MODEL="openai/gpt-4o") == "echo/echo"


@pytest.mark.parametrize(
    ("name", "near"), [("opnai/gpt-4o", "openai/gpt-4o"), ("eco", "echo"), ("olama/llama3", "ollama/llama3")]
)
def test_a_typo_asks_nobody(llmcli: Program, name: str, near: str) -> None:
    done = llmcli("chat", "-m", name, "-n", "hi")

    assert (done.status, done.out) == (3, b"")
    assert f"hint: did you mean {near}?" in done.err


def test_the_address_is_that_of_the_flag_then_the_configuration_then_the_environment(llmcli: Program) -> None:
    env = {"OPENAI_BASE_URL": "https://env.example/v1"}
    path = "/chat/completions"

    assert dry(llmcli, "hi")["url"] == f"https://api.openai.com/v1{path}"
    assert dry(llmcli, "hi", **env)["url"] == f"https://env.example/v1{path}"
    llmcli.configure('[providers.openai]\nbase_url = "https://table.example/v1"')
    assert dry(llmcli, "hi", **env)["url"] == f"https://table.example/v1{path}"
    assert dry(llmcli, "--base-url", "https://flag.example", "hi", **env)["url"] == f"https://flag.example{path}"


@pytest.mark.parametrize(
    ("configured", "env", "args", "attempts"),
    [
        (None, None, (), 3),
        (1, None, (), 2),
        (1, "4", (), 5),
        (1, "4", ("--retries", "0"), 1),
    ],
)
def test_a_flag_beats_a_variable_and_that_the_configuration(
    llmcli: Program, serve: Serve, configured: int | None, env: str | None, args: tuple[str, ...], attempts: int
) -> None:
    server = serve(answers(503, {"error": {"message": "busy"}}, Retry_After="0"))
    if configured is not None:
        llmcli.configure(f"[chat]\nretries = {configured}\n")
    environment = {} if env is None else {"LLMCLI_RETRIES": env}

    done = llmcli(
        "chat", "-p", "openai-compatible", "--base-url", server.url, "-m", "m", "-n", *args, "hi", env=environment
    )

    assert done.status == 6
    assert len(server.requests) == attempts


# --- another model when the first cannot be had ---------------------------------------------------


def error(message: str, **more: str) -> dict[str, Any]:
    return {"error": {"message": message, **more}}


@pytest.mark.parametrize(
    ("first", "status"),
    [
        (answers(401, error("bad key")), 4),
        (answers(429, error("slow down")), 6),
        (answers(503, error("busy")), 6),
        (lambda connection: connection.reset(), 8),
        (answers(500, error("broken")), 8),
        (answers(429, error("pay", code="insufficient_quota", type="insufficient_quota")), 9),
    ],
)
def test_another_model_is_asked_when_the_first_cannot_be_had(
    llmcli: Program, serve: Serve, first: Script, status: int
) -> None:
    server, other = serve(first), serve(says("hello"))
    llmcli.configure(f'[providers.other]\nadapter = "openai-compatible"\nbase_url = "{other.url}"')

    alone = llmcli.chat(server.url, "hi")
    done = llmcli.chat(server.url, "--fallback", "other/m2", "hi")

    assert alone.status in (status, 7)
    assert (done.status, done.text) == (0, "hello")
    assert done.err.splitlines()[-1] == "llmcli: asking other/m2"
    assert done.err.startswith("llmcli: openai-compatible/m: ")
    assert other.requests[0].json["model"] == "m2"


@pytest.mark.parametrize(
    ("first", "status"),
    [
        (answers(400, error("bad request")), 5),
        (answers(404, error("no such model", code="model_not_found")), 5),
        (stream(delta("one")), 10),
        (stream(delta("one"), event(error("overloaded"))), 10),
    ],
)
def test_no_other_model_is_asked_for_a_bad_request_or_after_the_first_word(
    llmcli: Program, serve: Serve, first: Script, status: int
) -> None:
    server, other = serve(first), serve(says("hello"))
    llmcli.configure(f'[providers.other]\nadapter = "openai-compatible"\nbase_url = "{other.url}"')

    done = llmcli.chat(server.url, "--fallback", "other/m", "hi")

    assert done.status == status
    assert other.accepted == 0


def test_models_without_a_key_are_passed_over_and_the_first_error_counts(llmcli: Program, serve: Serve) -> None:
    server = serve(answers(500, error("broken")))
    ask = ("--fallback", "openai", "--fallback", "anthropic")

    done = llmcli.chat(server.url, *ask, "--fallback", "echo", "hi")
    assert (done.status, done.text) == (0, "hi")
    assert done.err.splitlines()[-1] == "llmcli: asking echo/echo"

    done = llmcli.chat(server.url, *ask, "hi")
    assert (done.status, done.out) == (8, b"")
    told = [line.partition(": ")[2].partition(":")[0] for line in done.err.splitlines()]
    assert told == ["openai-compatible/m", "openai", "anthropic", "HTTP 500"]


def test_the_first_may_lack_its_key_too(llmcli: Program) -> None:
    done = llmcli("chat", "-m", "openai", "-n", "--fallback", "echo", "hi")

    assert (done.status, done.text) == (0, "hi")
    assert done.err == "llmcli: openai: no key for openai: OPENAI_API_KEY is not set\nllmcli: asking echo/echo\n"
    assert llmcli("chat", "-m", "openai", "-n", "-q", "--fallback", "echo", "hi").err == ""


def test_fallbacks_come_from_the_configuration_unless_they_are_said(llmcli: Program) -> None:
    llmcli.configure('[chat]\nfallback = ["echo/configured"]')

    assert answerer(llmcli, "-m", "openai") == "echo/configured"
    assert answerer(llmcli, "-m", "openai", "--fallback", "echo/said") == "echo/said"


def test_a_typo_in_a_fallback_is_found_before_anything_is_asked(llmcli: Program) -> None:
    done = llmcli(*ECHO, "-n", "--fallback", "opnai", "hi")

    assert (done.status, done.out) == (3, b"")


# --- what comes out -------------------------------------------------------------------------------


def test_json_is_one_document(llmcli: Program) -> None:
    done = llmcli(*ECHO, "-n", "--json", "--option", "thinking=hmm", "one two")

    assert done.out.count(b"\n") == 1
    assert done.json == {
        "version": 1,
        "role": "assistant",
        "content": "one two",
        "tool_calls": [],
        "thinking": "hmm",
        "metadata": {
            "provider": "echo",
            "model": "echo",
            "usage": {"prompt_tokens": 2, "completion_tokens": 2, "total_tokens": 4},
            "finish_reason": "stop",
            "raw_finish_reason": None,
            "id": "echo-1",
        },
    }


def test_jsonl_is_a_line_for_each_piece_and_one_that_is_done(llmcli: Program) -> None:
    lines = [json.loads(line) for line in llmcli(*ECHO, "-n", "--jsonl", "one two").text.splitlines()]

    assert [line["delta"] for line in lines] == ["one", " two", ""]
    assert [line["done"] for line in lines] == [False, False, True]
    assert lines[-1]["metadata"]["finish_reason"] == "stop"


def test_each_piece_is_written_as_it_arrives(llmcli: Program, serve: Serve) -> None:
    """The server says the second word when the reader has the first."""
    has_first = threading.Event()

    def script(connection: Connection) -> None:
        connection.send(STREAM_HEAD + chunk(delta("one")))
        assert has_first.wait(PATIENCE)
        for data in (delta(" two"), finish(), DONE):
            connection.send(chunk(data))

    server = serve(script)
    process = llmcli.start("chat", "-p", "openai-compatible", "--base-url", server.url, "-m", "m", "-n", "hi")
    with watched(process):
        assert read_until(process.stdout, b"one") == b"one"
        has_first.set()
        done = ended(process)

    assert (done.status, done.text) == (0, " two")


@pytest.mark.parametrize(
    ("args", "form"),
    [
        ((), "json"),
        (("--format", "text"), "text"),
        (("--jsonl",), "jsonl"),
        (("--json",), "json"),
        (("-x",), "text"),
    ],
)
@pytest.mark.parametrize("how", ["environment", "configuration"])
def test_a_flag_for_the_format_beats_what_is_set(llmcli: Program, args: tuple[str, ...], form: str, how: str) -> None:
    if how == "configuration":
        llmcli.configure('[chat]\nformat = "json"')
    env = {"LLMCLI_FORMAT": "json"} if how == "environment" else {}

    done = llmcli(*ECHO, "-n", *args, "```\nhi\n```", env=env)

    assert done.status == 0
    assert _form_of(done.text) == form


def _form_of(text: str) -> str:
    if not text.startswith("{"):
        return "text"
    return "jsonl" if text.count("\n") > 1 else "json"


@pytest.mark.parametrize(
    "args",
    [("--json", "--jsonl"), ("--json", "--format", "text"), ("-x", "--json"), ("-x", "--jsonl"), ("--format", "yaml")],
)
def test_formats_that_contradict_one_another_are_a_usage_error(llmcli: Program, args: tuple[str, ...]) -> None:
    done = llmcli(*ECHO, "-n", *args, "hi")

    assert (done.status, done.out) == (2, b"")


@pytest.mark.parametrize("how", ["--json", "--jsonl", "environment", "configuration"])
def test_errors_are_json_where_the_answer_would_be(llmcli: Program, how: str) -> None:
    if how == "configuration":
        llmcli.configure('[chat]\nformat = "json"')
    args = (how,) if how.startswith("-") else ()
    env = {"LLMCLI_FORMAT": "json"} if how == "environment" else {}

    done = llmcli(*ECHO, "-n", *args, "--retries", "0", "--option", "fail=429", "hi", env=env)

    assert (done.status, done.out) == (6, b"")
    assert done.error == {
        "code": 6, "name": "busy", "message": "told to be busy", "hint": None, "provider": "echo", "http_status": 429,
        "request_id": None, "retryable": True, "retry_after": None, "bytes_out": 0,
    }  # fmt: skip


@pytest.mark.parametrize("args", [("--json", "--nonsense", "hi"), ("--jsonl", "--temperature", "warm", "hi")])
def test_usage_errors_are_json_too(llmcli: Program, args: tuple[str, ...]) -> None:
    done = llmcli(*ECHO, "-n", *args)

    assert (done.status, done.out) == (2, b"")
    assert (done.error["code"], done.error["name"]) == (2, "usage")


def test_a_pipe_gets_text_and_a_terminal_markdown(llmcli: Program) -> None:
    text = "**bold** and `code`"

    assert llmcli(*ECHO, "-n", text).text == text
    assert on_terminal(llmcli, *ECHO, "-n", "--color", "never", text).text == "bold and code\n"
    assert on_terminal(llmcli, *ECHO, "-n", "--format", "text", text).text == f"{text}\n"
    assert on_terminal(llmcli, *ECHO, "-n", "--raw", text).text == text
    assert on_terminal(llmcli, *ECHO, "-n", text, env={"TERM": "dumb"}).text == f"{text}\n"
    assert on_terminal(llmcli, *ECHO, "-n", "--json", text).json["content"] == text


@pytest.mark.parametrize(
    ("args", "env", "colored"),
    [
        ((), {}, True),
        ((), {"NO_COLOR": "1"}, False),
        ((), {"NO_COLOR": ""}, True),
        (("--color", "never"), {}, False),
        (("--color", "always"), {"NO_COLOR": "1"}, True),
        ((), {"LLMCLI_COLOR": "never"}, False),
    ],
)
def test_colour_is_for_terminals_that_want_it(
    llmcli: Program, args: tuple[str, ...], env: dict[str, str], colored: bool
) -> None:
    done = on_terminal(llmcli, *ECHO, "-n", *args, "**bold**", env=env)

    assert ("\x1b[" in done.text) is colored


@pytest.mark.parametrize("stderr_too", [False, True])
def test_thinking_is_shown_on_stderr_when_a_person_reads_it(llmcli: Program, stderr_too: bool) -> None:
    done = on_terminal(llmcli, *ECHO, "-n", "--color", "never", "--option", "thinking=hmm", "hi", stderr_too=stderr_too)

    assert ("hmm" in done.text) is stderr_too
    assert done.err == ""


def test_thinking_in_a_pipe_is_shown_only_when_asked_for(llmcli: Program) -> None:
    think = (*ECHO, "-n", "--option", "thinking=hmm")

    assert (llmcli(*think, "hi").text, llmcli(*think, "hi").err) == ("hi", "")
    assert (llmcli(*think, "--show-thinking", "hi").text, llmcli(*think, "--show-thinking", "hi").err) == (
        "hi",
        "hmm\n",
    )
    llmcli.configure("[chat]\nshow_thinking = true")
    assert llmcli(*think, "hi").err == "hmm\n"
    assert llmcli(*think, "--hide-thinking", "hi").err == ""


def test_usage_is_a_line_on_stderr(llmcli: Program, serve: Serve) -> None:
    done = llmcli(*ECHO, "-n", "--usage", "one two three")
    assert done.text == "one two three"
    assert done.err.startswith("llmcli: usage: 3 prompt + 3 completion = 6 tokens, ")

    untold = llmcli.chat(serve(says("hello")).url, "--usage", "hi")
    assert untold.err.startswith("llmcli: usage: ? prompt + ? completion = ? tokens, ")


def test_usage_of_a_service_is_that_of_the_service(llmcli: Program, serve: Serve) -> None:
    told = {"usage": {"prompt_tokens": 9, "completion_tokens": 4, "total_tokens": 13,
                      "prompt_tokens_details": {"cached_tokens": 5}}, "choices": []}  # fmt: skip
    server = serve(stream(delta("hello"), finish(), event(told), DONE))

    done = llmcli.chat(server.url, "--usage", "hi")

    assert done.err.startswith("llmcli: usage: 9 prompt + 4 completion = 13 tokens, 5 cached, ")


@pytest.mark.parametrize(
    ("answer", "block"),
    [
        ("Sure:\n\n```python\nprint(1)\n```\nDone.", "print(1)\n"),
        ("```\nfirst\n```\n```\nsecond\n```\n", "first\n"),
        ("~~~sh\nls\n~~~", "ls\n"),
        ("````\n```\ninner\n```\n````", "```\ninner\n```\n"),
        ("```\n```", ""),
        ("  ```\n  indented\n  ```", "indented\n"),
    ],
)
def test_only_the_first_code_block_is_extracted(llmcli: Program, answer: str, block: str) -> None:
    done = llmcli(*ECHO, "-n", "-x", "--", answer)

    assert (done.status, done.text) == (0, block)


@pytest.mark.parametrize("answer", ["no code here", "```\nnever closed", "`inline`"])
def test_an_answer_without_a_code_block_is_not_of_the_form(llmcli: Program, answer: str) -> None:
    done = llmcli(*ECHO, "-n", "-x", "--", answer)

    assert (done.status, done.out) == (13, b"")
    assert "no complete fenced code block" in done.err


@pytest.mark.parametrize("reason", ["length", "content_filter"])
def test_an_answer_that_stopped_early_is_an_error_only_with_strict(llmcli: Program, reason: str) -> None:
    early = (*ECHO, "-n", "--option", f"fail={reason}", "hello")

    done = llmcli(*early)
    assert (done.status, done.text) == (0, "hello")
    assert f"(finish reason {reason})" in done.err
    done = llmcli(*early, "--strict")
    assert (done.status, done.text) == (12, "hello")
    llmcli.configure("[chat]\nstrict = true")
    assert llmcli(*early).status == 12
    assert llmcli(*early, "--no-strict").status == 0


def test_quiet_leaves_only_errors(llmcli: Program) -> None:
    assert llmcli(*ECHO, "-n", "-q", "--max-tokens", "1", "one two").err == ""
    assert llmcli(*ECHO, "-n", "-q", "--option", "fail=400", "hi").err == (
        "llmcli: told to reject the request [provider=echo http=400]\n"
    )


# --- the request, shown ---------------------------------------------------------------------------


def test_a_dry_run_sends_nothing_and_shows_everything_but_the_key(llmcli: Program, serve: Serve) -> None:
    server = serve(says("hello"))
    env = {"OPENAI_API_KEY": "sk-0123456789", "OPENAI_BASE_URL": server.url, "OPENAI_ORG_ID": "org-1"}

    shown = dry(llmcli, "-m", "openai/gpt-4o", "--temperature", "0.5", "--stop", "X", "grüße", **env)

    assert server.accepted == 0
    assert shown == {
        "method": "POST",
        "url": f"{server.url}/chat/completions",
        "headers": {
            "Content-Type": "application/json",
            "Accept": "text/event-stream",
            "OpenAI-Organization": "org-1",
            "Authorization": "Bearer ***",
        },
        "body": {
            "model": "gpt-4o",
            "messages": [{"role": "user", "content": "grüße"}],
            "stream": True,
            "stream_options": {"include_usage": True},
            "temperature": 0.5,
            "stop": ["X"],
        },
    }


@pytest.mark.parametrize("how", ["--dry-run", "--curl"])
def test_no_key_is_needed_to_show_a_request(llmcli: Program, how: str) -> None:
    assert llmcli("chat", "-m", "openai", "-n", how, "hi").status == 0


@pytest.mark.parametrize("how", ["--dry-run", "--curl"])
def test_a_provider_without_http_has_no_request_to_show(llmcli: Program, how: str) -> None:
    done = llmcli(*ECHO, "-n", how, "hi")

    assert (done.status, done.err) == (5, "llmcli: echo sends no HTTP request that could be shown\n")


@pytest.mark.parametrize("question", ["-", "say {stdin}"])
def test_with_n_a_question_is_nothing_but_text(llmcli: Program, question: str) -> None:
    """`llmcli chat -n -- "$question"` asks whatever stands in the variable."""
    assert llmcli(*ECHO, "-n", "--", question, stdin=b"not this").text == question


NASTY = 'it\'s "quoted" $HOME `id` \\n !! \N{RIGHT-TO-LEFT OVERRIDE} grüße\nnext line\t@file'
SERVICES: list[tuple[str, str, dict[str, str]]] = [
    ("openai", "OPENAI_BASE_URL", {"OPENAI_API_KEY": "sk-1", "OPENAI_ORG_ID": "o'rg $1"}),
    ("anthropic", "ANTHROPIC_BASE_URL", {"ANTHROPIC_API_KEY": "sk-ant-1"}),
    ("ollama/llama3.2", "OLLAMA_HOST", {}),
    ("azure/deployment", "AZURE_OPENAI_ENDPOINT", {"AZURE_API_KEY": "az-1", "OPENAI_API_VERSION": "2024-10-21"}),
]


@pytest.mark.parametrize(("model", "variable", "env"), SERVICES, ids=[model for model, _, _ in SERVICES])
@pytest.mark.parametrize("stream", ["--stream", "--no-stream"])
def test_the_curl_command_that_is_shown_sends_the_same_request(
    sh: Shell, serve: Serve, model: str, variable: str, env: dict[str, str], stream: str
) -> None:
    server = serve(answers(500, {}))
    base = server.url.removesuffix("/v1")
    environment = {**env, variable: server.url if variable == "OPENAI_BASE_URL" else base}
    ask = f'llmcli chat -m {model} -n --retries 0 {stream} --temperature 0.5 -s "$1"'

    sh(f'{ask} -- "$2"', NASTY, NASTY, env=environment)
    shown = sh(f'{ask} --curl -- "$2"', NASTY, NASTY, env=environment)
    assert shown.status == 0, shown.err
    assert not any(key in shown.text for key in env.values() if key[:2] in ("sk", "az"))
    ran = sh(shown.text, env=environment)

    assert ran.status == 0, ran.err
    ours, theirs = server.requests
    assert (theirs.method, theirs.path, theirs.body) == (ours.method, ours.path, ours.body)
    passing = {"user-agent", "accept-encoding"}
    assert {name: value for name, value in theirs.headers.items() if name not in passing} == {
        name: value for name, value in ours.headers.items() if name not in passing
    }


def test_the_curl_command_of_a_prompt_too_long_for_one_argument_runs_too(sh: Shell, serve: Serve) -> None:
    server = serve(answers(200, completion("hi")))
    ask = f"llmcli chat -p openai-compatible --base-url {server.url} -m m --curl"

    ran = sh(f"head -c 200000 /dev/zero | tr '\\0' x | {ask} > command.sh && bash command.sh")

    assert ran.status == 0, ran.err
    assert server.requests[0].json["messages"][0]["content"] == "x" * 200_000


def test_the_curl_command_names_the_variable_that_has_the_key(llmcli: Program) -> None:
    azure = {"AZURE_OPENAI_ENDPOINT": "https://a.example"}
    ask = ("chat", "-m", "azure/x", "-n", "--curl", "hi")

    assert '"api-key: $AZURE_API_KEY"' in llmcli(*ask, env={**azure, "AZURE_API_KEY": "az-1"}).text
    assert '"api-key: $AZURE_OPENAI_API_KEY"' in llmcli(*ask, env=azure).text
    llmcli.configure('[providers.azure.api_key]\nenv = "MY_KEY"')
    assert '"api-key: $MY_KEY"' in llmcli(*ask, env=azure).text


# --- the log --------------------------------------------------------------------------------------


def test_the_log_file_tells_of_request_and_answer_line_by_line(llmcli: Program, serve: Serve) -> None:
    server = serve(answers(503, error("busy"), Retry_After="0"), says("hello"))

    for _ in range(2):
        assert llmcli.chat(server.url, "--retries", "1", "--log-file", "log", "hi").text == "hello"
    events = [json.loads(line) for line in (llmcli.home / "log").read_text().splitlines()]

    first = [each["event"] for each in events]
    assert first.count("answer") == 2
    assert [name for name in first if name in ("request", "response", "retry", "answer")] == [
        "request", "response", "retry", "request", "response", "answer", "request", "response", "answer",
    ]  # fmt: skip
    assert "hi" not in [str(value) for each in events for value in each.values()], "prompts are private"


def test_nothing_is_kept_that_was_not_asked_for(llmcli: Program) -> None:
    assert llmcli(*ECHO, "-n", "hi").status == 0
    assert os.listdir(llmcli.home) == []


# --- what a review found --------------------------------------------------------------------------


def test_notes_come_after_the_text_that_they_are_about(sh: Shell, serve: Serve) -> None:
    def burst(connection: Connection) -> None:
        pieces = b"".join([delta("hello "), delta("world"), finish("length"), DONE])
        connection.send(STREAM_HEAD + chunk(pieces) + b"0\r\n\r\n")

    url = serve(burst).url
    told = sh(f"llmcli chat -p openai-compatible --base-url {url} -m m -n --usage hi 2>&1").text

    assert told.startswith("hello worldllmcli: ")


def test_thinking_and_text_keep_their_order_on_one_terminal(sh: Shell, serve: Serve) -> None:
    pieces = [delta("A "), event({"choices": [{"index": 0, "delta": {"reasoning_content": "THINK"}}]}), delta("B")]

    def burst(connection: Connection) -> None:
        connection.send(STREAM_HEAD + chunk(b"".join([*pieces, finish(), DONE])) + b"0\r\n\r\n")

    url = serve(burst).url
    told = sh(f"llmcli chat -p openai-compatible --base-url {url} -m m -n --show-thinking hi 2>&1").text

    assert told == "A THINK\nB"


def test_what_an_api_tells_never_replaces_what_json_promises(llmcli: Program, serve: Serve) -> None:
    document = {**completion("hi"), "provider": "DeepInfra"}
    done = llmcli.chat(serve(answers(200, document)).url, "--json", "hi")

    metadata = done.json["metadata"]
    assert metadata["provider"] == "openai-compatible"
    assert metadata["upstream_provider"] == "DeepInfra"


def test_a_gateway_s_metadata_cannot_rewrite_the_finish_reason(llmcli: Program, serve: Serve) -> None:
    told = {**completion("hi"), "metadata": {"finish_reason": "zzz", "route": "a"}}
    url = serve(answers(200, told)).url

    metadata = llmcli("chat", "-p", "gateway", "--base-url", url, "-n", "--json", "hi").json["metadata"]

    assert (metadata["finish_reason"], metadata["route"]) == ("stop", "a")


def test_a_total_timeout_of_0_is_none_for_stdin_too(llmcli: Program) -> None:
    with watched(llmcli.start("chat", "-m", "echo", "--timeout", "0", "say", stdin=subprocess.PIPE)) as process:
        assert b"waiting for stdin" in read_until(process.stderr, b"\n")
        assert process.stdin is not None
        process.stdin.write(b"later")
        process.stdin.close()
        process.stdin = None  # nothing is left to send
        done = ended(process)

    assert (done.status, done.text) == (0, "say\n\nlater")


def test_an_attempt_that_failed_leaves_nothing_in_the_metadata(llmcli: Program, serve: Serve) -> None:
    role = event({"id": "old", "citations": ["old"], "choices": [{"index": 0, "delta": {"role": "assistant"}}]})
    busy = event({"error": {"type": "overloaded_error", "message": "busy"}})
    good = event({"choices": [{"index": 0, "delta": {"content": "hi"}}]})
    server = serve(stream(role, busy), stream(good, finish(), DONE))

    done = llmcli.chat(server.url, "--json", "--retries", "1", "hi")

    assert (done.json["content"], done.json["metadata"]["model"]) == ("hi", "m")
    assert "old" not in done.text


@pytest.mark.parametrize("seconds", ["nan", "inf", "-inf"])
@pytest.mark.parametrize("flag", ["--timeout", "--connect-timeout", "--first-timeout", "--idle-timeout"])
def test_a_timeout_that_is_no_number_of_seconds_is_refused(llmcli: Program, flag: str, seconds: str) -> None:
    assert llmcli(*ECHO, "-n", f"{flag}={seconds}", "hi").status == 2


def test_a_timeout_of_centuries_is_no_bug(llmcli: Program, serve: Serve) -> None:
    url = serve(says("hi")).url
    every = ("--timeout", "1e300", "--connect-timeout", "1e300", "--first-timeout", "1e300", "--idle-timeout", "1e300")

    assert llmcli.chat(url, *every, "hi").status == 0


def test_the_key_command_does_not_eat_the_prompt(llmcli: Program, serve: Serve) -> None:
    server = serve(says("hi"))
    llmcli.configure(
        f'[providers.mine]\nadapter = "openai-compatible"\nbase_url = "{server.url}"\n'
        "api_key = { command = \"sh -c 'cat >/dev/null; echo sk-123456'\" }\n"
    )

    assert llmcli("chat", "-m", "mine/m", "summarize:", stdin=b"THE DIFF").status == 0
    assert server.requests[0].json["messages"][0]["content"] == "summarize:\n\nTHE DIFF"


def test_settings_of_one_model_hold_when_it_is_the_default(llmcli: Program) -> None:
    llmcli.configure(
        '[providers.acme]\nadapter = "openai-compatible"\nbase_url = "https://acme.example/v1"\n'
        'default_model = "large"\n[providers.acme.models.large.settings]\ntemperature = 0.25\n'
    )

    assert llmcli("chat", "-m", "acme", "-n", "--dry-run", "hi").json["body"]["temperature"] == 0.25


def test_a_setting_of_the_configuration_that_is_out_of_range_is_blamed_on_it(llmcli: Program) -> None:
    llmcli.configure("[providers.openai.settings]\ntemperature = 3\n")

    done = llmcli("chat", "-m", "openai", "-n", "--dry-run", "hi")

    assert done.status == 3
    assert "config.toml: providers.openai" in done.err


def test_no_config_goes_before_the_variable_that_names_one(llmcli: Program) -> None:
    assert llmcli(*ECHO, "-n", "--no-config", "hi", env={"LLMCLI_CONFIG": "/nonexistent"}).text == "hi"
    assert llmcli(*ECHO, "-n", "hi", env={"LLMCLI_CONFIG": "/nonexistent"}).status == 3


def test_the_total_timeout_holds_for_echo_too(llmcli: Program) -> None:
    done = llmcli(*ECHO, "-n", "--timeout", "0.0001", "hi")

    assert (done.status, done.out) == (7, b"")
